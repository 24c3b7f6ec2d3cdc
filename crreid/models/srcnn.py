"""SRCNN: the first network for super-resolution, three convolutions on an enlarged image.

Source: SRCNN (Dong et al., TPAMI 2016), kernels 9-5-5 with 64 and 32 maps; a row of PS-HRNet's Table IV.
Differs from the paper: three RGB channels instead of luminance, ImageNet-normalised; borders are padded with zeros, so
that the image keeps its size; weights start as torch draws them, since the paper's N(0, 0.001^2) needs the paper's
10^8 steps. As in the paper nothing is added to the input: the network has to learn the image itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.images import check_images

__all__ = ["SRCNN", "SRCNNSettings"]


@dataclass(frozen=True, kw_only=True)
class SRCNNSettings:
    """Shape of the network; the defaults have 69,251 parameters.

    Attributes:
        kernels: Sides of the three convolutions, odd.
        widths: Maps after the first and the second.
    """

    kernels: tuple[int, int, int] = (9, 5, 5)
    widths: tuple[int, int] = (64, 32)

    def __post_init__(self) -> None:
        """Raises InputError naming a field out of range."""
        if len(self.kernels) != 3 or any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise InputError(f"SRCNN kernels must be three odd numbers, not {self.kernels}")
        if len(self.widths) != 2 or min(self.widths) < 1:
            raise InputError(f"SRCNN widths must be two numbers of at least 1, not {self.widths}")

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
