"""Image decoder: from the features of an encoder back to a high-resolution image.

Source: G of CAD-Net (Li et al., "Recover and Identify", ICCV 2019), which recovers the image from f with skip
connections from E. That its blocks are residual and double the size, in the style of Miyato & Koyama (ICLR 2018), is
general knowledge of the paper, not read in it; how wide they are and how the skips join is known from nowhere. Here the
widths are Miyato & Koyama's, and a 1 x 1 convolution of the encoder's map is added after each block but the last.

Differs from Miyato & Koyama: no class conditions; the image is in the normalised space of the networks, so that there
is no tanh; a block's shortcut is convolved before it is upsampled, the same numbers for a quarter of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import interpolate

from crreid.models.common import check_setting, convolution

MULTIPLES = (16, 8, 4, 2, 1)  # width of each block in multiples of the last one's


@dataclass(frozen=True, kw_only=True)
class ImageDecoderSettings:
    """Shape of the network.

    Attributes:
        width: Channels of the last block, at the image's full size; the four before have 2, 4, 8 and 16 times as many.
        add_input: Predict what the input image lacks, starting from nothing, instead of the whole image. In no source:
            for trainings that are too short to learn to draw. Recovered images then no longer come from features alone.
    """

    tag: ClassVar[str] = "ImageDecoderSettings"
    width: int = 64
    add_input: bool = False

    def __post_init__(self) -> None:
        check_setting(self, "width")


class ImageDecoder(nn.Module):
    """Five blocks that double the size, the encoder's maps joining on the way, and a convolution to RGB."""

    def __init__(self, settings: ImageDecoderSettings, channels: Sequence[int]) -> None:
        """Build the network with random weights for the channels of the encoder's five maps, the largest first."""
        super().__init__()
        self.settings = settings
        *sides, deepest = channels
        widths = [settings.width * multiple for multiple in MULTIPLES]
        self.blocks = nn.ModuleList(map(_UpBlock, [deepest, *widths[:-1]], widths))
        pairs = zip(reversed(sides), widths[:-1], strict=True)
        self.skips = nn.ModuleList(nn.Conv2d(side, width, kernel_size=1) for side, width in pairs)
        self.last = convolution(settings.width, 3)
        self.to_image = nn.Sequential(nn.BatchNorm2d(settings.width), nn.ReLU(inplace=True), self.last)
        if settings.add_input:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return recovered images (N, 3, height, width) from the encoder's five maps, the largest first.

        Each map is half as high and wide as the one before; the encoded images are read only where `add_input` is set.
        """
        *sides, x = features
        for block, skip, side in zip(self.blocks, self.skips, reversed(sides), strict=False):
            x = block(x) + skip(side)
        recovered: Tensor = self.to_image(self.blocks[-1](x))
        return recovered + images if self.settings.add_input else recovered


class _UpBlock(nn.Module):
    """Normalisation, ReLU, doubling, convolution, and the same again without doubling; a 1 x 1 shortcut around it."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.first = convolution(before, after, bias=False)
        self.then = nn.Sequential(nn.BatchNorm2d(after), nn.ReLU(inplace=True), convolution(after, after))
        self.shortcut = nn.Conv2d(before, after, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, after, 2 h, 2 w) of maps (N, before, h, w)."""
        body: Tensor = self.then(self.first(_doubled(self.enter(x))))
        return body + _doubled(self.shortcut(x))


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="nearest")
