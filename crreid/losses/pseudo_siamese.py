"""Pseudo-siamese loss: pulls the low-resolution network's outputs to those of its high-resolution twin.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 11 and Table VII. Differs from the paper: mean over the
elements of each member, not sum, as in the authors' release. Paper and release differ in the members: both are rows
of Table VII.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from crreid.numerics import at_least_float32, without_autocast

MEMBERS = ("seq1", "seq2", "seq3", "seq4", "seq5", "logits")
"""The ordered set A of the paper: Seq(1) to Seq(5) and the class scores l_c."""

PAPER_MEMBERS = ("seq1", "seq4", "seq5", "logits")
"""The combination that the paper adopts (last row of Table VII)."""

RELEASE_MEMBERS = MEMBERS
"""The combination of the authors' release (middle row of Table VII)."""


class TwinOutput(Protocol):
    """A network's output as far as the loss reads it; `HRNetReIDOutput` is one."""

    @property
    def sequences(self) -> Sequence[Tensor]:
        """Seq(1) to Seq(5), each (N, length)."""
        ...

    @property
    def logits(self) -> Tensor:
        """l_c, (N, identities)."""
        ...


def pseudo_siamese_loss(student: TwinOutput, teacher: TwinOutput, members: Sequence[str]) -> Tensor:
    """Return the sum over the members of the mean absolute difference of student and teacher (Eq. 11).

    The student saw N restored low-resolution images, the teacher, into which no gradient flows, the N high-resolution
    ones; `members` are one or more of MEMBERS.
    """
    distances = []
    for name in members:
        ours, aim = (
            each.logits if name == "logits" else each.sequences[MEMBERS.index(name)] for each in (student, teacher)
        )
        with without_autocast(ours):
            distances.append(torch.nn.functional.l1_loss(at_least_float32(ours), at_least_float32(aim.detach())))
    return torch.stack(distances).sum()
