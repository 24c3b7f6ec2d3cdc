"""Several processes that train one method together, started by torchrun: who they are and what they tell each other.

Each takes its share of every batch (`IdentitySampler`). The gradients are those of one process on the whole batch:
losses are means over equal shares, whose gradients are averaged; those that compare images, as the batch-hard triplet,
gather the embeddings of all shares; batch normalisation takes the statistics of the whole batch.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

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


class _Losses(nn.Module):
    """A method's losses as a forward pass, which is where DistributedDataParallel hooks in."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Any, player: str) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.method.losses(batch, player)  # type: ignore[operator]
        return losses


def distributed_losses(method: nn.Module, learning: Iterable[nn.Parameter]) -> nn.Module:
    """`method.losses` as a module whose backward pass averages the gradients of all processes.

    Where there are several, they start from the first one's weights, and the method's batch normalisation takes the
    statistics of the whole batch from now on. `learning` are the parameters that ever learn, perhaps frozen now.
    """
    losses = _Losses(method)
    if processes().count == 1:
        return losses
    if next(method.parameters()).is_cuda:
        convert_sync_batchnorm(method)  # type: ignore[no-untyped-call]
    else:
        for layer in method.modules():
            if isinstance(layer, _BatchNorm):
                layer.forward = partial(_normalised, layer)  # type: ignore[method-assign]
    frozen = [parameter.requires_grad_() for parameter in learning if not parameter.requires_grad]
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # newer versions call it otherwise
        # players leave each other's parameters without gradients; moving statistics are the same everywhere anyway
        together = DistributedDataParallel(losses, find_unused_parameters=True, broadcast_buffers=False)
    for parameter in frozen:
        parameter.requires_grad_(False)
    return together


def _normalised(layer: _BatchNorm, inputs: Tensor) -> Tensor:
    """Batch normalisation of inputs (N, C, ...) by mean and variance over all processes, each with as many inputs."""
    count = processes().count
    if not layer.training or count == 1:
        outputs: Tensor = type(layer).forward(layer, inputs)
        return outputs
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.momentum is not None
    others, shape = [0, *range(2, inputs.ndim)], [1, -1, *[1] * (inputs.ndim - 2)]
    wide = inputs.to(layer.weight.dtype)
    own = torch.stack(torch.var_mean(wide, others, correction=0))
    variances, means = gathered(own[None]).unbind(1)
    # of equal shares: the mean of the variances, and the variance of the means
    variance, mean = variances.mean(0) + means.var(0, correction=0), means.mean(0)
    with torch.no_grad():
        size = count * inputs.numel() // inputs.shape[1]
        layer.running_mean.lerp_(mean, layer.momentum)
        layer.running_var.lerp_(variance * (size / (size - 1)), layer.momentum)
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked += 1
    scale = layer.weight * torch.rsqrt(variance + layer.eps)
    outputs = ((wide - mean.view(shape)) * scale.view(shape) + layer.bias.view(shape)).to(inputs.dtype)
    if isinstance(layer, BatchNormAct2d):  # timm's layer goes on
        outputs = layer.act(layer.drop(outputs))
    return outputs
