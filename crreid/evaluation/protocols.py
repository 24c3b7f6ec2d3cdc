"""The two protocols of cross-resolution re-identification: multi-shot and single-shot retrieval.

Queries are the low-resolution images of one camera, the gallery holds the high-resolution images of the others.

- `multi_shot`: all gallery images stay; matching characteristic and both mean average precisions. Used for
  MLR-Market-1501 and MLR-DukeMTMC-reID by PS-HRNet and others.
- `single_shot`: one gallery image an identity, drawn many times; matching characteristic only. The protocol of SING
  (Jiao et al., AAAI 2018), used for MLR-VIPeR, MLR-CUHK03 and CAVIAR.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from crreid.errors import InputError
from crreid.evaluation.labels import Booleans, Integers, RetrievalLabels
from crreid.evaluation.ranking import (
    Distances,
    RankingScores,
    Unmatched,
    check_scoring,
    distance_blocks,
    from_json,
    rank_queries,
    summarise,
    to_json,
)

__all__ = [
    "DrawnScores",
    "MultiShotResult",
    "RetrievalLabels",
    "SingleShotResult",
    "multi_shot",
    "single_shot",
]

Scores = TypeVar("Scores")


@dataclass(frozen=True, kw_only=True)
class DrawnScores:
    """Matching characteristic over repeated draws of the gallery, as fractions.

    Attributes:
        ranks: Mean over the draws of the cumulative matching characteristic at each rank.
        ranks_deviation: Sample standard deviation over the draws; not a number for a single draw.
        queries: Number of queries, matched or not.
        unmatched: How many of them have no valid match in the gallery, whatever is drawn.
    """

    ranks: dict[int, float]
    ranks_deviation: dict[int, float]
    queries: int
    unmatched: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ranks become strings, not-a-number becomes None."""
        return {
            "ranks": {str(rank): to_json(value) for rank, value in self.ranks.items()},
            "ranks_deviation": {str(rank): to_json(value) for rank, value in self.ranks_deviation.items()},
            "queries": self.queries,
            "unmatched": self.unmatched,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The scores that `to_dict` wrote. Raises InputError where a field is missing or no number."""
        try:
            return cls(
                ranks={int(rank): from_json(value) for rank, value in values["ranks"].items()},
                ranks_deviation={int(rank): from_json(value) for rank, value in values["ranks_deviation"].items()},
                queries=int(values["queries"]),
                unmatched=int(values["unmatched"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"single-shot scores: a field is missing or no number ({error!r})") from error


@dataclass(frozen=True, kw_only=True)
class MultiShotResult:
    """Scores of the multi-shot protocol.

    Attributes:
        overall: All queries.
        per_rate: The queries of each rate, by ascending rate.
    """

    overall: RankingScores
    per_rate: dict[float, RankingScores]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; rates become strings."""
        return _to_dict(self.overall, self.per_rate)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The result that `to_dict` wrote. Raises InputError where a field is missing or no number."""
        overall, per_rate = _from_dict(values, RankingScores.from_dict)
        return cls(overall=overall, per_rate=per_rate)


@dataclass(frozen=True, kw_only=True)
class SingleShotResult:
    """Scores of the single-shot protocol.

    Attributes:
        overall: All queries.
        per_rate: The queries of each rate, by ascending rate.
    """

    overall: DrawnScores
    per_rate: dict[float, DrawnScores]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; rates become strings."""
        return _to_dict(self.overall, self.per_rate)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The result that `to_dict` wrote. Raises InputError where a field is missing or no number."""
        overall, per_rate = _from_dict(values, DrawnScores.from_dict)
        return cls(overall=overall, per_rate=per_rate)


def _to_dict(
    overall: RankingScores | DrawnScores, per_rate: Mapping[float, RankingScores | DrawnScores]
) -> dict[str, Any]:
    return {
        "overall": overall.to_dict(),
        "per_rate": {str(rate): scores.to_dict() for rate, scores in per_rate.items()},
    }


def _from_dict(
    values: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Scores]
) -> tuple[Scores, dict[float, Scores]]:
    try:
        return read(values["overall"]), {float(rate): read(scores) for rate, scores in values["per_rate"].items()}
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"retrieval result: a field is missing or misshapen ({error!r})") from error


def _per_rate(rates: NDArray[np.float64], score: Callable[[Booleans], Scores]) -> dict[float, Scores]:
    return {float(rate): score(rates == rate) for rate in np.unique(rates)}


def multi_shot(
    distances: Distances,
    labels: RetrievalLabels,
    *,
    ranks: Sequence[int] = (1, 5, 10, 20),
    unmatched: Unmatched = "exclude",
    chunk: int = 256,
) -> MultiShotResult:
    """Scores retrieval among all gallery images; see `rank_queries` for what is removed and how ties are ranked.

    Args:
        distances: (queries, gallery), smaller = more alike.
        labels: Labels of its rows and columns.
        ranks: Ranks of the cumulative matching characteristic.
        unmatched: Whether queries without a valid match are left out of the means or count as zero.
        chunk: Queries checked at once; bounds the extra memory.

    Raises:
        InputError: Shapes differ, a distance is not a number, or no query has a valid match.
    """
    rankings = rank_queries(
        distances,
        query_identities=labels.query_identities,
        gallery_identities=labels.gallery_identities,
        query_cameras=labels.query_cameras,
        gallery_cameras=labels.gallery_cameras,
        chunk=chunk,
    )
    labels.require_matches(rankings.first_match >= 0)
    return MultiShotResult(
        overall=summarise(rankings, ranks=ranks, unmatched=unmatched),
        per_rate=_per_rate(
            labels.query_rates, lambda mask: summarise(rankings.select(mask), ranks=ranks, unmatched=unmatched)
        ),
    )


def single_shot(
    distances: Distances,
    labels: RetrievalLabels,
    *,
    generator: np.random.Generator,
    draws: int = 100,
    draw: Literal["shared", "per_query"] = "shared",
    ranks: Sequence[int] = (1, 5, 10, 20),
    unmatched: Unmatched = "exclude",
    chunk: int = 256,
) -> SingleShotResult:
    """Scores retrieval among one gallery image an identity, drawn at random again and again.

    Junk and distractors are never drawn. MLR sets keep the queries' camera out of the gallery, so an identity's images
    are all valid there. Elsewhere a shared draw may pick an image of a query's own camera for the query's identity: the
    image is removed and the query left out of that draw's mean, under either setting of `unmatched`, which concerns the
    queries that no draw could match.

    Args:
        distances: (queries, gallery), smaller = more alike; ties are ranked by gallery index.
        labels: Labels of its rows and columns.
        generator: Makes the draws; the result depends on its state alone, not on `chunk`.
        draws: Number of draws, at least 1.
        draw: `shared`: all queries meet the same gallery in a draw (SING). `per_query`: each query draws its own, after
            the images of its own camera are removed (DI-ReID, torchreid's CUHK03 metric).
        ranks: Ranks of the cumulative matching characteristic.
        unmatched: Whether queries without a valid match are left out of the means or count as zero.
        chunk: Queries handled at once; bounds the extra memory.

    Returns:
        Mean and standard deviation over the draws.

    Raises:
        InputError: A setting is unknown, shapes differ, a distance is not a number, or no query has a valid match.
    """
    check_scoring(ranks, unmatched)
    if draws < 1 or draw not in ("shared", "per_query"):
        raise InputError(f"expected at least 1 draw, 'shared' or 'per_query'; not {draws} draws, {draw!r}")
    positions, matched = _drawn_positions(distances, labels, generator, draws, draw == "shared", chunk)
    labels.require_matches(matched)

    def score(mask: Booleans) -> DrawnScores:
        return _summarise_draws(positions[:, mask], matched[mask], ranks, unmatched)

    return SingleShotResult(overall=score(np.ones_like(matched)), per_rate=_per_rate(labels.query_rates, score))


def _drawn_positions(
    distances: Distances, labels: RetrievalLabels, generator: np.random.Generator, draws: int, shared: bool, chunk: int
) -> tuple[NDArray[np.int32], Booleans]:
    """(draws, queries) position of the right image, -1 if it is not in the draw; (queries,) whether any draw can be."""
    order = np.argsort(labels.gallery_identities, kind="stable")
    order = order[labels.gallery_identities[order] >= 0]
    identities, starts, counts = np.unique(labels.gallery_identities[order], return_index=True, return_counts=True)

    def drawn() -> Integers:  # (draws, identities) gallery indices
        # five times as fast as bounded integers; the product stays below the count
        picks = generator.random((draws, len(counts)), dtype=np.float32) * counts
        columns: Integers = order[starts + picks.astype(np.int64)]
        return columns

    gallery = drawn() if shared else None
    same, shape = labels.same_identity(), (len(labels.query_identities), len(labels.gallery_identities))
    positions, matched = np.full((draws, shape[0]), -1, dtype=np.int32), np.zeros(shape[0], dtype=np.bool_)
    for start, block in distance_blocks(distances, shape, chunk):
        for query, row in enumerate(block, start):
            images, removed = same.of(query)
            valid = images[~removed]
            if not len(valid):
                continue
            matched[query] = True
            person = np.searchsorted(identities, labels.query_identities[query])
            columns = drawn() if gallery is None else gallery
            if gallery is None:
                columns[:, person] = valid[generator.integers(0, len(valid), size=draws)]
            right = columns[:, person, None]
            values = row[columns]
            own = values[:, person, None]
            ahead, equal = values < own, values == own
            if np.count_nonzero(equal) > draws:  # more than each draw's right image itself
                ahead |= equal & (columns < right)
            positions[:, query] = ahead.sum(axis=1, dtype=np.int32)
            positions[removed[np.searchsorted(images, right[:, 0])], query] = -1
    return positions, matched


def _summarise_draws(
    positions: NDArray[np.int32], matched: Booleans, ranks: Sequence[int], unmatched: Unmatched
) -> DrawnScores:
    present = positions >= 0
    counted = present if unmatched == "exclude" else present | ~matched
    number = counted.sum(axis=1)
    means, deviations = {}, {}
    for rank in ranks:
        hits = (present & (positions < rank)).sum(axis=1)
        shares = hits[number > 0] / number[number > 0]
        means[rank] = float(shares.mean()) if len(shares) else math.nan
        deviations[rank] = float(shares.std(ddof=1)) if len(shares) > 1 else math.nan
    return DrawnScores(
        ranks=means, ranks_deviation=deviations, queries=len(matched), unmatched=int(np.count_nonzero(~matched))
    )
