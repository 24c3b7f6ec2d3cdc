"""Where half precision ends, and how memory is kept for the next allocation."""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor as float32 if its type is narrower; float32 and float64 are returned as they are.

    Sums and distances of thousands of elements lose too much in bfloat16.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(tensor: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which operations on the tensor's device are not cast down."""
    if tensor.device.type == "meta":  # which autocast does not know
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for the next allocation; do nothing elsewhere.

    By default glibc takes every large block from the kernel anew, which clears its pages: 40 % of the time of a
    training step of PS-HRNet at 256 x 128 on two CPU cores. The process keeps its peak of memory to its end. No result
    depends on it.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
