"""Verification loss: a small network says from the difference of two descriptors whether they show one person.

Source: LRAR (Wu et al., arXiv 2207.13037): p(same | v_i - v_j) = Sigmoid(f(v_i - v_j)) with f an MLP, and binary cross
entropy. Differs from the paper: mean over the pairs, not sum. It does not say which pairs, how wide f is, or what v_i -
v_j is where v_i is longer than v_j. Here: every ordered pair of two images of the batch, so that the order of the batch
does not matter; and only the dimensions that both have, as in the paper's distance. Where several processes train
together, each takes its own images as i and those of all of them as j.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crreid.distributed import gathered, processes
from crreid.numerics import at_least_float32, without_autocast


class VerificationHead(nn.Module):
    """f: differences of descriptors to the logarithm of the odds that they show one person; linear, ReLU, linear."""

    def __init__(self, length: int, hidden: int = 512) -> None:
        super().__init__()
        self.hidden = nn.Linear(length, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, differences: Tensor) -> Tensor:
        """Return the log odds (P,) of differences (P, length)."""
        scores: Tensor = self.score(self.hidden(differences).relu())
        return scores.squeeze(1)


def verification_loss(head: nn.Module, descriptors: Tensor, identities: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean over all ordered pairs of different images of -y log p - (1 - y) log(1 - p).

    Args:
        head: f, from (P, D) to (P,); p = Sigmoid(f(v_i - v_j)).
        descriptors: (N, D) float, at least two.
        identities: (N,) integer; y is 1 where they are equal.
        lengths: (N,) integer: how many of its first dimensions an image has. A pair is compared on those that both
            have.
    """
    count = len(identities)
    with without_autocast(descriptors):
        points = at_least_float32(descriptors)
        others, of = gathered(points), gathered(identities)
        differences = points[:, None] - others  # (N, images of all processes, D)
        common = torch.minimum(lengths[:, None], gathered(lengths))
        dimensions = torch.arange(points.shape[1], device=points.device)
        differences = differences * (dimensions < common[:, :, None])
        scores = head(differences.flatten(end_dim=1)).view(count, len(others))
        same = (identities[:, None] == of).to(scores.dtype)
        own = torch.arange(count, device=points.device) + processes().rank * count
        different = own[:, None] != torch.arange(len(others), device=points.device)
        losses = nn.functional.binary_cross_entropy_with_logits(scores, same, reduction="none")
        return (losses * different).sum() / (count * (len(others) - 1))
