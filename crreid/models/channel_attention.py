"""Channel attention: one scale per channel, computed from the channels' means.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 2-4, after RCAN (Zhang et al., ECCV 2018).
Differs from the paper: nothing in the equations. The paper gives the "ratio r = 4", its authors' release a bottleneck
of four channels (a ratio of 16 at width 64); the bottleneck is therefore given here in channels.

The equations, the ReLU that may follow and the gradients of both are one operation here. Written as separate modules
they made a training step of VDSR-CA a third longer on a CPU (bfloat16, 12 x 256 x 128) and kept twice the maps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from crreid.numerics import without_autocast

_VALUES_IN_CACHE = 2**20  # 2 MiB in bfloat16


class ChannelAttention(nn.Module):
    """Multiplies each channel by a factor between 0 and 1 (Eq. 2): f_c * sigmoid(W_U relu(W_D mean(f)))_c."""

    def __init__(self, channels: int, bottleneck: int, *, rectified: bool = False) -> None:
        """Build the two 1x1 convolutions W_D and W_U of Eq. 3, both with bias.

        `bottleneck` are the channels between them: 4 in the authors' release, C / 4 by the paper's text. A ReLU that
        follows is `rectified`, within the same operation.
        """
        super().__init__()
        self.rectified = rectified
        self.reduce = nn.Conv2d(channels, bottleneck, kernel_size=1)
        self.expand = nn.Conv2d(bottleneck, channels, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Scale the channels of (N, C, height, width) and, if `rectified`, set what is negative to 0.

        The result has the dtype and layout of `maps`; do not change it in place before the backward pass, which needs
        it.
        """
        attended: Tensor = _Attention.apply(
            maps, self.reduce.weight, self.reduce.bias, self.expand.weight, self.expand.bias, self.rectified
        )
        return attended


class _Attention(torch.autograd.Function):
    """Eq. 2-4 and the ReLU, which keep of all maps only the result; vectors in at least float32, also under autocast.

    In the letters of `backward`: x are the maps, m their means, s the scales, y the result.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, rectified: bool
    ) -> Tensor:
        """Return y = x s, rectified or not; s = sigmoid(U h + b_U), h = relu(D m + b_D), m = mean(x)."""
        vectors = torch.promote_types(maps.dtype, torch.float32)
        down, down_bias, up, up_bias = (weight.to(vectors) for weight in (down, down_bias, up, up_bias))
        means = _sums(maps) / maps[0, 0].numel()
        with without_autocast(maps):
            hidden = torch.addmm(down_bias, means, down.flatten(1).t()).relu_()
            scales = torch.addmm(up_bias, hidden, up.flatten(1).t()).sigmoid_()
        attended = maps * scales.to(maps.dtype)[:, :, None, None]
        if rectified:
            attended.relu_()
        ctx.rectified = rectified
        ctx.save_for_backward(attended, means, hidden, scales, down, up)
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the maps and the weights from g = dL/dy.

        With p the indicator of y > 0 (1 everywhere without ReLU), a the scores before the sigmoid, P pixels:

            dL/da = s (1 - s) sum(g p x) = (1 - s) sum(g y)      since p x s = y: x itself is not needed
            dL/dh = (h > 0) U^T dL/da
            dL/dm = D^T dL/dh
            dL/dx = g p s + dL/dm / P
        """
        attended, means, hidden, scales, down, up = ctx.saved_tensors
        by_score = _sums(gradient, attended) * (1 - scales)
        with without_autocast(gradient):
            by_hidden = torch.mm(by_score, up.flatten(1)) * (hidden > 0)
            by_down, by_up = torch.mm(by_hidden.t(), means), torch.mm(by_score.t(), hidden)
            by_means = torch.mm(by_hidden, down.flatten(1))
        by_maps = None
        if ctx.needs_input_grad[0]:
            passed = torch.ops.aten.threshold_backward(gradient, attended, 0) if ctx.rectified else gradient
            by_maps = passed if ctx.rectified else torch.empty_like(gradient)
            shares = by_means / gradient[0, 0].numel()
            torch.addcmul(_as_row(shares, passed), passed, _as_row(scales, passed), out=by_maps)
        return by_maps, by_down.view_as(down), by_hidden.sum(0), by_up.view_as(up), by_score.sum(0), None


def _sums(maps: Tensor, factors: Tensor | None = None) -> Tensor:
    """Return the sums of maps, or of their products with factors, over height and width: (N, C), at least float32.

    On a CPU a few images at a time, so that products and conversions to float32 stay in the cache.
    """
    at_once = max(1, _VALUES_IN_CACHE // maps[0].numel()) if maps.device.type == "cpu" else len(maps)
    parts = iter(torch.split(maps, at_once))
    if factors is not None:
        parts = (part * factor for part, factor in zip(parts, torch.split(factors, at_once), strict=True))
    dtype = torch.promote_types(maps.dtype, torch.float32)
    return torch.cat([part.sum(dim=(2, 3), dtype=dtype) for part in parts])


def _as_row(vectors: Tensor, maps: Tensor) -> Tensor:
    """Return vectors (N, C) as one row (N, C, 1, width) of maps, in their dtype and layout.

    Of a single pixel (N, C, 1, 1), a CPU's kernels for bfloat16 read one value at a time: up to 16 x slower.
    """
    layout = torch.channels_last if maps.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    row = vectors.to(maps.dtype)[:, :, None, None].expand(-1, -1, 1, maps.shape[3])
    return row.contiguous(memory_format=layout)
