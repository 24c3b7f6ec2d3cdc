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
from crreid.numerics import at_least_float32, without_autocast

__all__ = ["batch_hard_triplet", "sequence_triplet"]


def batch_hard_triplet(embeddings: Tensor, identities: Tensor, margin: float = 0.3) -> Tensor:
    """Mean over anchors of [margin + distance to the farthest positive - distance to the nearest negative]_+.

    Args:
        embeddings: (N, D) float, any scale; Euclidean distances are taken as they are.
        identities: (N,) integer; every identity at least twice, at least two identities.
        margin: In the units of the embeddings.

    Returns:
        Scalar, float32 or wider. Images at distance zero contribute no gradient (rather than NaN).

    Raises:
        InputError: A shape does not fit, or, looked at on a processor only, an anchor has no positive or no negative.
    """
    _check(identities)
    return _batch_hard(embeddings, identities, margin)


def sequence_triplet(sequences: Sequence[Tensor], identities: Tensor, margin: float = 0.3) -> Tensor:
    """L_BH of Eq. 7: the sum of `batch_hard_triplet` over Seq(1) to Seq(5).

    Args:
        sequences: Each (N, length); lengths may differ.
        identities: As in `batch_hard_triplet`.
        margin: As in `batch_hard_triplet`.

    Returns:
        Scalar, float32 or wider.

    Raises:
        InputError: As `batch_hard_triplet`, or there is no sequence.
    """
    if not sequences:
        raise InputError("the triplet loss needs at least one sequence")
    _check(identities)
    return torch.stack([_batch_hard(sequence, identities, margin) for sequence in sequences]).sum()


def _batch_hard(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    if embeddings.ndim != 2 or len(embeddings) != len(identities):
        raise InputError(f"embeddings of {len(identities)} images must be (N, D), not {tuple(embeddings.shape)}")
    with without_autocast(embeddings):
        points = at_least_float32(embeddings)
        candidates, of = gathered(points), gathered(identities)
        # not by matrix product: that loses the distances of near duplicates to cancellation
        distances = torch.cdist(points, candidates, compute_mode="donot_use_mm_for_euclid_dist")
        same = identities[:, None] == of[None, :]
        farthest_positive = distances.masked_fill(~same, -torch.inf).max(dim=1).values
        nearest_negative = distances.masked_fill(same, torch.inf).min(dim=1).values
        return (margin + farthest_positive - nearest_negative).clamp(min=0).mean()


def _check(identities: Tensor) -> None:
    if identities.ndim != 1 or len(identities) == 0:
        raise InputError(f"identities must be (N,) and not empty, not {tuple(identities.shape)}")
    if identities.device.type != "cpu" or processes().count > 1:
        return  # to look would make the processor wait for a GPU; and other processes hold the other identities
    values, counts = torch.unique(identities, return_counts=True)
    if len(values) < 2:
        raise InputError(
            f"the batch shows identity {int(values[0])} only; the triplet loss needs at least two identities"
        )
    if int(counts.min()) < 2:
        alone = int(values[counts.argmin()])
        raise InputError(f"the batch has one image of identity {alone}; the triplet loss needs two of each identity")
