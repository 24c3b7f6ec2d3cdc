"""RCAN: residual groups of residual blocks with channel attention.

Source: RCAN (Zhang et al., ECCV 2018); a row of PS-HRNet's Table IV, which does not say how it was attached.
Differs from the paper: RCAN works on the small image and upsamples at its end, one network per factor; here images
come already upsampled, so that one network serves every rate, and what the network computes is added to its input, as
VDSR does. With `scale` 1 the body works at full size (15,296,931 parameters; 497 billion multiply-adds for one image of
256 x 128, more than 20 times VDSR-CA); `scale` s packs s x s pixels into channels before the body and unpacks them
after it, which divides the body's cost by s * s as working on the small image does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from crreid.models.channel_attention import ChannelAttention
from crreid.models.common import RestorationSettings, check_images


@dataclass(frozen=True, kw_only=True)
class RCANSettings(RestorationSettings):
    """Shape of the network; the defaults are the paper's body, at full size.

    Attributes:
        groups: Residual groups G.
        blocks: Residual blocks B in a group.
        width: Channels C.
        attention_channels: Bottleneck of the channel attention: C / 16 in the paper.
        scale: Side of the pixel blocks that are packed into channels.
    """

    tag: ClassVar[str] = "RCANSettings"
    groups: int = 10
    blocks: int = 20
    width: int = 64
    attention_channels: int = 4
    scale: int = 1

    def build(self) -> RCAN:
        """Return the network with random weights."""
        return RCAN(self)


class RCAN(nn.Module):
    """Image in, restored image of the same size out; height and width are multiples of `scale`."""

    def __init__(self, settings: RCANSettings) -> None:
        """Build head, groups and tail with random weights."""
        super().__init__()
        self.settings = settings
        width, packed = settings.width, 3 * settings.scale**2
        self.head = nn.Sequential(nn.PixelUnshuffle(settings.scale), _convolution(packed, width))
        groups = [_Residual(*_group(settings)) for _ in range(settings.groups)]  # short skips
        self.body = _Residual(*groups, _convolution(width, width))  # long skip
        self.tail = nn.Sequential(_convolution(width, packed), nn.PixelShuffle(settings.scale))

    def forward(self, images: Tensor) -> Tensor:
        """Return restored images (N, 3, height, width)."""
        check_images("RCAN", images, self.settings.scale)
        missing: Tensor = self.tail(self.body(self.head(images)))
        return images + missing


class _Residual(nn.Module):
    """Adds what a chain of layers makes of maps to the maps."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = self.layers(maps)
        return maps + changed


def _group(settings: RCANSettings) -> list[nn.Module]:
    """Return B residual blocks and a convolution."""
    width = settings.width
    blocks = [
        _Residual(
            _convolution(width, width),
            nn.ReLU(inplace=True),
            _convolution(width, width),
            ChannelAttention(width, settings.attention_channels),
        )
        for _ in range(settings.blocks)
    ]
    return [*blocks, _convolution(width, width)]


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)
