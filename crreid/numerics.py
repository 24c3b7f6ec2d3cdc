"""Where half precision ends, how many threads compute, and how memory is kept for the next allocation."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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


def effective_precision(precision: str, device: torch.device) -> str:
    """Return in which precision a device computes what is set to `precision`: `bf16` only where it has instructions.

    A processor without them emulates bfloat16, several times slower than it computes float32.
    """
    return precision if precision == "fp32" or _computes_bf16(device) else "fp32"


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    if platform.machine() in ("aarch64", "arm64"):  # elsewhere oneDNN counts emulation, too
        return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@contextmanager
def one_thread() -> Iterator[None]:
    """Leave torch one thread while the block runs, or each call of a decorated function, unless OMP_NUM_THREADS is set.

    Small networks gain little from a second one, which waits for the first beside any busy process, and the last bits
    of a training depend on their number.
    """
    threads = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
