"""From a data set's name to what training and evaluation read: training rows, queries, gallery, pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crreid.data.datasets import find_dataset
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pixels import PixelCache
from crreid.data.table import ImageTable
from crreid.errors import InputError

USED = ("train", "query", "gallery", "distractor")  # roles: all but junk


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which images a run sees; where they lie on this machine is no part of it.

    Attributes:
        dataset: Name of a data set, e.g. `market-1501`.
        split: Number of the split of data sets that have several (VIPeR, CAVIAR4REID, CUHK03).
        mlr: The cross-resolution build; None = the data set's own test on high-resolution images.
        train_identities: Number of training identities, drawn with a fixed seed; None = all (100 of `synthetic`).
        test_identities: The same for the test.
        validation_identities: So many of the training identities, drawn with a fixed seed, are the test instead of the
            data set's own: hyper-parameters are chosen on them.
        version: Version of built-in data, whose pixels another version may draw differently; the table's digest for
            `own` data, since everybody's has that name; empty for published data sets.
    """

    tag: ClassVar[str] = "DataSettings"
    dataset: str = "synthetic"
    split: int = 0
    mlr: MLRSettings | None = None
    train_identities: int | None = None
    test_identities: int | None = None
    validation_identities: int = 0
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """The tables of one run and their decoded images; junk boxes are gone.

    Attributes:
        digest: Digest of the whole table, called `name`, after the protocol.
        gallery: Rows of role gallery and, where the protocol keeps them, distractor.
        pixels: Decoded images of all three tables.
        native: Low resolution is as recorded, not made.
    """

    name: str
    digest: str
    train: ImageTable
    query: ImageTable
    gallery: ImageTable
    pixels: PixelCache
    native: bool = False

    @property
    def content(self) -> str:
        """Digest of the bytes of all images, 16 hexadecimal digits: the same for a folder and its zip."""
        return self.pixels.content

    def stated_rates(self, table: ImageTable) -> NDArray[np.float32]:
        """Return what a method is told about the resolution of each image of one of the tables: (rows,), at least 1.

        The downsampling rate of the image. Where low resolution is as recorded, the image counts as downsampled before:
        from the median size of the gallery's images, by the root of the ratio of areas.
        """
        rates = table.rows["rate"].to_numpy(dtype=np.float32)
        if not self.native:
            return rates
        gallery, here = (
            np.array([self.pixels.read(path).size for path in rows["path"]]) for rows in (self.gallery.rows, table.rows)
        )
        told: NDArray[np.float32] = np.maximum(1, rates * np.sqrt(np.median(gallery) / here)).astype(np.float32)
        return told


def data_settings(name: str) -> DataSettings:
    """Return the settings for a name: `mlr-market-1501` is the default MLR build of `market-1501`."""
    entry = find_dataset(name)
    build = entry.mlr if entry.native or name.startswith("mlr-") else None
    return DataSettings(dataset=entry.name, mlr=build, version=entry.version)


def load_table(settings: DataSettings, root: Path | None) -> ImageTable:
    """Read the data set, cut it to the identities asked for and apply the protocol."""
    train, test = settings.train_identities, settings.test_identities
    table = find_dataset(settings.dataset).read(root, split=settings.split, train=train, test=test)
    if settings.validation_identities:
        low = settings.mlr is not None and bool(settings.mlr.cameras)  # whose images are the queries
        table = held_out(table, settings.validation_identities, queries=not low)
    return table if settings.mlr is None else mlr(table, settings.mlr)


def held_out(table: ImageTable, identities: int, *, queries: bool) -> ImageTable:
    """Return a table of the training images alone, where some identities, drawn with a fixed seed, are the test.

    Their images are the gallery, and with `queries` the first one of each camera a query.
    """
    training = table.with_role("train")
    rows = training.rows
    known = np.unique(rows["identity"])
    if not 2 <= identities <= len(known) - 2:
        raise InputError(f"validation_identities must lie between 2 and {len(known) - 2}, not {identities}")
    test = rows["identity"].isin(np.random.default_rng(0).choice(known, identities, replace=False))
    first = ~rows.duplicated(["identity", "camera"]) & queries
    roles = np.where(~test, "train", np.where(first, "query", "gallery"))
    return replace(training, name=f"{table.name}-validation", rows=rows.assign(role=roles))


@cache
def content_of(settings: DataSettings, root: Path | None) -> str | None:
    """Return `PreparedData.content` without decoding an image; None where data that are not built in have no root."""
    if root is None and not find_dataset(settings.dataset).built_in:
        return None
    table = load_table(settings, root).with_role(*USED)
    return table.source.content(sorted(set(table.rows["path"])))


def prepare(settings: DataSettings, root: Path | None, cache: Path) -> PreparedData:
    """Load the table, check that it can be trained and tested on, and decode its images once into the folder `cache`.

    Raises:
        InputError: Naming what is wrong with the data.
    """
    table = load_table(settings, root).with_role(*USED)
    for role in ("train", "query", "gallery"):
        if not (table.rows["role"] == role).any():
            expected = "a run needs train, query and gallery images"
            raise InputError(f"{table.name} has no images of role {role!r}; {expected}")
    check_training(table)
    if settings.mlr is None or not settings.mlr.cameras:
        check_queries(table)  # a person whom only the low-resolution camera saw is counted as unmatched instead
    return PreparedData(
        name=table.name,
        digest=table.digest,
        train=table.with_role("train"),
        query=table.with_role("query"),
        gallery=table.with_role("gallery", "distractor"),
        pixels=PixelCache(table, cache),
        native=settings.mlr is not None and not settings.mlr.cameras,
    )


def check_queries(table: ImageTable) -> None:
    """Raise InputError unless every query has a gallery image of its identity from another camera."""
    query, gallery = (table.with_role(role).rows for role in ("query", "gallery"))
    cameras = (
        gallery.groupby("identity")["camera"].agg(["min", "max"]).reindex(query["identity"]).reset_index(drop=True)
    )
    # a gallery with two cameras for an identity always holds another one than the query's
    unmatched = cameras["min"].isna() | ((cameras["min"] == query["camera"]) & (cameras["max"] == query["camera"]))
    if unmatched.any():
        first = query[unmatched].iloc[0]
        raise InputError(
            f"{table.name}: the gallery has no image of identity {first['identity']} from another camera than that of "
            f"the query {first['path']}, {first['camera']} ({int(unmatched.sum())} of {len(query)} queries are without "
            "a match); images of the query's own camera are removed before scoring, so give different cameras "
            "different numbers"
        )


def check_training(table: ImageTable) -> None:
    """Raise InputError unless every identity has two training images, so that there is a positive pair."""
    single = table.rows[_single_images(table)]
    if len(single):
        first = single.iloc[0]
        raise InputError(
            f"{table.name}: identity {first['identity']} has a single training image, {first['path']} "
            f"({len(single)} such identities); expected two or more, so add images or drop these with "
            "crreid.data.prepare.drop_single_images(table)"
        )


def drop_single_images(table: ImageTable) -> ImageTable:
    """Leave out training identities with a single image; a note says how many."""
    single = _single_images(table)
    if not single.any():
        return table
    note = f"{int(single.sum())} training identities with a single image are left out"
    return replace(table.select(~single), notes=(*table.notes, note))


def _single_images(table: ImageTable) -> pd.Series[bool]:
    """Which rows are the only training image of their identity."""
    train = table.rows["role"] == "train"
    return train & ~table.rows["identity"].where(train).duplicated(keep=False)
