"""VDSR and VDSR-CA: restore an upsampled low-resolution image at its full size.

Source: VDSR (Kim et al., CVPR 2016) with the channel attention of PS-HRNet (Zhang et al., arXiv 2105.11722, section
III-B, Eq. 2-4). A chain of 3x3 convolutions predicts what is missing, which is added to the input.

Differs from the VDSR paper: three RGB channels instead of luminance, and an input that is ImageNet-normalised.
Differs from the PS-HRNet paper: attention stands after each of the 18 middle convolutions and before its ReLU, as in
the authors' release, while the text says "between every two layers"; its bottleneck has four channels as in the
release, while r = 4 read as a ratio would give 16 (`attention_channels=16`).
Differs from the authors' release: nothing intended by default. But its initial weights leave the attention's factors
near a half, and a half eighteen times over makes residual and gradients so small (measured: about 1e-5 and 1e-6) that
160 steps of restoration at the paper's learning rate changed nothing; plain VDSR, to the contrary, starts far off its
input. Hence `initialisation="identity"`, with which both begin at the identity and learn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.channel_attention import ChannelAttention
from crreid.models.common import RestorationSettings, check_images, check_setting, convolution


@dataclass(frozen=True, kw_only=True)
class VDSRSettings(RestorationSettings):
    """Shape of the network; the defaults are PS-HRNet's VDSR-CA with 677,448 parameters.

    Attributes:
        depth: Number of 3x3 convolutions, at least 2.
        width: Channels between them.
        attention_channels: Bottleneck of the channel attention, in channels: 4 in the authors' release, 16 by the
            paper's ratio (705,312 parameters); None = plain VDSR without attention (667,008 parameters).
        initialisation: `release` draws all weights from N(0, 2 / (k * k * C_out)); `identity` then sets those of the
            last convolution to 0 and the biases before the attention's sigmoid to 4, a factor of about 0.98.
    """

    tag: ClassVar[str] = "VDSRSettings"
    depth: int = 20
    width: int = 64
    attention_channels: int | None = 4
    initialisation: str = "release"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting(self, "initialisation", ("release", "identity"))
        if self.depth < 2:
            raise InputError(f"depth must be at least 2, not {self.depth}")

    @property
    def title(self) -> str:
        """Return the name in Table IV."""
        return "VDSR" if self.attention_channels is None else "VDSR-CA"

    def build(self) -> VDSR:
        """Return the network with random weights."""
        return VDSR(self)


class VDSR(nn.Module):
    """Image in, restored image of the same size out."""

    def __init__(self, settings: VDSRSettings) -> None:
        super().__init__()
        self.first = nn.Sequential(convolution(3, settings.width, bias=False), nn.ReLU(inplace=True))
        self.middle = nn.Sequential(*[_middle_layer(settings) for _ in range(settings.depth - 2)])
        self.last = convolution(settings.width, 3, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                variance = 2 / (module.kernel_size[0] * module.kernel_size[1] * module.out_channels)
                nn.init.normal_(module.weight, std=math.sqrt(variance))
            if isinstance(module, ChannelAttention) and settings.initialisation == "identity":
                nn.init.constant_(module.expand.bias, 4.0)  # type: ignore[arg-type]
        if settings.initialisation == "identity":
            nn.init.zeros_(self.last.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return restored images (N, 3, height, width); float32 under autocast when the input is."""
        check_images("VDSR", images)
        missing: Tensor = self.last(self.middle(self.first(images)))
        return images + missing


def _middle_layer(settings: VDSRSettings) -> nn.Sequential:
    layer = convolution(settings.width, settings.width, bias=False)
    if settings.attention_channels is None:
        return nn.Sequential(layer, nn.ReLU(inplace=True))
    return nn.Sequential(layer, ChannelAttention(settings.width, settings.attention_channels, rectified=True))
