"""Several processes that train one method together, started by torchrun: who they are and what they tell each other.

Each takes its share of every batch (`IdentitySampler`). The gradients are those of one process on the whole batch:
losses are means over equal shares, whose gradients are averaged; those that compare images, as the batch-hard triplet,
gather the embeddings of all shares; batch normalisation takes the statistics of the whole batch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from crreid.errors import InputError

Value = TypeVar("Value")

PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Who trains together: `rank` counts from 0, the first writes the files; `count` is 1 for one alone."""

    rank: int
    count: int


def processes() -> Processes:
    """Return this process among those of the group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Processes(rank=0, count=1)
    return Processes(rank=distributed.get_rank(), count=distributed.get_world_size())


@contextmanager
def process_group(device: str = "auto") -> Iterator[Processes]:
    """Join the group that torchrun tells of by its environment variables; without torchrun there is none to join.

    `device` `auto` or `cuda` gives each process of a machine a GPU of its own, where there are any; else it is `cpu`.

    Raises:
        InputError: The machine has fewer GPUs than processes, or the device is a particular GPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield processes()
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        if device not in ("auto", "cuda"):
            raise InputError(f"each process takes a GPU of its own; with several, device must be cuda, not {device!r}")
        local, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= found:
            raise InputError(f"more processes than GPUs, {found}; start one process per GPU, or choose the device cpu")
        torch.cuda.set_device(local)
    # the others wait while the first one evaluates; where it fails, torchrun ends them
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=timedelta(days=1))
    distributed.all_reduce(torch.zeros(1))  # a process that fails at once must not break the others' connection
    yield processes()
    # not after an error: the others may still be waiting, until torchrun ends them since this process failed
    distributed.destroy_process_group()


def wait_for_first_to_fail() -> None:
    """Let the first process say why all of them stop; torchrun then ends the others before they say it again."""
    if int(os.environ.get("RANK", "0")) > 0:
        time.sleep(PATIENCE_SECONDS)


def of_first(read: Callable[[], Value]) -> Value:
    """Return what `read` returns in the first process, in all: they must not differ in what they find on disk."""
    if processes().count == 1:
        return read()
    values: list[Any] = [read() if processes().rank == 0 else None]
    distributed.broadcast_object_list(values)
    value: Value = values[0]
    return value


def averaged(tensor: Tensor) -> Tensor:
    """Replace a tensor that each process holds by the mean over all processes, in place."""
    if processes().count > 1:
        distributed.all_reduce(tensor)
        tensor /= processes().count
    return tensor


def gathered(tensor: Tensor) -> Tensor:
    """Return the rows of all processes by rank, (count N, ...); gradients flow back to their process."""
    if processes().count == 1:
        return tensor
    rows: Tensor = _Gather.apply(tensor)
    return rows


class _Gather(torch.autograd.Function):
    """Backward, a process's rows get the sum of what the losses of all processes have against them."""

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        everyone = [torch.empty_like(rows) for _ in range(processes().count)]
        distributed.all_gather(everyone, rows)
        return torch.cat(everyone)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        together, total = processes(), gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total.chunk(together.count)[together.rank]
