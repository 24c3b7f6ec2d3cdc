"""Where half precision stops: sums and distances of thousands of elements lose too much in bfloat16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = ["at_least_float32", "without_autocast"]


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor as float32 if its type is narrower; float32 and float64 are returned as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(tensor: Tensor) -> AbstractContextManager[Any]:
    """Context in which operations on the tensor's device are not cast down."""
    if tensor.device.type == "meta":  # which autocast does not know
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)
