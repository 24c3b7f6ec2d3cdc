"""Verification loss: a small network says from the difference of two descriptors whether they show one person.

Source: LRAR (Wu et al., arXiv 2207.13037): p(same | v_i - v_j) = Sigmoid(f(v_i - v_j)) with f an MLP, and binary cross
entropy. Differs from the paper: mean over the pairs, not sum. It does not say which pairs, how wide f is, or what v_i -
v_j is where v_i is longer than v_j. Here: every ordered pair of two images of the batch, so that the order of the batch
does not matter; and only the dimensions that both have, as in the paper's distance, or zeros for those that one lacks.
Where several processes train together, each takes its own images as i and those of all of them as j.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crreid.distributed import gathered, processes
from crreid.errors import InputError
from crreid.numerics import at_least_float32, without_autocast

__all__ = ["VerificationHead", "verification_loss"]


class VerificationHead(nn.Module):
    """f: differences of descriptors to the logarithm of the odds that they show one person.

    With hidden units: linear, ReLU, linear. Without: linear on the squared difference, since on the difference itself
    its answers for (i, j) and (j, i) would add up to a constant.
    """

    def __init__(self, length: int, hidden: int = 512) -> None:
        """Random weights.

        Args:
            length: Of the descriptors.
            hidden: Units of the MLP's hidden layer; 0 for the linear head.

        Raises:
            InputError: A number is out of range.
        """
        super().__init__()
        if length < 1 or hidden < 0:
            raise InputError(f"a verification head needs length >= 1 and hidden >= 0, not {length} and {hidden}")
        self.hidden = nn.Linear(length, hidden) if hidden else None
        self.score = nn.Linear(hidden or length, 1)

    def forward(self, differences: Tensor) -> Tensor:
        """(P, length) to (P,) float."""
        features = differences.square() if self.hidden is None else self.hidden(differences).relu()
        scores: Tensor = self.score(features)
        return scores.squeeze(1)


def verification_loss(
    head: nn.Module, descriptors: Tensor, identities: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Mean over all ordered pairs of different images of -y log p - (1 - y) log(1 - p), p = Sigmoid(head(v_i - v_j)).

    Args:
        head: (P, D) to (P,).
        descriptors: (N, D) float.
        identities: (N,) integer; y is 1 where they are equal.
        lengths: (N,) integer: how many of its first dimensions an image has. A pair is compared on those that both
            have. None compares all.

    Returns:
        Scalar, float32 or wider.

    Raises:
        InputError: A shape does not fit, or there is no pair.
    """
    count = len(identities)
    if count < 2 or descriptors.ndim != 2 or len(descriptors) != count:
        raise InputError(
            f"descriptors of at least two images must be (N, D), not {tuple(descriptors.shape)} for {count} identities"
        )
    with without_autocast(descriptors):
        points = at_least_float32(descriptors)
        others, of = gathered(points), gathered(identities)
        differences = points[:, None] - others  # (N, images of all processes, D)
        if lengths is not None:
            common = torch.minimum(lengths[:, None], gathered(lengths))
            dimensions = torch.arange(points.shape[1], device=points.device)
            differences = differences * (dimensions < common[:, :, None])
        scores = head(differences.flatten(end_dim=1)).view(count, len(others))
        same = (identities[:, None] == of).to(scores.dtype)
        own = torch.arange(count, device=points.device) + processes().rank * count
        different = own[:, None] != torch.arange(len(others), device=points.device)
        losses = nn.functional.binary_cross_entropy_with_logits(scores, same, reduction="none")
        return (losses * different).sum() / (count * (len(others) - 1))
