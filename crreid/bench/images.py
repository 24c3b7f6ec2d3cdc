"""Images to measure loaders on: the built-in pedestrians as JPEG files, the form in which Market-1501 comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image
from torch.utils.data import Sampler

from crreid.bench.sizes import BenchSize
from crreid.data.datasets import DATASETS
from crreid.data.mlr import mlr
from crreid.data.pairs import PairDataset
from crreid.data.pixels import PixelCache
from crreid.data.sampler import IdentitySampler, SampleKey
from crreid.data.sources import FolderSource
from crreid.data.table import ImageTable
from crreid.synthetic.dataset import SyntheticSettings, synthetic_pedestrians

__all__ = ["Epochs", "evaluation_table", "pair_dataset", "sampler_of", "training_table", "write_images"]

CAMERAS = 4
DRAWN = 64  # different images, which rows share in turn: drawing one takes 0.05 s


def write_images(size: BenchSize, folder: Path) -> None:
    """Draws what a size needs, 128 x 64 pixels each, into an existing folder."""
    table = _table(size)
    for number, path in enumerate(table.rows["path"].head(DRAWN)):
        Image.fromarray(table.source.read(path)).save(folder / _name(number), quality=95)


def training_table(size: BenchSize, folder: Path) -> ImageTable:
    """Training rows, all with a rate, of the files that `write_images` wrote into the folder."""
    return _of_files(_table(size).with_role("train"), folder)


def evaluation_table(size: BenchSize, folder: Path) -> ImageTable:
    """As many rows of the test as the size embeds."""
    return _of_files(_table(size).with_role("query", "gallery"), folder)


def pair_dataset(size: BenchSize, table: ImageTable, folder: Path) -> PairDataset:
    """Pairs of the training rows, from pixels decoded into the folder at the first call."""
    return PairDataset(table, PixelCache(table, folder / "pixels"), size.size, size.augmentation, seed=0)


def sampler_of(size: BenchSize, dataset: PairDataset) -> IdentitySampler:
    """The batches that training with the seed 0 draws."""
    return IdentitySampler(dataset.labels.tolist(), *size.batch, seed=0)


class Epochs(Sampler[list[SampleKey]]):
    """So many batches of a sampler, epoch after epoch, as one long epoch: the start of loaders weighs little."""

    def __init__(self, sampler: IdentitySampler, batches: int) -> None:
        """Args: sampler: Of each epoch. batches: At least 1."""
        self._sampler, self._batches = sampler, batches

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for batch in range(self._batches):
            if batch % len(self._sampler) == 0:
                self._sampler.set_epoch(batch // len(self._sampler))
                of_epoch = iter(self._sampler)
            yield next(of_epoch)


def _table(size: BenchSize) -> ImageTable:
    settings = SyntheticSettings(
        train_identities=size.train_identities,
        test_identities=max(2, -(-size.images // (CAMERAS * size.images_per_camera))),
        cameras=CAMERAS,
        images_per_camera=size.images_per_camera,
    )
    table = mlr(synthetic_pedestrians(settings), DATASETS["synthetic"].mlr)
    test = table.with_role("query", "gallery").rows.head(size.images)
    return replace(table, rows=pd.concat([table.with_role("train").rows, test]))


def _of_files(table: ImageTable, folder: Path) -> ImageTable:
    rows = table.rows.assign(path=[_name(row % DRAWN) for row in range(len(table))])
    return replace(table, rows=rows, source=FolderSource(folder))


def _name(number: int) -> str:
    return f"{number:04d}.jpg"
