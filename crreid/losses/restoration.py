"""Restoration loss: how far restored images are from the high-resolution ones.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 5. Differs from the paper: mean over all elements, not sum; and
the distance is taken per image, where Eq. 5 prints an expectation inside the norm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crreid.errors import InputError
from crreid.numerics import at_least_float32, without_autocast


def restoration_loss(restored: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference, in units of the normalised images; InputError where the shapes differ.

    Both are (N, 3, height, width) float, ImageNet-normalised; CAD-Net++ compares maps of features alike.

    Example:
        >>> restoration_loss(torch.zeros(2, 3, 8, 4), torch.full((2, 3, 8, 4), 0.5))
        tensor(0.5000)
    """
    if restored.shape != target.shape:  # which torch would broadcast silently
        raise InputError(
            f"restored images are {tuple(restored.shape)}, their targets {tuple(target.shape)}; expected equal"
        )
    with without_autocast(restored):
        return torch.nn.functional.l1_loss(at_least_float32(restored), at_least_float32(target))
