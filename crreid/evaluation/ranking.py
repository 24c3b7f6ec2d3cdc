"""From a distance matrix to tidy scores: cumulative matching characteristic and both mean average precisions.

Queries are the low-resolution images of one camera; the gallery holds the high-resolution images of the others. There
are two protocols:

- `multi_shot`: all gallery images stay; matching characteristic and both mean average precisions. Used for
  MLR-Market-1501 and MLR-DukeMTMC-reID by PS-HRNet and others.
- `single_shot`: one gallery image per identity, drawn many times; matching characteristic only. The protocol of SING
  (Jiao et al., AAAI 2018), used for MLR-VIPeR, MLR-CUHK03 and CAVIAR.

Two mean average precisions exist in this field and differ by up to several points on the same ranking:

- `map_hit`: precision is averaged where a correct match appears (torchreid, fast-reid, information retrieval);
- `map_trapezoid`: the mean of the precisions just before and at each correct match is averaged, the rule of the
  Oxford-5k buildings that Market-1501's original evaluation took over (Zheng et al., ICCV 2015) and that the family of
  PS-HRNet reports.

Both are always computed and always named. Under both protocols, gallery images of the query's identity from its own
camera are removed, and so is junk. Equal distances are ranked by gallery index, so that no result depends on a sorting
routine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from crreid.data.table import ImageTable
from crreid.errors import InputError

__all__ = [
    "DISTRACTOR",
    "JUNK",
    "RANKS",
    "SCORE_COLUMNS",
    "Distances",
    "RetrievalLabels",
    "Unmatched",
    "match_positions",
    "multi_shot",
    "rank_lists",
    "single_shot",
]

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]
Distances = NDArray[np.floating[Any]] | torch.Tensor  # (queries, gallery), smaller = more alike, no NaN
Unmatched = Literal["exclude", "zero"]

JUNK = -1
"""Gallery identity of images to ignore: removed for every query, neither correct nor false matches."""
DISTRACTOR = -2
"""Gallery identity of images of nobody: a false match for every query."""
RANKS = (1, 5, 10, 20)
"""Ranks of the cumulative matching characteristic: share of queries with a correct match among the first 1, 5, ..."""
SCORE_COLUMNS = ("protocol", "rate", "metric", "value", "deviation", "queries", "unmatched")


@dataclass(frozen=True, kw_only=True, eq=False)
class RetrievalLabels:
    """Labels of the rows (queries) and columns (gallery images) of a distance matrix.

    Attributes:
        query_identities: (queries,) integers of at least 0.
        query_cameras: (queries,) integers.
        query_rates: (queries,) downsampling rate of each query, at least 1; scores are broken down by it.
        gallery_identities: (gallery,) integers; `JUNK` (-1) is removed, `DISTRACTOR` (-2) matches no query.
        gallery_cameras: (gallery,) integers.
    """

    query_identities: Integers
    query_cameras: Integers
    query_rates: NDArray[np.float64]
    gallery_identities: Integers
    gallery_cameras: Integers

    def __post_init__(self) -> None:
        """Turns the fields into int64 and float64 arrays.

        Raises:
            InputError: Labels are not integers, lengths differ, a rate is below 1 or a query identity below 0.
        """
        for side in ("query", "gallery"):
            for name in (f"{side}_identities", f"{side}_cameras"):
                object.__setattr__(self, name, _integers(getattr(self, name), name))
            identities, cameras = getattr(self, f"{side}_identities"), getattr(self, f"{side}_cameras")
            if cameras.shape != identities.shape:
                found = f"{identities.shape} and {cameras.shape}"
                raise InputError(f"{side}: identities and cameras must be arrays of one length, not {found}")
        rates = np.asarray(self.query_rates, dtype=np.float64)
        if rates.shape != self.query_identities.shape:
            raise InputError(f"query_rates has the shape {rates.shape}; expected {self.query_identities.shape}")
        if not (rates >= 1).all():
            raise InputError(
                f"query_rates holds {rates[~(rates >= 1)][0]:g}; expected at least 1 (1 = high resolution)"
            )
        object.__setattr__(self, "query_rates", rates)
        if (self.query_identities < 0).any():
            row = int(np.argmax(self.query_identities < 0))
            raise InputError(f"query {row} has identity {self.query_identities[row]}; expected at least 0")

    @classmethod
    def from_tables(cls, query: ImageTable, gallery: ImageTable) -> Self:
        """Return the labels of two image tables, one per image, in table order.

        Args:
            query: Queries; their roles do not matter.
            gallery: Gallery; rows of the role junk become `JUNK`, those of the role distractor `DISTRACTOR`.

        Raises:
            InputError: A query has a negative identity.
        """
        role = gallery.rows["role"]
        identities = gallery.rows["identity"].mask(role == "junk", JUNK).mask(role == "distractor", DISTRACTOR)
        return cls(
            query_identities=query.rows["identity"].to_numpy(),
            query_cameras=query.rows["camera"].to_numpy(),
            query_rates=query.rows["rate"].to_numpy(),
            gallery_identities=identities.to_numpy(),
            gallery_cameras=gallery.rows["camera"].to_numpy(),
        )

    def matches(self) -> Iterator[tuple[Integers, Integers]]:
        """Yield for each query the gallery images of its identity: its correct matches, and those of its own camera.

        The latter are removed from the query's ranking. Both are gallery indices, ascending.
        """
        order = np.argsort(self.gallery_identities, kind="stable")  # images of one identity stay in gallery order
        grouped = self.gallery_identities[order]
        starts, stops = (np.searchsorted(grouped, self.query_identities, side=side) for side in ("left", "right"))
        for camera, start, stop in zip(self.query_cameras, starts, stops, strict=True):
            images = order[start:stop]
            own = self.gallery_cameras[images] == camera
            yield images[~own], images[own]


def _integers(values: ArrayLike, name: str) -> Integers:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"{name} has the shape {array.shape} and type {array.dtype}; expected one integer per image")
    return array.astype(np.int64)


def multi_shot(distances: Distances, labels: RetrievalLabels, *, unmatched: Unmatched = "exclude") -> pd.DataFrame:
    """Score retrieval among all gallery images.

    Args:
        distances: (queries, gallery), smaller = more alike.
        labels: Labels of its rows and columns.
        unmatched: What becomes of queries without a correct match in the gallery. `exclude` leaves them out of all
            means, as torchreid does; `zero` counts them as failures, as Market-1501's original evaluation and
            PS-HRNet's do.

    Returns:
        Columns `SCORE_COLUMNS`: protocol (`multi_shot`), rate (NaN = all queries, else those of this rate), metric
        (rank1, rank5, rank10, rank20, map_hit, map_trapezoid), value (mean over queries, in [0, 1]; NaN where none
        could be scored), deviation (NaN), queries (all of this rate), unmatched (how many of them have no match).

    Raises:
        InputError: Shapes differ, a distance is NaN, no query has a correct match, or `unmatched` is unknown.
    """
    _check_unmatched(unmatched)
    positions = match_positions(distances, labels)
    matched = np.array([len(found) > 0 for found in positions], dtype=np.bool_)
    _require_matches(labels, matched)
    first = np.array([found[0] if len(found) else len(labels.gallery_identities) for found in positions])
    precisions = np.array([_average_precisions(found) for found in positions])
    worth = {f"rank{rank}": matched & (first < rank) for rank in RANKS}
    worth |= {"map_hit": precisions[:, 0], "map_trapezoid": precisions[:, 1]}

    def score(chosen: Booleans) -> dict[str, tuple[float, float]]:
        counted = chosen & matched if unmatched == "exclude" else chosen
        means = {name: float(values[counted].mean()) if counted.any() else math.nan for name, values in worth.items()}
        return {name: (mean, math.nan) for name, mean in means.items()}

    return _tidy("multi_shot", labels, matched, score)


def single_shot(
    distances: Distances,
    labels: RetrievalLabels,
    *,
    draws: int = 100,
    generator: np.random.Generator,
    unmatched: Unmatched = "exclude",
) -> pd.DataFrame:
    """Score retrieval among one gallery image per identity, drawn at random many times and shared by all queries.

    Junk and distractors are never drawn. MLR sets keep the queries' camera out of the gallery, so all images of an
    identity are valid there. Elsewhere a draw may pick an image of a query's own camera for the query's identity: the
    image is removed and the query left out of that draw's mean, under either setting of `unmatched`, which concerns
    the queries that no draw could match.

    Args:
        distances: (queries, gallery), smaller = more alike.
        labels: Labels of its rows and columns.
        draws: Number of draws, at least 1 (SING: 100).
        generator: Makes the draws.
        unmatched: As in `multi_shot`.

    Returns:
        As `multi_shot`, of the protocol `single_shot` and without mean average precision: value is the mean over the
        draws and deviation their sample standard deviation, NaN for a single draw.

    Raises:
        InputError: As `multi_shot`, or no draw is asked for.
    """
    _check_unmatched(unmatched)
    if draws < 1:
        raise InputError(f"single-shot needs at least 1 draw of the gallery, not {draws}")
    positions, matched = _drawn_positions(distances, labels, draws, generator)
    _require_matches(labels, matched)
    present = positions >= 0
    scored = present if unmatched == "exclude" else present | ~matched

    def score(chosen: Booleans) -> dict[str, tuple[float, float]]:
        number = scored[:, chosen].sum(axis=1)
        found = {}
        for rank in RANKS:
            hits = (present[:, chosen] & (positions[:, chosen] < rank)).sum(axis=1)
            shares = hits[number > 0] / number[number > 0]
            mean = float(shares.mean()) if len(shares) else math.nan
            found[f"rank{rank}"] = mean, float(shares.std(ddof=1)) if len(shares) > 1 else math.nan
        return found

    return _tidy("single_shot", labels, matched, score)


def rank_lists(distances: Distances, labels: RetrievalLabels, *, length: int = 10) -> pd.DataFrame:
    """Return the nearest gallery images of each query, without junk and images of its identity from its own camera.

    Args:
        distances: (queries, gallery), smaller = more alike.
        labels: Labels of its rows and columns.
        length: Images per query, at least 1.

    Returns:
        Columns query (row of `distances`), rank (from 1), gallery (column of `distances`), correct (whether the image
        shows the query's identity); nearest first, fewer than `length` where the gallery is smaller.

    Raises:
        InputError: Shapes differ, a distance is NaN, or the length is below 1.
    """
    if length < 1:
        raise InputError(f"the length of a ranked list must be at least 1, not {length}")
    lines: list[tuple[int, int, int, bool]] = []
    for query, (row, _, own) in enumerate(_queries(distances, labels)):
        valid = labels.gallery_identities != JUNK
        valid[own] = False
        candidates = np.flatnonzero(valid)
        if len(candidates) > length:
            # everything up to the last distance of the list, so that ties at its end are cut by gallery index
            limit = np.partition(row[candidates], length - 1)[length - 1]
            candidates = candidates[row[candidates] <= limit]
        best = candidates[np.argsort(row[candidates], kind="stable")[:length]]
        correct = labels.gallery_identities[best] == labels.query_identities[query]
        lines += [(query, rank, *found) for rank, found in enumerate(zip(best, correct, strict=True), start=1)]
    return pd.DataFrame(lines, columns=["query", "rank", "gallery", "correct"])


def match_positions(distances: Distances, labels: RetrievalLabels) -> list[Integers]:
    """Return for each query the 0-based positions, ascending, of its correct matches among the images that count.

    The list of a query without a correct match is empty. Raises InputError where shapes differ or a distance is NaN.
    """
    junk = np.flatnonzero(labels.gallery_identities == JUNK)
    positions = []
    for row, matches, own in _queries(distances, labels):
        if len(matches):
            counted = row.copy()
            counted[junk] = counted[own] = np.nan  # sorted behind all others, tied with none
            matches = _positions(counted, matches)
        positions.append(matches)
    return positions


def _positions(row: NDArray[np.floating[Any]], images: Integers) -> Integers:
    """Return the positions, ascending, of `images` (ascending) in the stable ranking of `row`.

    A plain sort finds them except for ties, and is an order of magnitude faster than a stable sort of indices.
    """
    images = images[np.argsort(row[images], kind="stable")]
    values, ordered = row[images], np.sort(row)
    positions = np.searchsorted(ordered, values, side="left")
    for tied in np.flatnonzero(np.searchsorted(ordered, values, side="right") - positions > 1):
        positions[tied] += np.count_nonzero(row[: images[tied]] == values[tied])
    return positions


def _average_precisions(positions: Integers) -> tuple[float, float]:
    """Return both average precisions, at each hit and trapezoid, of one query; 0 without a correct match."""
    if not len(positions):
        return 0.0, 0.0
    hits = np.arange(len(positions))
    precision = (hits + 1) / (positions + 1)
    before = np.divide(hits, positions, out=np.ones(len(hits)), where=positions > 0)  # 1 in front of all images
    return float(precision.mean()), float((before + precision).mean() / 2)


def _drawn_positions(
    distances: Distances, labels: RetrievalLabels, draws: int, generator: np.random.Generator
) -> tuple[NDArray[np.int32], Booleans]:
    """Return the position of the correct match (draws, queries), -1 where it is removed, and who has one (queries,)."""
    order = np.argsort(labels.gallery_identities, kind="stable")
    order = order[labels.gallery_identities[order] >= 0]
    identities, starts, counts = np.unique(labels.gallery_identities[order], return_index=True, return_counts=True)
    # five times as fast as bounded integers; the product stays below the count
    picks = generator.random((draws, len(counts)), dtype=np.float32) * counts
    drawn = order[starts + picks.astype(np.int64)]  # (draws, identities) gallery indices
    queries = len(labels.query_identities)
    positions, matched = np.full((draws, queries), -1, dtype=np.int32), np.zeros(queries, dtype=np.bool_)
    for query, (row, matches, _) in enumerate(_queries(distances, labels)):
        if not len(matches):
            continue
        matched[query] = True
        identity = np.searchsorted(identities, labels.query_identities[query])
        correct = drawn[:, identity, None]
        values, value = row[drawn], row[correct]
        ahead, equal = values < value, values == value
        if np.count_nonzero(equal) > draws:  # more than each draw's correct match itself
            ahead |= equal & (drawn < correct)
        positions[:, query] = ahead.sum(axis=1, dtype=np.int32)
        positions[labels.gallery_cameras[correct[:, 0]] == labels.query_cameras[query], query] = -1
    return positions, matched


def _queries(
    distances: Distances, labels: RetrievalLabels
) -> Iterator[tuple[NDArray[np.floating[Any]], Integers, Integers]]:
    """Yield each query's distances (gallery,) and its `RetrievalLabels.matches`, after checking the distances."""
    if isinstance(distances, torch.Tensor):
        distances = distances.detach().cpu()
        distances = distances.float() if distances.dtype == torch.bfloat16 else distances  # NumPy has no bfloat16
    values = np.asarray(distances)
    values = values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float64)
    expected = len(labels.query_identities), len(labels.gallery_identities)
    if values.shape != expected:
        raise InputError(f"distances have the shape {values.shape}; the labels say {expected} (queries, gallery)")
    for query, (row, (matches, own)) in enumerate(zip(values, labels.matches(), strict=True)):
        if np.isnan(row).any():
            column = int(np.argmax(np.isnan(row)))
            raise InputError(f"distance of query {query} to gallery image {column} is not a number")
        yield row, matches, own


def _tidy(
    protocol: str,
    labels: RetrievalLabels,
    matched: Booleans,
    score: Callable[[Booleans], Mapping[str, tuple[float, float]]],
) -> pd.DataFrame:
    """Return the scores of all queries and of those of each rate; `score` takes a mask of queries."""
    lines = []
    for rate in (math.nan, *np.unique(labels.query_rates)):
        chosen = np.isnan(rate) | (labels.query_rates == rate)
        counts = np.count_nonzero(chosen), np.count_nonzero(chosen & ~matched)
        lines += [(protocol, rate, metric, *found, *counts) for metric, found in score(chosen).items()]
    return pd.DataFrame(lines, columns=list(SCORE_COLUMNS))


def _check_unmatched(unmatched: str) -> None:
    if unmatched not in get_args(Unmatched):
        raise InputError(f"unmatched must be 'exclude' or 'zero', not {unmatched!r}")


def _require_matches(labels: RetrievalLabels, matched: Booleans) -> None:
    """Raise InputError, saying why, if no query has a correct match."""
    if matched.any():
        return
    if not len(matched):
        raise InputError("there is no query to evaluate")
    if not np.isin(labels.query_identities, labels.gallery_identities).any():
        raise InputError(f"no identity of the {len(matched)} queries is in the gallery; expected a shared one")
    raise InputError(
        "every gallery image of a query's identity is from the query's own camera and therefore removed; "
        "expected gallery images of other cameras"
    )
