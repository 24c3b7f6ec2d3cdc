"""Cross entropy with label smoothing.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 8 and 9; CAD-Net's L_cls with epsilon 0, where some training
images may lack a label. Differs from the papers: mean over the images, not sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crreid.losses.labelled import mean_over
from crreid.numerics import at_least_float32, without_autocast


def label_smoothing_cross_entropy(
    logits: Tensor, targets: Tensor, epsilon: float = 0.1, labelled: Tensor | None = None
) -> Tensor:
    """Return the mean over images of -sum_y q(y) log p(y) (Eq. 8).

    p is the softmax of the logits; q is 1 - epsilon (M - 1) / M at the true class and epsilon / M elsewhere (Eq. 9).

    Args:
        logits: (N, M) float, before softmax.
        targets: (N,) int64, the classes 0 to M - 1.
        epsilon: Share of the probability that is spread over all classes, in [0, 1).
        labelled: (N,) bool, the images whose target may be read; None for all.

    The mean is 0 where no image is labelled.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
        >>> label_smoothing_cross_entropy(logits, torch.tensor([0, 2]))
        tensor(0.3026)
    """
    with without_autocast(logits):
        scores = at_least_float32(logits)
        if labelled is None:
            return torch.nn.functional.cross_entropy(scores, targets, label_smoothing=epsilon)
        targets = torch.where(labelled, targets, 0)  # any class will do for an image that is not counted
        each = torch.nn.functional.cross_entropy(scores, targets, reduction="none", label_smoothing=epsilon)
        return mean_over(labelled, each)
