"""Every data set that the project knows: its reader, its cross-resolution build, its name in papers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from crreid.data.mlr import MLRSettings
from crreid.data.readers.boxes import dukemtmc, market1501
from crreid.data.readers.cuhk03 import cuhk03
from crreid.data.readers.own import own
from crreid.data.readers.two_cameras import caviar, viper
from crreid.data.table import ImageTable
from crreid.errors import InputError, did_you_mean
from crreid.synthetic.dataset import SyntheticSettings, synthetic_pedestrians
from crreid.synthetic.renderer import RENDERER_VERSION

FIRST_OF_PAIRS = (1, 3, 5, 7, 9)  # cameras of CUHK03


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """All facts about one data set.

    Attributes:
        name: Name in commands and notebooks, e.g. `market-1501`.
        reader: Reads the table from a folder, zip or file, and takes a split if several; None for built-in data.
        splits: Number of splits.
        low_resolution_cameras: Cameras whose images the MLR protocol downsamples by default.
        official_queries: Whether official query images take part in the default MLR build. The PS-HRNet release tests
            Market-1501 and DukeMTMC-reID on their test folders alone; others have no images to spare.
        native: Low resolution is as recorded: no camera is downsampled.
        paper_name: What papers call the data set; None if no paper of the study has it.
    """

    name: str
    reader: Callable[..., ImageTable] | None
    splits: int = 1
    low_resolution_cameras: tuple[int, ...] = ()
    official_queries: bool = True
    native: bool = False
    paper_name: str | None = None

    @property
    def built_in(self) -> bool:
        """Whether the images are drawn by the package: they need no `data_root` and may be shown to anyone."""
        return self.reader is None

    @property
    def version(self) -> str:
        """Version of built-in pixels; empty for files."""
        return RENDERER_VERSION if self.built_in else ""

    @property
    def mlr(self) -> MLRSettings:
        """The recommended cross-resolution build."""
        return MLRSettings(cameras=self.low_resolution_cameras, official_queries=self.official_queries)

    def read(
        self, root: Path | None, *, split: int = 0, train: int | None = None, test: int | None = None
    ) -> ImageTable:
        """Read the table, at rate 1 unless a user's own CSV file gives other rates; no image is decoded.

        Args:
            root: Folder, zip or file that holds the data set (`~` is the home folder); ignored for built-in data.
            split: Number of the split.
            train: Training identities to keep, drawn with a fixed seed; None keeps all (built-in data have 100).
            test: The same for query and gallery.
        """
        if not 0 <= split < self.splits:
            expected = "0, it has one split only" if self.splits == 1 else f"0 to {self.splits - 1}"
            raise InputError(f"{self.name}: there is no split {split}; expected {expected}")
        if self.reader is None:
            sizes = {"train_identities": train, "test_identities": test}
            given = {name: size for name, size in sizes.items() if size is not None}
            return synthetic_pedestrians(SyntheticSettings(**given))
        if root is None:
            expected = "data_root, the folder or file that holds the data set"
            raise InputError(f"{self.name}: expected {expected}, but none was given")
        place = Path(root).expanduser()
        table = self.reader(place) if self.splits == 1 else self.reader(place, split=split)
        return _limited(_limited(table, ("train",), train), ("query", "gallery"), test)


def _limited(table: ImageTable, roles: tuple[str, ...], count: int | None) -> ImageTable:
    """Keep `count` identities in the given roles, drawn with a fixed seed."""
    rows = table.rows
    mine = rows["role"].isin(roles)
    identities = np.unique(rows.loc[mine, "identity"])
    if count is None or count >= len(identities):
        return table
    if count < 2:
        raise InputError(f"{table.name}: at least 2 identities are needed, not {count}")
    chosen = np.random.default_rng(0).choice(identities, count, replace=False)
    return table.select(~mine | rows["identity"].isin(chosen))


_ENTRIES = (
    DataSet(name="synthetic", reader=None, low_resolution_cameras=(1,)),
    DataSet(
        name="market-1501",
        reader=market1501,
        low_resolution_cameras=(3,),
        official_queries=False,
        paper_name="Market-1501",
    ),
    DataSet(
        name="dukemtmc-reid",
        reader=dukemtmc,
        low_resolution_cameras=(1,),
        official_queries=False,
        paper_name="DukeMTMC-reID",
    ),
    DataSet(
        name="cuhk03",
        reader=partial(cuhk03, protocol="classic"),
        splits=20,
        low_resolution_cameras=FIRST_OF_PAIRS,
        paper_name="CUHK03",
    ),
    DataSet(name="cuhk03-new", reader=partial(cuhk03, protocol="new"), low_resolution_cameras=FIRST_OF_PAIRS),
    DataSet(name="viper", reader=viper, splits=10, low_resolution_cameras=(1,), paper_name="VIPeR"),
    DataSet(name="caviar", reader=caviar, splits=10, native=True, paper_name="CAVIAR"),
    DataSet(name="own", reader=own),
)

DATASETS = {entry.name: entry for entry in _ENTRIES}


def find_dataset(name: str) -> DataSet:
    """Return a data set by its name, with or without `mlr-`. Raises InputError for an unknown one."""
    plain = name.removeprefix("mlr-")
    if plain not in DATASETS:
        raise InputError(f"there is no data set {name!r}{did_you_mean(plain, DATASETS)}")
    return DATASETS[plain]


def paper_name(name: str) -> str | None:
    """Return what papers call `mlr-market-1501`, `market-1501`, ...; None if no paper of the study has it."""
    entry = find_dataset(name)
    build = name.startswith("mlr-") and not entry.native
    return f"MLR-{entry.paper_name}" if build and entry.paper_name else entry.paper_name
