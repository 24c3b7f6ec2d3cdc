"""Images kept decoded and images read anew give the same batches."""

from dataclasses import fields

import pytest
import torch

from crreid.data import batches
from crreid.data.augmentation import Augmentation
from crreid.data.batches import LoadedBatches, ResidentBatches, pair_batches
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairDataset, PairSamples
from crreid.data.pixels import PixelCache
from crreid.data.sampler import IdentitySampler

CPU = torch.device("cpu")


@pytest.fixture
def dataset(table, tmp_path):
    built = mlr(table, MLRSettings(cameras=(2,)))
    augmentation = Augmentation(padding=2, erasing=0.5)
    return PairDataset(built.with_role("train"), PixelCache(built, tmp_path), (64, 32), augmentation, seed=0)


def sampler_of(dataset, epoch=1):
    sampler = IdentitySampler(dataset.labels.tolist(), 2, 3, seed=0)
    sampler.set_epoch(epoch)
    return sampler


def assert_same(found, expected):
    for entry in fields(expected):
        one, other = getattr(found, entry.name), getattr(expected, entry.name)
        assert torch.equal(one, other), entry.name
        assert one.dtype == other.dtype, entry.name


@pytest.mark.parametrize("workers", [0, 2])
def test_loaded_batches_are_those_of_the_samples(dataset, workers):
    sampler = sampler_of(dataset)
    found = list(LoadedBatches(dataset, sampler, CPU, workers=workers))
    assert len(found) == len(sampler)
    for batch, keys in zip(found, sampler, strict=True):
        assert_same(batch, PairSamples.collate([dataset[key] for key in keys]).batch(dataset.augmentation, CPU))


def test_resident_batches_are_the_same(dataset):
    resident = ResidentBatches(dataset, sampler_of(dataset), CPU)
    loaded = LoadedBatches(dataset, sampler_of(dataset), CPU)
    for found, expected in zip(resident, loaded, strict=True):
        assert_same(found, expected)


def test_no_batch_touches_the_generator_of_dropout(dataset):
    for found in (ResidentBatches, LoadedBatches):
        torch.manual_seed(0)
        list(found(dataset, sampler_of(dataset), CPU))
        assert torch.initial_seed() == 0
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))


def test_what_does_not_fit_is_loaded(dataset, monkeypatch):
    assert isinstance(pair_batches(dataset, sampler_of(dataset), CPU), ResidentBatches)
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 2 * len(dataset) * 64 * 32 * 3 - 1)
    assert isinstance(pair_batches(dataset, sampler_of(dataset), CPU), LoadedBatches)
