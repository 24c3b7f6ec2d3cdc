"""SRCNN: the first network for super-resolution, three convolutions on an enlarged image.

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
from crreid.models.images import check_images

__all__ = ["INITIALISATIONS", "SRCNN", "SRCNNSettings"]

INITIALISATIONS = ("random", "identity")


@dataclass(frozen=True, kw_only=True)
class SRCNNSettings:
    """Shape of the network; the defaults have 69,251 parameters.

    Attributes:
        kernels: Sides of the three convolutions, odd.
        widths: Maps after the first and the second.
        initialisation: `random` as torch draws it; `identity` then lets six maps carry the image unchanged, its
            positive and its negative part, and the last convolution take nothing else.
    """

    tag: ClassVar[str] = "SRCNNSettings"
    kernels: tuple[int, int, int] = (9, 5, 5)
    widths: tuple[int, int] = (64, 32)
    initialisation: str = "random"

    def __post_init__(self) -> None:
        """Raises InputError naming a field out of range."""
        if len(self.kernels) != 3 or any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise InputError(f"SRCNN kernels must be three odd numbers, not {self.kernels}")
        if len(self.widths) != 2 or min(self.widths) < 1:
            raise InputError(f"SRCNN widths must be two numbers of at least 1, not {self.widths}")
        if self.initialisation not in INITIALISATIONS:
            expected = " or ".join(INITIALISATIONS)
            raise InputError(f"SRCNN initialisation must be {expected}, not {self.initialisation!r}")
        if self.initialisation == "identity" and min(self.widths) < 6:
            raise InputError(f"SRCNN starts at the identity with widths of at least 6, not {self.widths}")

    @property
    def title(self) -> str:
        """As Table IV calls it."""
        return "SRCNN"

    def build(self) -> SRCNN:
        """The network with random weights."""
        return SRCNN(self)


class SRCNN(nn.Module):
    """Patch extraction, non-linear mapping, reconstruction."""

    def __init__(self, settings: SRCNNSettings) -> None:
        """Builds the three layers."""
        super().__init__()
        self.settings = settings
        first, second, third = settings.kernels
        wide, narrow = settings.widths
        self.extraction = nn.Conv2d(3, wide, first, padding=first // 2)
        self.mapping = nn.Conv2d(wide, narrow, second, padding=second // 2)
        self.reconstruction = nn.Conv2d(narrow, 3, third, padding=third // 2)
        if settings.initialisation == "identity":
            self._start_at_identity()

    def forward(self, images: Tensor) -> Tensor:
        """Restores images.

        Args:
            images: (N, 3, height, width) float, ImageNet-normalised, already enlarged to the size wanted.

        Returns:
            (N, 3, height, width), ImageNet-normalised and not clamped.

        Raises:
            InputError: The input has another shape.
        """
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
