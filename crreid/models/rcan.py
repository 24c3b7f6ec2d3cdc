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
from crreid.models.common import RestorationSettings, check_images, convolution


@dataclass(frozen=True, kw_only=True)
class RCANSettings(RestorationSettings):
    """Shape of the network; the defaults are the paper's body, at full size."""

    tag: ClassVar[str] = "RCANSettings"
    groups: int = 10  # residual groups G
    blocks: int = 20  # residual blocks B in a group
    width: int = 64  # channels C
    attention_channels: int = 4  # bottleneck of the channel attention: C / 16 in the paper
    scale: int = 1  # side of the pixel blocks that are packed into channels

    def build(self) -> RCAN:
        """Return the network with random weights."""
        return RCAN(self)


class RCAN(nn.Module):
    """Image in, restored image of the same size out; height and width are multiples of `scale`."""

    def __init__(self, settings: RCANSettings) -> None:
        super().__init__()
        self.settings = settings
        width, packed = settings.width, 3 * settings.scale**2
        self.head = nn.Sequential(nn.PixelUnshuffle(settings.scale), convolution(packed, width))
        groups = [_Residual(*_group(settings)) for _ in range(settings.groups)]  # short skips
        self.body = _Residual(*groups, convolution(width, width))  # long skip
        self.tail = nn.Sequential(convolution(width, packed), nn.PixelShuffle(settings.scale))

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
    layers = list[nn.Module]()
    for _ in range(settings.blocks):
        convolutions = convolution(width, width), nn.ReLU(inplace=True), convolution(width, width)
        layers.append(_Residual(*convolutions, ChannelAttention(width, settings.attention_channels)))
    return [*layers, convolution(width, width)]
