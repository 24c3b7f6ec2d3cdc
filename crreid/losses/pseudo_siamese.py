"""Pseudo-siamese loss: pulls the low-resolution network's outputs to those of its high-resolution twin.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 11 and Table VII. Differs from the paper: mean over the
elements of each member, not sum, as in the authors' release. Paper and release differ in the members: both are rows
of Table VII.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crreid.numerics import at_least_float32, without_autocast

MEMBERS = ("seq1", "seq2", "seq3", "seq4", "seq5", "logits")
"""The ordered set A of the paper: Seq(1) to Seq(5) and the class scores l_c."""

PAPER_MEMBERS = ("seq1", "seq4", "seq5", "logits")
"""The combination that the paper adopts (last row of Table VII)."""

RELEASE_MEMBERS = MEMBERS
"""The combination of the authors' release (middle row of Table VII)."""


def pseudo_siamese_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Return the sum over the members of the mean absolute difference of student and teacher (Eq. 11).

    A member is (N, length). The student saw N restored low-resolution images, the teacher, into which no gradient
    flows, the N high-resolution ones.

    Example:
        >>> pseudo_siamese_loss([torch.zeros(2, 3), torch.zeros(2, 5)], [torch.ones(2, 3), torch.full((2, 5), 0.5)])
        tensor(1.5000)
    """
    distances = []
    for ours, aim in zip(student, teacher, strict=True):
        with without_autocast(ours):
            distances.append(torch.nn.functional.l1_loss(at_least_float32(ours), at_least_float32(aim.detach())))
    return torch.stack(distances).sum()
