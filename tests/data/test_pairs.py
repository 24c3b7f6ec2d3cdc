import numpy as np
import pytest
import torch

from crreid.data import pairs as module
from crreid.data.degradation import degrade, enlarge
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import Augmentation, PairBatch, PairDataset, PairLoader, denormalise, normalise
from crreid.data.pixels import PixelCache
from crreid.data.sampler import IdentitySampler
from crreid.errors import InputError

SIZE = (64, 32)


@pytest.fixture
def built(table):
    return mlr(table, MLRSettings(cameras=(2,)))


@pytest.fixture
def pixels(built, tmp_path):
    return PixelCache(built, tmp_path)


def test_a_pair_is_the_image_and_its_degraded_self(built, pixels):
    train = built.with_role("train")
    dataset = PairDataset(train, pixels, SIZE, Augmentation(), seed=0)
    for row in range(0, len(dataset), 5):
        path, identity, _, _, rate = train.rows.iloc[row]
        image = train.source.read(path)
        high, low = dataset.pair(row)
        assert np.array_equal(high, enlarge(image, SIZE, train.degradation))
        assert np.array_equal(low, degrade(image, rate, SIZE, train.degradation))
        assert (dataset.labels[row], dataset.rates[row]) == (identity - 1, rate)


def test_draws_follow_from_seed_epoch_and_position(built, pixels):
    train = built.with_role("train")
    one, two = (PairDataset(train, pixels, SIZE, Augmentation(), seed=seed) for seed in (0, 1))
    draws = {one.draw((epoch, position, 2)).tobytes() for epoch in range(3) for position in range(3)}
    assert len(draws) > 3
    assert one.draw((1, 2, 3)).tolist() == one.draw((1, 2, 0)).tolist()
    assert any(not np.array_equal(one.draw((0, position, 2)), two.draw((0, position, 2))) for position in range(5))


def oracle(dataset, keys):
    """A batch, sample by sample."""
    samples = {"high": [], "low": [], "labels": [], "rates": []}
    for key in keys:
        draw = torch.from_numpy(dataset.draw(key))[None]
        for name, image in zip(("high", "low"), dataset.pair(key[2]), strict=True):
            image = torch.from_numpy(np.array(image))[None]
            samples[name].append(normalise(dataset.augmentation.apply(image, draw))[0])
        samples["labels"].append(torch.tensor(int(dataset.labels[key[2]])))
        samples["rates"].append(torch.tensor(float(dataset.rates[key[2]])))
    return PairBatch(**{name: torch.stack(values) for name, values in samples.items()})


@pytest.mark.parametrize("room", [2**30, 0], ids=["resident", "made anew"])
def test_the_loader_makes_the_batches_of_the_samplers_epoch(built, pixels, monkeypatch, room):
    monkeypatch.setattr(module, "RESIDENT_BYTES", room)
    dataset = PairDataset(built.with_role("train"), pixels, SIZE, Augmentation(padding=2), seed=0)
    sampler = IdentitySampler(dataset.labels.tolist(), 2, 3, seed=0)
    loader = PairLoader(dataset, sampler, torch.device("cpu"))
    assert (loader._resident is None) == (room == 0)
    torch.manual_seed(0)
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        found = list(loader)
        assert len(found) == len(keys)
        for batch, of_batch in zip(found, keys, strict=True):
            expected = oracle(dataset, of_batch)
            for name, tensor in vars(expected).items():
                assert torch.equal(getattr(batch, name), tensor), name
                assert getattr(batch, name).dtype == tensor.dtype, name
    assert not torch.equal(batch.high, batch.low)
    # no batch touches the generator of dropout
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))


def test_a_broken_image_is_told_and_ends_the_threads(built, pixels, monkeypatch):
    monkeypatch.setattr(module, "RESIDENT_BYTES", 0)
    dataset = PairDataset(built.with_role("train"), pixels, SIZE, Augmentation(), seed=0)
    monkeypatch.setattr(pixels, "read", lambda path: (_ for _ in ()).throw(InputError(f"{path}: gone")))
    loader = PairLoader(dataset, IdentitySampler(dataset.labels.tolist(), 2, 2, seed=0), torch.device("cpu"))
    with pytest.raises(InputError, match="gone"):
        list(loader)


def test_normalisation_is_imagenets_and_comes_back():
    pixels = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    images = normalise(pixels)
    channel = (pixels[0, 1, 2, 1].float() / 255 - 0.456) / 0.224
    assert torch.isclose(images[0, 1, 1, 2], channel)
    assert torch.allclose(denormalise(images).permute(0, 2, 3, 1) * 255, pixels.float(), atol=1e-3)
