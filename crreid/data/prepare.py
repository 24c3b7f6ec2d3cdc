"""From a data set's name to what training and evaluation read: training rows, queries, gallery, pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crreid.data.checks import check_queries, check_training
from crreid.data.datasets import find_dataset
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pixels import PixelCache
from crreid.data.table import ImageTable
from crreid.errors import InputError

__all__ = ["DataSettings", "PreparedData", "content_of", "data_settings", "load_table", "prepare"]

USED_ROLES = ("train", "query", "gallery", "distractor")
"""Roles of the images that a run sees: all but junk boxes."""


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which images a run sees; where they lie on this machine is no part of it.

    Attributes:
        dataset: A name of the catalogue, e.g. `market-1501`.
        split: Of the data sets that have several (VIPeR, CAVIAR4REID, CUHK03).
        mlr: The cross-resolution build; None = the data set's own test on high-resolution images.
        train_identities: Train on so many identities only, drawn with a fixed seed; None = all (100 of `synthetic`).
        test_identities: The same for the test.
        version: Of built-in data, whose pixels another version may draw differently; the table's digest for `own` data,
            since everybody's has that name; empty for published data sets.
    """

    tag: ClassVar[str] = "DataSettings"
    dataset: str = "synthetic"
    split: int = 0
    mlr: MLRSettings | None = None
    train_identities: int | None = None
    test_identities: int | None = None
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """The tables of one run and their decoded images; junk boxes are gone.

    Attributes:
        name: E.g. `mlr-market-1501`.
        digest: Of the whole table after the protocol.
        train: Rows of role train.
        query: Rows of role query.
        gallery: Rows of role gallery and, where the protocol keeps them, distractor.
        pixels: Decoded images of all three.
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
        """What a method is told about the resolution of each image of one of the tables: (rows,), at least 1.

        The rate by which the image is shrunk. Where low resolution is as recorded, the image counts as shrunk before
        already: from the size of the gallery's images (in the median), by the root of the ratio of areas.
        """
        rates = table.rows["rate"].to_numpy(dtype=np.float32)
        if not self.native:
            return rates
        gallery, here = (
            np.array([self._area(path) for path in rows["path"]]) for rows in (self.gallery.rows, table.rows)
        )
        told: NDArray[np.float32] = np.maximum(1, rates * np.sqrt(np.median(gallery) / here)).astype(np.float32)
        return told

    def _area(self, path: str) -> int:
        return self.pixels.read(path).size


def data_settings(name: str) -> DataSettings:
    """Return the settings for a name in notebooks: `mlr-market-1501` is the default MLR build of `market-1501`.

    Raises:
        InputError: An unknown name.
    """
    entry = find_dataset(name)
    build = entry.mlr if entry.native or name.startswith("mlr-") else None
    return DataSettings(dataset=entry.name, mlr=build, version=entry.version)


def load_table(settings: DataSettings, root: Path | None) -> ImageTable:
    """Read the data set, cut it to the identities asked for and apply the protocol."""
    table = find_dataset(settings.dataset).read(
        root,
        split=settings.split,
        train_identities=settings.train_identities,
        test_identities=settings.test_identities,
    )
    return table if settings.mlr is None else mlr(table, settings.mlr)


@cache
def content_of(settings: DataSettings, root: Path | None) -> str | None:
    """Return the digest of the images that `prepare` would decode, without decoding them; cached in this process.

    Args:
        settings: Which images.
        root: Folder or file of the data set; None for built-in data, and where the data are not available.

    Returns:
        `PreparedData.content`; None for a data set that is not built in without a root.

    Raises:
        InputError: The data at `root` cannot be read.
    """
    if root is None and not find_dataset(settings.dataset).built_in:
        return None
    table = load_table(settings, root).with_role(*USED_ROLES)
    return table.source.content(sorted(set(table.rows["path"])))


def prepare(settings: DataSettings, root: Path | None, cache: Path) -> PreparedData:
    """Loads the table, checks that it can be trained and tested on, and decodes its images once.

    Args:
        settings: Which images.
        root: Folder or file of the data set; None for built-in data.
        cache: Folder of decoded images.

    Raises:
        InputError: Naming what is wrong with the data.
    """
    table = load_table(settings, root).with_role(*USED_ROLES)
    for role in ("train", "query", "gallery"):
        if not (table.rows["role"] == role).any():
            raise InputError(
                f"{table.name} has no images of role {role!r}; a run needs train, query and gallery images"
            )
    train = table.with_role("train")
    check_training(train)
    if settings.mlr is None or not settings.mlr.cameras:
        check_queries(table)  # a person whom only the low-resolution camera saw is counted as unmatched instead
    return PreparedData(
        name=table.name,
        digest=table.digest,
        train=train,
        query=table.with_role("query"),
        gallery=table.with_role("gallery", "distractor"),
        pixels=PixelCache(table, cache),
        native=settings.mlr is not None and not settings.mlr.cameras,
    )
