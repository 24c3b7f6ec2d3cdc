"""Images for the figures that show people: who to show, what a network made of them, what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crreid.data.degradation import degrade, enlarge
from crreid.data.prepare import PreparedData
from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable
from crreid.evaluation.evaluate import query_distances
from crreid.evaluation.labels import RetrievalLabels
from crreid.evaluation.ranking import rank_lists
from crreid.evaluation.restoration import restore_pixels
from crreid.runs import TrainedRun

__all__ = [
    "RankedQuery",
    "RestoredImage",
    "ranked_queries",
    "restored_images",
    "training_people",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class RestoredImage:
    """One image before and after restoration, at the network's input size, (H, W, 3) uint8.

    Attributes:
        rate: By which `low` was shrunk.
        low: What the network sees.
        restored: What it makes of it; None for a method that restores nothing.
        high: The original.
    """

    rate: float
    low: UInt8Image
    restored: UInt8Image | None
    high: UInt8Image


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedQuery:
    """A query and what was found for it.

    Attributes:
        title: Rate of the query and rank of the first right image.
        query: As the network sees it.
        restored: As restored, or None.
        gallery: The nearest images, nearest first.
        right: Whether each shows the person asked for.
    """

    title: str
    query: UInt8Image
    restored: UInt8Image | None
    gallery: list[UInt8Image]
    right: list[bool]


def training_people(data: PreparedData, count: int) -> tuple[list[UInt8Image], list[int], list[int]]:
    """High-resolution images, identities and cameras of the first `count` training persons."""
    rows = data.train.rows
    chosen = rows[rows["identity"].isin(sorted(rows["identity"].unique())[:count])].sort_values(["identity", "camera"])
    images = [data.pixels.read(path) for path in chosen["path"]]
    return images, chosen["identity"].tolist(), chosen["camera"].tolist()


def restored_images(result: TrainedRun, rows: Sequence[int], rates: Sequence[float]) -> list[RestoredImage]:
    """Queries of a trained run's data, each at every rate, with what the method restores."""
    size, filters = result.run.size, result.data.query.degradation
    shown = []
    for row in rows:
        image = result.data.pixels.read(result.data.query.rows["path"][row])
        for rate in rates:
            low = degrade(image, rate, size, filters)
            restored = _restore(result, low)
            shown.append(RestoredImage(rate=rate, low=low, restored=restored, high=enlarge(image, size, filters)))
    return shown


def ranked_queries(result: TrainedRun, rows: Sequence[int], *, length: int = 10) -> list[RankedQuery]:
    """Ranked lists of some queries of a trained run's data, at the rates of the protocol."""
    query = _rows(result.data.query, rows)
    gallery = result.data.gallery
    distances = query_distances(
        result.method,
        result.data,
        query,
        result.run.evaluation,
        size=result.run.size,
        device=result.device,
        precision=result.run.schedule.precision,
    )
    labels = RetrievalLabels.from_tables(query, gallery)
    lists = rank_lists(
        distances,
        query_identities=labels.query_identities,
        gallery_identities=labels.gallery_identities,
        query_cameras=labels.query_cameras,
        gallery_cameras=labels.gallery_cameras,
        k=length,
    )
    shown = []
    for number, (path, rate) in enumerate(query.rows[["path", "rate"]].itertuples(index=False)):
        low = degrade(result.data.pixels.read(path), rate, result.run.size, query.degradation)
        found = [index for index in lists.indices[number] if index >= 0]
        right = lists.right[number][: len(found)].tolist()
        first = f"first right at {right.index(True) + 1}" if True in right else f"none right in {length}"
        shown.append(
            RankedQuery(
                title=f"rate {rate:g}, {first}",
                query=low,
                restored=_restore(result, low),
                gallery=[result.data.pixels.read(gallery.rows["path"][index]) for index in found],
                right=right,
            )
        )
    return shown


def _rows(table: ImageTable, rows: Sequence[int]) -> ImageTable:
    return table.select(table.rows.index.to_series().isin(rows))


def _restore(result: TrainedRun, image: UInt8Image) -> UInt8Image | None:
    precision = result.run.schedule.precision
    restored = restore_pixels(result.method, image[None], device=result.device, precision=precision)
    return None if restored is None else restored[0]
