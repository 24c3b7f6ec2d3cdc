"""From a distance matrix to tidy scores: cumulative matching characteristic and both mean average precisions.

Queries are the low-resolution images of one camera; the gallery holds the high-resolution images of the others.

- `multi_shot`: all gallery images stay; matching characteristic and both mean average precisions. Used for
  MLR-Market-1501 and MLR-DukeMTMC-reID by PS-HRNet and others.
- `single_shot`: one gallery image per identity, drawn many times; matching characteristic only. The protocol of SING
  (Jiao et al., AAAI 2018), used for MLR-VIPeR, MLR-CUHK03 and CAVIAR.

Two mean average precisions exist in this field and differ by up to several points on the same ranking:

- `map_hit`: precision is averaged where a correct match appears (torchreid, fast-reid, information retrieval);
- `map_trapezoid`: the mean of the precisions just before and at each correct match is averaged, the rule of the
  Oxford-5k buildings that Market-1501's original evaluation took over (Zheng et al., ICCV 2015) and that the family of
  PS-HRNet reports.

Under both protocols, gallery images of the query's identity from its own camera are removed, and so is junk. Equal
distances are ranked by gallery index, so that no result depends on a sorting routine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from crreid.data.table import ImageTable
from crreid.errors import InputError

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]
Distances = NDArray[np.floating[Any]] | torch.Tensor  # (queries, gallery), smaller = more alike, no NaN
Unmatched = Literal["exclude", "zero"]

JUNK = -1
"""Gallery identity of images to ignore: removed for every query, neither correct nor false matches."""
DISTRACTOR = -2
"""Gallery identity of images of nobody: a false match for every query."""
RANKS = (1, 5, 10, 20)  # of the matching characteristic: queries with a correct match among the first N images
SCORE_COLUMNS = ("protocol", "rate", "metric", "value", "deviation", "queries", "unmatched")


@dataclass(frozen=True, kw_only=True, eq=False)
class RetrievalLabels:
    """Labels of the rows (queries) and columns (gallery images) of a distance matrix."""

    query_identities: Integers  # (queries,) at least 0
    query_cameras: Integers  # (queries,)
    query_rates: NDArray[np.float64]  # (queries,) downsampling rates, at least 1; scores are broken down by them
    gallery_identities: Integers  # (gallery,); `JUNK` (-1) is removed, `DISTRACTOR` (-2) matches no query
    gallery_cameras: Integers  # (gallery,)

    def __post_init__(self) -> None:
        """Turns the fields into int64 and float64 arrays; raises InputError where they are not as described."""
        for name in ("query_identities", "query_cameras", "query_rates", "gallery_identities", "gallery_cameras"):
            array, kind = np.asarray(getattr(self, name)), np.float64 if name == "query_rates" else np.int64
            expected = len(self.query_identities if name.startswith("query") else self.gallery_identities)
            if array.shape != (expected,) or (array.size and not np.can_cast(array.dtype, kind)):
                found = f"the shape {array.shape} and type {array.dtype}"
                raise InputError(f"{name} has {found}; expected ({expected},) {kind.__name__}, one per image")
            object.__setattr__(self, name, array.astype(kind))
        if not (self.query_rates >= 1).all():
            raise InputError(f"query_rates holds {self.query_rates.min():g}; expected at least 1 (1 = high resolution)")
        if (self.query_identities < 0).any():
            row = int(np.argmax(self.query_identities < 0))
            raise InputError(f"query {row} has identity {self.query_identities[row]}; expected at least 0")

    @classmethod
    def from_tables(cls, query: ImageTable, gallery: ImageTable) -> Self:
        """Return the labels of two image tables; gallery rows of the roles junk and distractor become those labels."""
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
        """Yield each query's correct matches, and the removed images of its own camera: ascending gallery indices."""
        order = np.argsort(self.gallery_identities, kind="stable")  # images of one identity stay in gallery order
        grouped = self.gallery_identities[order]
        starts, stops = (np.searchsorted(grouped, self.query_identities, side=side) for side in ("left", "right"))
        for camera, start, stop in zip(self.query_cameras, starts, stops, strict=True):
            images = order[start:stop]
            own = self.gallery_cameras[images] == camera
            yield images[~own], images[own]


def multi_shot(distances: Distances, labels: RetrievalLabels, *, unmatched: Unmatched = "exclude") -> pd.DataFrame:
    """Score retrieval among all gallery images.

    Args:
        distances: (queries, gallery), smaller = more alike.
        labels: Of its rows and columns.
        unmatched: What becomes of queries without a correct match in the gallery. `exclude` leaves them out of all
            means, as torchreid does; `zero` counts them as failures, as Market-1501's original evaluation and
            PS-HRNet's do.

    Returns:
        Columns `SCORE_COLUMNS`: protocol (`multi_shot`), rate (NaN = all queries, else those of this rate), metric
        (rank1, rank5, rank10, rank20, map_hit, map_trapezoid), value (mean over queries, in [0, 1]; NaN where none
        could be scored), deviation (NaN), queries (all of this rate), unmatched (how many of them have no match).
        Raises InputError where shapes differ, a distance is NaN, or no query has a correct match.
    """
    positions = match_positions(distances, labels)
    first = np.array([found[0] if len(found) else -1 for found in positions], dtype=np.int64)
    precisions = [_average_precisions(found) if len(found) else (0.0, 0.0) for found in positions]
    hit, trapezoid = np.array(precisions).reshape(-1, 2).T
    means = {"map_hit": hit[None], "map_trapezoid": trapezoid[None]}
    return _scores("multi_shot", labels, first[None], first >= 0, unmatched, means)


def by_person(distances: Distances, labels: RetrievalLabels) -> pd.DataFrame:
    """Return the multi-shot scores of each identity that has queries with a correct match, sorted by identity.

    Columns identity, queries (those with a match), rank1 (how many of them have a correct match first), map_hit (their
    mean, in [0, 1], to six digits).
    """
    lines = [
        (identity, found[0] == 0, _average_precisions(found)[0])
        for identity, found in zip(labels.query_identities, match_positions(distances, labels), strict=True)
        if len(found)
    ]
    of_identity = pd.DataFrame(lines, columns=["identity", "rank1", "map_hit"]).groupby("identity", as_index=False)
    persons = of_identity.agg(queries=("rank1", "size"), rank1=("rank1", "sum"), map_hit=("map_hit", "mean"))
    return persons.round({"map_hit": 6})


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

    Arguments and columns are else those of `multi_shot`, without mean average precision: value is the mean over the
    draws (SING: 100), deviation their sample standard deviation, NaN for one draw.
    """
    if draws < 1:
        raise InputError(f"single-shot needs at least 1 draw of the gallery, not {draws}")
    identities, drawn = _draw(labels.gallery_identities, draws, generator)
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
    return _scores("single_shot", labels, positions, matched, unmatched, {})


def rank_lists(distances: Distances, labels: RetrievalLabels, *, length: int = 10) -> pd.DataFrame:
    """Return the nearest gallery images of each query, without junk and images of its identity from its own camera.

    Columns query (row of `distances`), rank (from 1), gallery (column of `distances`), correct (whether the image shows
    the query's identity); nearest first, fewer than `length` where the gallery is smaller.
    """
    if length < 1:
        raise InputError(f"the length of a ranked list must be at least 1, not {length}")
    lines: list[tuple[int, int, int, bool]] = []
    for query, (row, _, own) in enumerate(_queries(distances, labels)):
        valid = labels.gallery_identities != JUNK
        valid[own] = False
        candidates = np.flatnonzero(valid)
        best = candidates[np.argsort(row[candidates], kind="stable")[:length]]
        correct = labels.gallery_identities[best] == labels.query_identities[query]
        lines += [(query, rank, *found) for rank, found in enumerate(zip(best, correct, strict=True), start=1)]
    return pd.DataFrame(lines, columns=["query", "rank", "gallery", "correct"])


def match_positions(distances: Distances, labels: RetrievalLabels) -> list[Integers]:
    """Return for each query the 0-based positions, ascending, of its correct matches among the images that count."""
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
    """Return both average precisions, at each hit and trapezoid, of one query."""
    hits = np.arange(len(positions))
    precision = (hits + 1) / (positions + 1)
    before = np.divide(hits, positions, out=np.ones(len(hits)), where=positions > 0)  # 1 in front of all images
    return float(precision.mean()), float((before + precision).mean() / 2)


def _draw(gallery: Integers, draws: int, generator: np.random.Generator) -> tuple[Integers, Integers]:
    """Return the gallery's identities, sorted, and the index of an image of each: (draws, identities)."""
    order = np.argsort(gallery, kind="stable")
    order = order[gallery[order] >= 0]
    identities, starts, counts = np.unique(gallery[order], return_index=True, return_counts=True)
    # five times as fast as bounded integers; the product stays below the count
    picks = generator.random((draws, len(counts)), dtype=np.float32) * counts
    return identities, order[starts + picks.astype(np.int64)]


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


def _scores(
    protocol: str,
    labels: RetrievalLabels,
    positions: NDArray[np.signedinteger[Any]],
    matched: Booleans,
    unmatched: str,
    precisions: dict[str, NDArray[np.float64]],
) -> pd.DataFrame:
    """Return the mean scores of all queries and of those of each rate, from arrays (draws, queries).

    `positions` of first correct matches are -1 where a draw has none; `matched` (queries,) whether the gallery has one.
    """
    if unmatched not in get_args(Unmatched):
        raise InputError(f"unmatched must be 'exclude' or 'zero', not {unmatched!r}")
    if not matched.any():
        raise InputError(_why_unmatched(labels))
    present = positions >= 0
    scored = present if unmatched == "exclude" else present | ~matched
    worth = {f"rank{rank}": present & (positions < rank) for rank in RANKS} | precisions
    lines = []
    for rate in (math.nan, *np.unique(labels.query_rates)):
        chosen = np.isnan(rate) | (labels.query_rates == rate)
        counts = np.count_nonzero(chosen), np.count_nonzero(chosen & ~matched)
        counted = [(draw, mask) for draw, mask in enumerate(scored & chosen) if mask.any()]
        for metric, values in worth.items():
            means = np.array([values[draw, mask].mean() for draw, mask in counted])
            value = float(means.mean()) if len(means) else math.nan
            deviation = float(means.std(ddof=1)) if len(means) > 1 else math.nan
            lines.append((protocol, rate, metric, value, deviation, *counts))
    return pd.DataFrame(lines, columns=list(SCORE_COLUMNS))


def _why_unmatched(labels: RetrievalLabels) -> str:
    """Say why no query has a correct match."""
    if not len(labels.query_identities):
        return "there is no query to evaluate"
    if not np.isin(labels.query_identities, labels.gallery_identities).any():
        return f"no identity of the {len(labels.query_identities)} queries is in the gallery; expected a shared one"
    removed = "every gallery image of a query's identity is from the query's own camera and therefore removed"
    return f"{removed}; expected gallery images of other cameras"
