"""Descriptors of the same images at several rates, from a method that shows what it is given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crreid.data.degradation import degrade
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairBatch, normalise
from crreid.data.pixels import PixelCache
from crreid.data.prepare import DataSettings, PreparedData
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.methods.cad_net import CADNetSettings
from crreid.methods.method import Method, Player
from crreid.provenance import TrainingLog
from crreid.runs import Run, TrainedRun
from crreid.study.descriptors import DescribedImages, described_images
from crreid.training.schedule import Schedule

SIZE = (32, 16)


class Pixels(Method):
    """Describes an image by its pixels: f the upper half, g the lower one."""

    def players(self) -> dict[str, Player]:
        return {}

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        raise AssertionError("nothing is trained")

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        return torch.cat([half.flatten(1) for half in images.chunk(2, dim=2)], dim=1)

    def parts(self) -> dict[str, slice]:
        half = 3 * SIZE[0] * SIZE[1] // 2
        return {"f": slice(0, half), "g": slice(half, 2 * half)}


@pytest.fixture
def result(table: ImageTable, tmp_path: Path) -> TrainedRun:
    built = mlr(table, MLRSettings(cameras=(2,)))
    roles = {"train": ("train",), "query": ("query",), "gallery": ("gallery", "distractor")}
    parts = {name: built.with_role(*of_name) for name, of_name in roles.items()}
    data = PreparedData(name="noise", digest="", pixels=PixelCache(built, tmp_path), **parts)
    run = Run(data=DataSettings(), method=CADNetSettings(), size=SIZE, schedule=Schedule(precision="fp32"))
    log = TrainingLog(provenance={}, epochs=[])
    return TrainedRun(run=run, method=Pixels(), data=data, device=torch.device("cpu"), log=log)


def test_every_image_at_every_rate(result: TrainedRun) -> None:
    found = described_images(result, (1, 4), persons=2)
    people = sorted(result.data.query.rows["identity"].unique())[:2]
    assert np.unique(found.identities).tolist() == people
    assert found.rates.tolist() == [1.0] * (len(found.rates) // 2) + [4.0] * (len(found.rates) // 2)
    assert (found.identities[found.rates == 1] == found.identities[found.rates == 4]).all()
    cameras = {
        (row.identity, row.camera)
        for table in (result.data.query, result.data.gallery)
        for row in table.rows.itertuples()
        if row.identity in people
    }
    assert len(found.identities) == 2 * len(cameras)  # one image of each person and camera


def test_descriptors_are_those_of_the_shrunk_high_resolution_files(result: TrainedRun) -> None:
    found = described_images(result, (1, 2), persons=1, images=100)
    data = result.data
    identity = found.identities[0]
    expected = set()
    for table in (data.query, data.gallery):
        for path in table.rows.loc[table.rows["identity"] == identity, "path"]:
            for rate in (1, 2):
                image = degrade(data.pixels.read(path), rate, SIZE, table.degradation)
                pixels = normalise(torch.tensor(image)[None])
                expected.add(Pixels().embed(pixels, torch.ones(1)).numpy().tobytes())
    assert {line.tobytes() for line in found.features} == expected
    assert len(found.features) == len(expected)


def test_native_low_resolution_takes_the_gallery_alone(result: TrainedRun) -> None:
    native = replace(result, data=replace(result.data, native=True))
    found = described_images(native, (1,), images=100)
    gallery = result.data.gallery.rows
    assert len(found.identities) == (gallery["role"] == "gallery").sum()  # no distractor, no query
    assert len(found.identities) < len(described_images(result, (1,), images=100).identities)


def test_the_same_every_time(result: TrainedRun) -> None:
    one, other = (described_images(result, (1, 3)) for _ in range(2))
    assert np.array_equal(one.features, other.features)


def test_a_rate_below_one(result: TrainedRun) -> None:
    with pytest.raises(InputError, match="rate"):
        described_images(result, (0.5,))


@pytest.fixture
def images() -> DescribedImages:
    features = np.arange(24, dtype=np.float32).reshape(6, 4)
    parts = {"f": slice(0, 1), "g": slice(1, 4)}
    identities, rates = np.array([9, 5, 7, 9, 5, 7]), np.array([1.0, 1, 1, 2, 2, 2])
    return DescribedImages(features=features, parts=parts, identities=identities, rates=rates)


def test_parts(images: DescribedImages) -> None:
    assert images.part("f").tolist() == [[0], [4], [8], [12], [16], [20]]
    assert images.part("g").shape == (6, 3)
    assert images.part("") is images.features
    assert replace(images, parts={}).part("f") is images.features
    with pytest.raises(InputError, match="no part 'h'; it has f, g"):
        images.part("h")


def test_first_persons(images: DescribedImages) -> None:
    chosen = images.of_persons(2)
    assert chosen.identities.tolist() == [5, 7, 5, 7]
    assert chosen.rates.tolist() == [1, 1, 2, 2]
    assert chosen.features[:, 0].tolist() == [4, 8, 16, 20]
    assert images.of_persons(10).identities.tolist() == images.identities.tolist()
