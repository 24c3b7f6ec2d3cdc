"""Means over the labelled images of a batch; CAD-Net may be trained with labels of some identities only."""

from __future__ import annotations

import torch
from torch import Tensor

from crreid.distributed import gathered, processes


def mean_over(chosen: Tensor, values: Tensor) -> Tensor:
    """Return the mean of values (N,) where `chosen` (N,) bool is set, 0 where none is.

    Where several processes train together, the mean is over the images of all of them. Indexing by the mask would be
    shorter, but it would make the CPU wait for the GPU.
    """
    counted = gathered(chosen.float()).sum() / processes().count  # a process's share, since gradients are averaged
    return torch.where(chosen, values, 0).sum() / counted.clamp(min=1 / processes().count)
