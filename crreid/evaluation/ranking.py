"""From a distance matrix to the scores of re-identification: matching characteristic and both mean average precisions.

Two mean average precisions exist in this field and differ by up to several points on the same ranking:

- at each hit: precision is averaged where a right image appears (torchreid, fast-reid, information retrieval);
- trapezoid: the mean of the precisions just before and at each hit is averaged, the rule of the Oxford-5k buildings
  that Market-1501's original evaluation took over (Zheng et al., ICCV 2015) and that the family of PS-HRNet reports.

Both are always computed and always named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from crreid.errors import InputError
from crreid.evaluation.labels import JUNK, Booleans, Integers, SameIdentity

__all__ = [
    "Distances",
    "QueryRankings",
    "RankLists",
    "RankingScores",
    "Unmatched",
    "check_scoring",
    "distance_blocks",
    "from_json",
    "rank_lists",
    "rank_queries",
    "summarise",
    "to_json",
]

Distances = NDArray[np.floating[Any]] | torch.Tensor  # (queries, gallery), smaller = more alike, no NaN
Unmatched = Literal["exclude", "zero"]


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryRankings:
    """What each query's ranking is worth; the means of it are in `RankingScores`.

    Attributes:
        first_match: (queries,) 0-based position of the first right image among the images that count, -1 without one.
        average_precision_hit: (queries,) in [0, 1], 0 without a valid match.
        average_precision_trapezoid: (queries,) in [0, 1], 0 without a valid match.
    """

    first_match: Integers
    average_precision_hit: NDArray[np.float64]
    average_precision_trapezoid: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first_match)

    def select(self, mask: Booleans) -> Self:
        """The queries where `mask`, (queries,), holds."""
        return type(self)(
            first_match=self.first_match[mask],
            average_precision_hit=self.average_precision_hit[mask],
            average_precision_trapezoid=self.average_precision_trapezoid[mask],
        )


@dataclass(frozen=True, kw_only=True)
class RankingScores:
    """Means over queries, as fractions; not a number where no query could be scored.

    Attributes:
        ranks: Cumulative matching characteristic: share of queries with a right image among the first 1, 5, ... images.
        map_hit: Mean average precision, precision averaged at each hit.
        map_trapezoid: Mean average precision of Market-1501's original evaluation.
        queries: Number of queries, matched or not.
        unmatched: How many of them have no valid match in the gallery.
    """

    ranks: dict[int, float]
    map_hit: float
    map_trapezoid: float
    queries: int
    unmatched: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ranks become strings, not-a-number becomes None."""
        return {
            "ranks": {str(rank): to_json(value) for rank, value in self.ranks.items()},
            "map_hit": to_json(self.map_hit),
            "map_trapezoid": to_json(self.map_trapezoid),
            "queries": self.queries,
            "unmatched": self.unmatched,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The scores that `to_dict` wrote. Raises InputError where a field is missing or no number."""
        try:
            return cls(
                ranks={int(rank): from_json(value) for rank, value in values["ranks"].items()},
                map_hit=from_json(values["map_hit"]),
                map_trapezoid=from_json(values["map_trapezoid"]),
                queries=int(values["queries"]),
                unmatched=int(values["unmatched"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"ranking scores: a field is missing or no number ({error!r})") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class RankLists:
    """The best gallery images of each query, for figures.

    Attributes:
        indices: (queries, k) gallery indices, best first, without junk and the query's own camera; -1 behind the last.
        right: (queries, k) whether the image shows the query's person; False where the index is -1.
    """

    indices: Integers
    right: Booleans


def to_json(value: float) -> float | None:
    """A float for strict JSON, which knows no not-a-number."""
    return None if math.isnan(value) else float(value)


def from_json(value: float | None) -> float:
    """Inverse of `to_json`."""
    return math.nan if value is None else float(value)


def check_scoring(ranks: Sequence[int], unmatched: str) -> None:
    """Raises InputError if a rank is below 1 or `unmatched` is neither `exclude` nor `zero`."""
    if any(rank < 1 for rank in ranks):
        raise InputError(f"ranks must be at least 1, not {min(ranks)}")
    if unmatched not in get_args(Unmatched):
        raise InputError(f"unmatched must be 'exclude' or 'zero', not {unmatched!r}")


def distance_blocks(
    distances: Distances, shape: tuple[int, int], chunk: int
) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
    """Goes through a distance matrix by blocks of queries.

    Args:
        distances: (queries, gallery).
        shape: What the labels say the shape is.
        chunk: Queries a block; bounds the extra memory, changes no result.

    Yields:
        Index of the block's first query, and the block: (at most chunk, gallery) float array on the CPU.

    Raises:
        InputError: The shape differs, chunk is below 1, or a distance is not a number.
    """
    if tuple(distances.shape) != shape:
        raise InputError(
            f"distances have the shape {tuple(distances.shape)}; the labels say {shape} (queries, gallery)"
        )
    if chunk < 1:
        raise InputError(f"chunk must be at least 1 query, not {chunk}")
    for start in range(0, shape[0], chunk):
        part = distances[start : start + chunk]
        if isinstance(part, torch.Tensor):
            part = part.detach().cpu()
            part = part.float() if part.dtype == torch.bfloat16 else part  # NumPy has no bfloat16
        block = np.asarray(part)
        block = block if np.issubdtype(block.dtype, np.floating) else block.astype(np.float64)
        invalid = np.isnan(block)
        if invalid.any():
            row, column = np.argwhere(invalid)[0]
            raise InputError(f"distance of query {start + row} to gallery image {column} is not a number")
        yield start, block


def rank_queries(
    distances: Distances,
    *,
    query_identities: Integers,
    gallery_identities: Integers,
    query_cameras: Integers | None = None,
    gallery_cameras: Integers | None = None,
    chunk: int = 256,
) -> QueryRankings:
    """Ranks the gallery for each query and scores each ranking.

    For each query, gallery images of its identity from its own camera are removed, and so is junk (identity -1).
    Equal distances are ranked by gallery index, so no result depends on `chunk` or on a sorting routine.

    Args:
        distances: (queries, gallery), smaller = more alike.
        query_identities: (queries,) at least 0.
        gallery_identities: (gallery,); -1 = junk, other negative ones match no query.
        query_cameras: (queries,); None, for both, removes no image for its camera.
        gallery_cameras: (gallery,) or None.
        chunk: Queries checked at once; bounds the extra memory.

    Returns:
        One entry a query, in the order of the rows.

    Raises:
        InputError: Shapes differ, a query's identity is negative, or a distance is not a number.
    """
    same = SameIdentity(query_identities, gallery_identities, query_cameras, gallery_cameras)
    junk = np.flatnonzero(gallery_identities == JUNK)
    first = np.full(len(same), -1, dtype=np.int64)
    hit, trapezoid = np.zeros(len(same)), np.zeros(len(same))
    for start, block in distance_blocks(distances, (len(same), len(gallery_identities)), chunk):
        for query, row in enumerate(block, start):
            images, removed = same.of(query)
            if not removed.all():  # all() of no images is true
                counted = row.copy()
                counted[junk] = counted[images[removed]] = np.nan  # sorted behind all others, tied with none
                first[query], hit[query], trapezoid[query] = _score(_positions(counted, images[~removed]))
    return QueryRankings(first_match=first, average_precision_hit=hit, average_precision_trapezoid=trapezoid)


def _positions(row: NDArray[np.floating[Any]], images: Integers) -> NDArray[np.intp]:
    """Positions, ascending, of `images` (ascending) in the stable ranking of `row`, whose removed images are NaN.

    A plain sort tells them but for ties, and is an order of magnitude faster than a stable sort of indices.
    """
    images = images[np.argsort(row[images], kind="stable")]
    values, ordered = row[images], np.sort(row)
    positions = np.searchsorted(ordered, values, side="left")
    for tied in np.flatnonzero(np.searchsorted(ordered, values, side="right") - positions > 1):
        positions[tied] += np.count_nonzero(row[: images[tied]] == values[tied])
    return positions


def _score(positions: NDArray[np.intp]) -> tuple[int, float, float]:
    """First match and both average precisions from the ascending positions of the right images."""
    hits = np.arange(len(positions))
    precision = (hits + 1) / (positions + 1)
    before = np.divide(hits, positions, out=np.ones(len(hits)), where=positions > 0)  # 1 in front of all images
    return int(positions[0]), float(precision.mean()), float((before + precision).mean() / 2)


def summarise(
    rankings: QueryRankings, *, ranks: Sequence[int] = (1, 5, 10, 20), unmatched: Unmatched = "exclude"
) -> RankingScores:
    """Means over queries.

    Args:
        rankings: From `rank_queries`.
        ranks: Ranks of the cumulative matching characteristic, each at least 1.
        unmatched: `exclude` leaves queries without a valid match out of all means, as torchreid does; `zero` counts
            them as failures, as Market-1501's original evaluation and PS-HRNet's do.

    Returns:
        Scores; not a number where no query could be scored.

    Raises:
        InputError: A rank is below 1, or `unmatched` is unknown.
    """
    check_scoring(ranks, unmatched)
    matched = rankings.first_match >= 0
    counted = rankings.select(matched) if unmatched == "exclude" else rankings
    hits = counted.first_match[counted.first_match >= 0]
    number = len(counted)
    return RankingScores(
        ranks={rank: np.count_nonzero(hits < rank) / number if number else math.nan for rank in ranks},
        map_hit=float(counted.average_precision_hit.mean()) if number else math.nan,
        map_trapezoid=float(counted.average_precision_trapezoid.mean()) if number else math.nan,
        queries=len(rankings),
        unmatched=int(np.count_nonzero(~matched)),
    )


def rank_lists(
    distances: Distances,
    *,
    query_identities: Integers,
    gallery_identities: Integers,
    query_cameras: Integers | None = None,
    gallery_cameras: Integers | None = None,
    k: int = 10,
    chunk: int = 256,
) -> RankLists:
    """The `k` best gallery images of each query under the rules of `rank_queries`, and which of them are right.

    Args:
        distances: (queries, gallery), smaller = more alike.
        query_identities: (queries,) at least 0.
        gallery_identities: (gallery,); -1 = junk, other negative ones match no query.
        query_cameras: (queries,); None, for both, removes no image for its camera.
        gallery_cameras: (gallery,) or None.
        k: Length of the lists, at least 1.
        chunk: Queries handled at once; bounds the extra memory.

    Raises:
        InputError: As `rank_queries`, or k is below 1.
    """
    if k < 1:
        raise InputError(f"k must be at least 1, not {k}")
    same = SameIdentity(query_identities, gallery_identities, query_cameras, gallery_cameras)
    indices = np.full((len(same), k), -1, dtype=np.int64)
    for start, block in distance_blocks(distances, (len(same), len(gallery_identities)), chunk):
        for query, row in enumerate(block, start):
            valid = gallery_identities != JUNK
            images, removed = same.of(query)
            valid[images[removed]] = False
            candidates = np.flatnonzero(valid)
            if len(candidates) > k:
                # everything up to the k-th distance, so that ties at the end are cut by gallery index
                limit = np.partition(row[candidates], k - 1)[k - 1]
                candidates = candidates[row[candidates] <= limit]
            best = candidates[np.argsort(row[candidates], kind="stable")[:k]]
            indices[query, : len(best)] = best
    if not len(gallery_identities):
        return RankLists(indices=indices, right=np.zeros(indices.shape, dtype=np.bool_))
    right = (indices >= 0) & (gallery_identities[indices] == query_identities[:, None])
    return RankLists(indices=indices, right=right)
