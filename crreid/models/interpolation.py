"""Interpolation: no network at all, the row that every restoration module must beat.

Source: the row "Bicubic" of PS-HRNet (Zhang et al., arXiv 2105.11722), Table IV.
Differs from the paper: nothing known. Images reach every module already enlarged to the network's size, by the filter
that the data's settings name; this module therefore returns its input, and a run that uses it must be given data
enlarged by the same filter (`crreid.rows.upsampled_by`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.images import check_images

__all__ = ["Interpolation", "InterpolationSettings"]

FILTERS = ("nearest", "box", "bilinear", "bicubic", "lanczos")


@dataclass(frozen=True, kw_only=True)
class InterpolationSettings:
    """Which interpolation stands in the restoration module's place.

    Attributes:
        filter: As Pillow calls it: `bicubic`, `bilinear`, ...
    """

    tag: ClassVar[str] = "InterpolationSettings"
    filter: str = "bicubic"

    def __post_init__(self) -> None:
        """Raises InputError for a filter that does not exist."""
        if self.filter not in FILTERS:
            raise InputError(f"no filter {self.filter!r}; expected one of {', '.join(FILTERS)}")

    @property
    def title(self) -> str:
        """E.g. Bicubic."""
        return self.filter.capitalize()

    def build(self) -> Interpolation:
        """The module; it has no weights."""
        return Interpolation(self)


class Interpolation(nn.Module):
    """Enlarged image in, the same image out."""

    def __init__(self, settings: InterpolationSettings) -> None:
        """Keeps the settings."""
        super().__init__()
        self.settings = settings

    def forward(self, images: Tensor) -> Tensor:
        """Returns `images`, (N, 3, height, width). Raises InputError for another shape."""
        check_images(self.settings.title, images)
        return images
