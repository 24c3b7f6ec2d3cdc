"""A method whose every batch several processes share: the gradients that each gets are those of the whole batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from crreid.distributed import gathered, processes


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
