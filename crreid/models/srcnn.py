"""SRCNN: the first network for super-resolution, three convolutions on an upsampled image.

Source: SRCNN (Dong et al., TPAMI 2016), kernels 9-5-5 with 64 and 32 maps; a row of PS-HRNet's Table IV.
Differs from the paper: three RGB channels instead of luminance, ImageNet-normalised; borders are padded with zeros, so
that the image keeps its size; weights start as torch draws them, since the paper's N(0, 0.001^2) needs the paper's
10^8 steps. As in the paper nothing is added to the input: the network has to learn the image itself. That takes longer
than a short training has, and at its learning rate ended in one colour; hence `initialisation="identity"`, with which
the network begins with its input and learns what to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.common import RestorationSettings, check_images, check_setting, convolution

KERNELS = (9, 5, 5)  # sides of the three convolutions


@dataclass(frozen=True, kw_only=True)
class SRCNNSettings(RestorationSettings):
    """Shape of the network: maps after the first and second convolution; the defaults have 69,251 parameters.

    `initialisation` is `random` as torch draws it; `identity` then lets six maps carry the image unchanged, its
    positive and its negative part, and the last convolution take nothing else.
    """

    tag: ClassVar[str] = "SRCNNSettings"
    widths: tuple[int, int] = (64, 32)
    initialisation: str = "random"

    def __post_init__(self) -> None:
        check_setting(self, "initialisation", ("random", "identity"))
        least = 6 if self.initialisation == "identity" else 1
        if len(self.widths) != 2 or min(self.widths) < least:
            raise InputError(f"widths of SRCNN must be two numbers of at least {least}, not {self.widths}")

    def build(self) -> SRCNN:
        """Return the network with random weights."""
        return SRCNN(self)


class SRCNN(nn.Module):
    """Patch extraction, non-linear mapping, reconstruction."""

    def __init__(self, settings: SRCNNSettings) -> None:
        super().__init__()
        wide, narrow = settings.widths
        self.extraction = convolution(3, wide, KERNELS[0])
        self.mapping = convolution(wide, narrow, KERNELS[1])
        self.reconstruction = convolution(narrow, 3, KERNELS[2])
        if settings.initialisation == "identity":
            self._start_at_identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return restored images (N, 3, height, width)."""
        check_images("SRCNN", images)
        restored: Tensor = self.reconstruction(self.mapping(self.extraction(images).relu()).relu())
        return restored

    @torch.no_grad()
    def _start_at_identity(self) -> None:
        """Six maps hold x and -x cut at zero, of which x is the difference; the others stay as drawn."""
        signs = torch.cat([torch.eye(3), -torch.eye(3)])  # (6, 3)
        for layer, weights in ((self.extraction, signs), (self.mapping, torch.eye(6)), (self.reconstruction, signs.T)):
            outputs, inputs = weights.shape
            middle = layer.kernel_size[0] // 2
            assert layer.bias is not None
            layer.weight[:outputs] = 0
            layer.weight[:outputs, :inputs, middle, middle] = weights
            layer.bias[:outputs] = 0
