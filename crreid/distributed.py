"""Several processes that train one method together, started by torchrun: each takes its share of every batch.

The gradients are those of one process on the whole batch: losses are means over equal shares, which
DistributedDataParallel averages, and the batch-hard triplet sees the embeddings of all shares. Batch normalisation: on
GPUs its statistics are those of the whole batch; on processors, for which PyTorch has no such layer, of each share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Processes", "averaged", "distributed_losses", "gathered", "process_group", "processes"]


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Who trains together.

    Attributes:
        rank: Of this process, from 0. The first one writes records and checkpoints.
        count: How many there are; 1 where this process trains alone.
    """

    rank: int
    count: int


def processes() -> Processes:
    """This process among those of the group."""
    if not distributed.is_initialized():
        return Processes(rank=0, count=1)
    return Processes(rank=distributed.get_rank(), count=distributed.get_world_size())


@contextmanager
def process_group() -> Iterator[Processes]:
    """Joins the group that torchrun tells of by its environment variables; without torchrun there is none to join."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield processes()
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield processes()
    finally:
        distributed.destroy_process_group()


def gathered(tensor: Tensor) -> Tensor:
    """The rows of all processes, by rank: (N, ...) -> (count N, ...); gradients flow back to where rows came from.

    A process that trains alone gets its tensor back.
    """
    if processes().count == 1:
        return tensor
    return torch.cat(all_gather(tensor))  # type: ignore[no-untyped-call]


def averaged(tensor: Tensor) -> Tensor:
    """The mean over all processes of a tensor that each holds."""
    if processes().count > 1:
        distributed.all_reduce(tensor)
        tensor /= processes().count
    return tensor


class _Losses(nn.Module):
    """A method's losses as a forward pass, which is where DistributedDataParallel hooks in."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Any, player: str) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.method.losses(batch, player)  # type: ignore[operator]
        return losses


def distributed_losses(method: nn.Module) -> nn.Module:
    """`method.losses` as a module whose backward pass averages the gradients of all processes."""
    losses = _Losses(method)
    if processes().count == 1:
        return losses
    # players leave each other's parameters without gradients; buffers are those of the first process when saved
    return DistributedDataParallel(losses, find_unused_parameters=True, broadcast_buffers=False)
