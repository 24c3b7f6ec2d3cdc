"""Batch-hard triplet loss.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 7, after Hermans et al. (arXiv 1703.07737).
Differs from the paper: mean over anchors, not sum; margin 0.3 as in the authors' release, where the text says 0.1;
negatives are images of other persons (the index printed under Eq. 7's minimum compares a person with an image).
Distances are of raw, not normalised, embeddings, as in both. Where several processes train together, each takes the
mean over its own anchors, whose positives and negatives come from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crreid.distributed import gathered, processes
from crreid.errors import InputError
from crreid.losses.labelled import mean_over
from crreid.numerics import at_least_float32, without_autocast


def batch_hard_triplet(
    embeddings: Tensor, identities: Tensor, margin: float = 0.3, labelled: Tensor | None = None
) -> Tensor:
    """Return the mean over anchors of [margin + distance to farthest positive - distance to nearest negative]_+.

    Args:
        embeddings: (N, D) float, any scale; Euclidean distances are taken as they are.
        identities: (N,) integer; every identity at least twice, at least two identities.
        margin: In the units of the embeddings.
        labelled: (N,) bool, the images that may be anchor, positive or negative; None for all. The mean is then over
            the anchors that have a negative.

    The mean is 0 where no labelled anchor has a negative; images at distance zero contribute no gradient (rather than
    NaN). Where all images are labelled, and on a CPU only, an anchor without positive or negative is an InputError.

    Example:
        >>> points = torch.tensor([[0.0], [1.0], [3.0], [3.0]])
        >>> batch_hard_triplet(points, torch.tensor([7, 7, 8, 8]), margin=1.5)  # only 1.0 is too near the others
        tensor(0.1250)
    """
    if labelled is None:
        _check(identities)
    with without_autocast(embeddings):
        points = at_least_float32(embeddings)
        others = gathered(identities if labelled is None else torch.where(labelled, identities, -1))
        # not by matrix product: that loses the distances of near duplicates to cancellation
        distances = torch.cdist(points, gathered(points), compute_mode="donot_use_mm_for_euclid_dist")
        positive = identities[:, None] == others
        negative = ~positive
        if labelled is not None:
            positive, negative = positive & labelled[:, None], negative & labelled[:, None] & (others >= 0)
        farthest_positive = distances.masked_fill(~positive, -torch.inf).max(dim=1).values
        nearest_negative = distances.masked_fill(~negative, torch.inf).min(dim=1).values
        # minus infinity without a positive or a negative, which is clamped with no gradient
        each = (margin + farthest_positive - nearest_negative).clamp(min=0)
        return each.mean() if labelled is None else mean_over(negative.any(dim=1), each)


def sequence_triplet(sequences: Sequence[Tensor], identities: Tensor, margin: float = 0.3) -> Tensor:
    """Return L_BH of Eq. 7: the sum of `batch_hard_triplet` over Seq(1) to Seq(5), each (N, a length of its own)."""
    return torch.stack([batch_hard_triplet(sequence, identities, margin) for sequence in sequences]).sum()


def _check(identities: Tensor) -> None:
    if identities.device.type != "cpu" or processes().count > 1:
        return  # to look would make the CPU wait for a GPU; and other processes hold the other identities
    values, counts = torch.unique(identities, return_counts=True)
    if len(values) < 2:
        raise InputError(f"the batch shows {len(values)} identities; the triplet loss needs at least two")
    if int(counts.min()) < 2:
        alone = int(values[counts.argmin()])
        raise InputError(f"the batch has one image of identity {alone}; the triplet loss needs two of each identity")
