"""Cross entropy with label smoothing.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 8 and 9. Differs from the paper: mean over the batch, not sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crreid.errors import InputError
from crreid.numerics import at_least_float32, without_autocast

__all__ = ["label_smoothing_cross_entropy", "smoothed_targets"]


def label_smoothing_cross_entropy(logits: Tensor, targets: Tensor, epsilon: float = 0.1) -> Tensor:
    """Mean over images of -sum_y q(y) log p(y) (Eq. 8), with p the softmax of the logits and q of Eq. 9.

    Args:
        logits: (N, M) float, before softmax.
        targets: (N,) integer, the classes 0 to M - 1.
        epsilon: Share of the probability that is spread over all classes, in [0, 1).

    Returns:
        Scalar, float32 or wider.

    Raises:
        InputError: A shape, epsilon or, looked at on a processor only, a class is out of range.
    """
    _check(targets, logits.shape[-1], epsilon)
    if logits.ndim != 2 or len(logits) != len(targets):
        raise InputError(f"logits of {len(targets)} images must have shape (N, M), not {tuple(logits.shape)}")
    with without_autocast(logits):
        return torch.nn.functional.cross_entropy(at_least_float32(logits), targets, label_smoothing=epsilon)


def smoothed_targets(targets: Tensor, identities: int, epsilon: float = 0.1) -> Tensor:
    """The distribution q of Eq. 9: 1 - epsilon (M - 1) / M at the true class, epsilon / M at the others.

    Args:
        targets: (N,) integer, the classes 0 to M - 1.
        identities: Number M of classes.
        epsilon: As in `label_smoothing_cross_entropy`.

    Returns:
        (N, M) float32; rows sum to 1.

    Raises:
        InputError: As `label_smoothing_cross_entropy`.
    """
    _check(targets, identities, epsilon)
    rows = torch.full((len(targets), identities), epsilon / identities, device=targets.device)
    return rows.scatter(1, targets[:, None], 1 - epsilon * (identities - 1) / identities)


def _check(targets: Tensor, identities: int, epsilon: float) -> None:
    if not 0 <= epsilon < 1:
        raise InputError(f"label smoothing's epsilon must lie in [0, 1), not {epsilon}")
    if targets.ndim != 1 or len(targets) == 0 or targets.dtype != torch.int64:
        raise InputError(
            f"targets must be (N,) of type int64 and not empty, not {tuple(targets.shape)} {targets.dtype}"
        )
    if targets.device.type != "cpu":
        return  # to look at values would make the processor wait for the device
    lowest, highest = torch.stack(torch.aminmax(targets)).tolist()
    if lowest < 0 or highest >= identities:
        raise InputError(f"targets must be classes 0 to {identities - 1}; found {lowest if lowest < 0 else highest}")
