"""What a network costs: parameters, multiply-adds, time and memory of one forward pass."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from crreid.errors import InputError
from crreid.numerics import keep_freed_memory

__all__ = ["Cost", "cost", "fastest_seconds", "multiply_adds", "peak_bytes", "seconds_of"]


LEAST_SECONDS = 0.3
"""A small network passes in a millisecond; of many such passes one is delayed by nothing else on the machine."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network costs in one forward pass of one batch; all but the latency repeat exactly on one device.

    Attributes:
        parameters: Numbers in all parameters, trainable or frozen.
        multiply_adds: See `multiply_adds`.
        latency_milliseconds: Of the fastest pass measured; others wait for whatever else the machine does.
        peak_bytes: See `peak_bytes`.
    """

    parameters: int
    multiply_adds: int
    latency_milliseconds: float
    peak_bytes: int


@torch.inference_mode()
def cost(module: nn.Module, *, size: tuple[int, int], batch: int = 1, device: torch.device, repeats: int = 10) -> Cost:
    """Measures a network on noise, in float32 and for inference.

    Args:
        module: Takes images (batch, 3, height, width) and may return anything; moved to `device` and set to evaluation
            mode here.
        size: (height, width) of the images.
        batch: Images of a pass. Multiply-adds, latency and memory are those of the batch, not of an image.
        device: Where to measure.
        repeats: Passes timed at least, after two that are not; more until `LEAST_SECONDS` have gone.

    Raises:
        InputError: Less than one repeat.
    """
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, not {repeats}")
    keep_freed_memory()  # as in training; else it depends on the process's history whether each map costs page faults
    module.to(device).eval()
    images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    return Cost(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        multiply_adds=multiply_adds(module, images),
        peak_bytes=peak_bytes(module, images),
        latency_milliseconds=1000 * fastest_seconds(lambda: module(images), device, repeats),
    )


@torch.inference_mode()
def multiply_adds(module: nn.Module, images: Tensor) -> int:
    """Multiply-adds of one forward pass: half the floating-point operations that PyTorch's counter counts.

    It counts convolutions, matrix products and attention; as is usual, not normalisation, activation, pooling and
    resizing. On the device `meta` nothing is computed, so that a large network is counted at once.
    """
    with FlopCounterMode(display=False) as counter:
        module(images)
    return int(counter.get_total_flops()) // 2


@torch.inference_mode()
def peak_bytes(module: nn.Module, images: Tensor) -> int:
    """The most memory in use at once during one forward pass, besides weights and input.

    On a GPU what PyTorch's allocator reports, which includes the scratch memory of its kernels. Elsewhere the sum of
    the tensors that live after an operation, its inputs among them; scratch memory within an operation is not seen.
    """
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
        torch.cuda.reset_peak_memory_stats(images.device)
        before = int(torch.cuda.memory_allocated(images.device))
        module(images)
        return int(torch.cuda.max_memory_allocated(images.device)) - before
    memory = _LiveTensors([images, *module.parameters(), *module.buffers()])
    with memory:
        module(images)
    return memory.peak


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the storages made under it that live after each operation, and keeps the peak.

    A storage that several tensors share, such as a view or the result of an operation in place, counts once.
    """

    def __init__(self, besides: list[Tensor]) -> None:
        """`besides`: tensors whose storages do not count; they must stay alive."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._besides = {_storage(tensor) for tensor in besides}
        self._alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._alive[_storage(tensor)] = tensor.untyped_storage().nbytes()
        self._alive = {
            storage: size
            for storage, size in self._alive.items()
            if storage not in self._besides and not storage.expired()  # type: ignore[no-untyped-call]
        }
        self.peak = max(self.peak, sum(self._alive.values()))
        return result


def _storage(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def fastest_seconds(action: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Of so many times, and of more until `LEAST_SECONDS` have gone; the others wait for what else the machine does.

    Args:
        action: What to time; done before, as a first time allocates and chooses kernels.
        device: Where it computes.
        repeats: At least 1.
    """
    fastest, times, started = math.inf, 0, time.perf_counter()
    while times < repeats or time.perf_counter() - started < LEAST_SECONDS:
        fastest, times = min(fastest, seconds_of(action, device)), times + 1
    return fastest


def seconds_of(action: Callable[[], object], device: torch.device) -> float:
    """Seconds that an action takes; work that a GPU has not finished counts."""
    started = time.perf_counter()
    action()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - started
