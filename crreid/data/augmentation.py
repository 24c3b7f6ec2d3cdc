"""Training augmentation: drawn image by image on the CPU, applied to a whole batch on any device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0, 1]
STD = (0.229, 0.224, 0.225)

Draw = NDArray[np.int64]
"""(3,): mirrored or not, top and left of the crop in the padded image."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Mirror, pad, crop: the same draw for both images of a pair (PS-HRNet release).

    Attributes:
        mirror: Probability of mirroring.
        padding: Black pixels added on each side before a random crop of the original size.
    """

    tag: ClassVar[str] = "Augmentation"
    mirror: float = 0.5
    padding: int = 10

    def draw(self, generator: np.random.Generator) -> Draw:
        """Return one draw."""
        mirror = generator.random() < self.mirror
        top, left = generator.integers(0, 2 * self.padding + 1, size=2)
        return np.array([mirror, top, left], dtype=np.int64)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augment a batch.

        Args:
            images: (N, H, W, 3) uint8.
            draws: (N, 3) int64 of `draw`, on the same device.

        Returns:
            (N, H, W, 3) uint8.
        """
        count, height, width, _ = images.shape
        mirror, top, left = draws.T[:, :, None]
        row, column = (torch.arange(side, device=images.device) for side in (height, width))
        rows, columns = row + top - self.padding, column + left - self.padding  # (N, H), (N, W) in the image
        inside = _within(rows, height)[:, :, None] & _within(columns, width)[:, None, :]
        columns = torch.where(mirror > 0, width - 1 - columns, columns)
        image = torch.arange(count, device=images.device)[:, None, None]
        cropped = images[image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
        cropped *= inside[..., None]
        return cropped


def _within(values: Tensor, side: int) -> Tensor:
    return (values >= 0) & (values < side)
