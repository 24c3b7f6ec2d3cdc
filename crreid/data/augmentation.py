"""Training augmentation: drawn image by image on the processor, applied to a whole batch on any device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["MEAN", "STD", "Augmentation", "Draw"]

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0, 1]
STD = (0.229, 0.224, 0.225)

Draw = NDArray[np.int64]
"""(7,): mirrored or not, top and left of the crop in the padded image, and of the erased rectangle the first row and
column and those behind its last."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The same draw for both images of a pair (PS-HRNet release: mirror, pad 10, crop).

    Attributes:
        mirror: Probability of mirroring.
        padding: Black pixels added around before cropping back to size at random.
        erasing: Probability of random erasing (Zhong et al., AAAI 2020), off in the paper: 2 to 40 % of the area.
    """

    tag: ClassVar[str] = "Augmentation"
    mirror: float = 0.5
    padding: int = 10
    erasing: float = 0.0

    def draw(self, size: tuple[int, int], generator: np.random.Generator) -> Draw:
        """One draw for images of (height, width) pixels."""
        mirror = generator.random() < self.mirror
        top, left = generator.integers(0, 2 * self.padding + 1, size=2)
        erased = self._rectangle(*size, generator) if generator.random() < self.erasing else (0, 0, 0, 0)
        return np.array([mirror, top, left, *erased], dtype=np.int64)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augments a batch.

        Args:
            images: (N, H, W, 3) uint8.
            draws: (N, 7) int64 on the same device, of `draw`.

        Returns:
            (N, H, W, 3) uint8.
        """
        count, height, width, _ = images.shape
        mirror, top, left, first_row, first_column, row_behind, column_behind = draws.T[:, :, None]
        row, column = (torch.arange(side, device=images.device) for side in (height, width))
        rows, columns = row + top - self.padding, column + left - self.padding  # (N, H), (N, W) in the image
        inside = _within(rows, 0, height)[:, :, None] & _within(columns, 0, width)[:, None, :]
        columns = torch.where(mirror > 0, width - 1 - columns, columns)
        image = torch.arange(count, device=images.device)[:, None, None]
        cropped = images[image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
        cropped *= inside[..., None]
        if self.erasing == 0:
            return cropped
        erased = _within(row, first_row, row_behind)[:, :, None] & _within(column, first_column, column_behind)[:, None]
        return torch.where(erased[..., None], _mean_colour(images.device), cropped)

    @staticmethod
    def _rectangle(height: int, width: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
        area, aspect = height * width * generator.uniform(0.02, 0.4), np.exp(generator.uniform(-1.2, 1.2))
        rows = int(np.clip(round(np.sqrt(area * aspect)), 1, height))
        columns = int(np.clip(round(np.sqrt(area / aspect)), 1, width))
        top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
        return int(top), int(left), int(top) + rows, int(left) + columns


def _within(values: Tensor, first: Tensor | int, behind: Tensor | int) -> Tensor:
    return (values >= first) & (values < behind)


@cache
def _mean_colour(device: torch.device) -> Tensor:
    return torch.tensor([round(255 * value) for value in MEAN], dtype=torch.uint8, device=device)
