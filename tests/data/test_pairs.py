import numpy as np
import pytest
import torch

from crreid.data.augmentation import Augmentation
from crreid.data.degradation import degrade, enlarge
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairDataset, PairSamples, TestImages, denormalise, normalise
from crreid.data.pixels import PixelCache

SIZE = (64, 32)


@pytest.fixture
def built(table):
    return mlr(table, MLRSettings(cameras=(2,)))


@pytest.fixture
def pixels(built, tmp_path):
    return PixelCache(built, tmp_path)


def test_a_sample_is_the_image_and_its_degraded_self(built, pixels):
    train = built.with_role("train")
    dataset = PairDataset(train, pixels, SIZE, Augmentation(mirror=0, padding=0), seed=0)
    for row in range(0, len(dataset), 5):
        high, low, label, rate, _ = dataset[0, 0, row]
        path, identity, _, _, expected_rate = train.rows.iloc[row]
        image = train.source.read(path)
        assert np.array_equal(high, enlarge(image, SIZE, train.degradation))
        assert np.array_equal(low, degrade(image, expected_rate, SIZE, train.degradation))
        assert (label, rate) == (identity - 1, expected_rate)


def test_samples_follow_from_seed_epoch_and_position(built, pixels):
    train = built.with_role("train")
    one, two = (PairDataset(train, pixels, SIZE, Augmentation(), seed=seed) for seed in (0, 1))
    assert np.array_equal(one.draw((3, 5, 2)), one[3, 5, 2][-1])
    draws = {one.draw((epoch, position, 2)).tobytes() for epoch in range(3) for position in range(3)}
    assert len(draws) > 3
    assert any(not np.array_equal(one.draw((0, position, 2)), two.draw((0, position, 2))) for position in range(5))


def test_a_batch_is_augmented_then_normalised(built, pixels):
    train = built.with_role("train")
    dataset = PairDataset(train, pixels, SIZE, Augmentation(), seed=0)
    samples = PairSamples.collate([dataset[0, position, row] for position, row in enumerate((3, 1, 2))])
    batch = samples.batch(dataset.augmentation, torch.device("cpu"))
    assert torch.equal(batch.low, normalise(dataset.augmentation.apply(samples.low, samples.draws)))
    assert batch.high.shape == (3, 3, *SIZE)
    assert batch.labels.tolist() == dataset.labels[[3, 1, 2]].tolist()
    assert not torch.equal(batch.high, batch.low)


def test_normalisation_is_imagenets_and_comes_back():
    pixels = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    images = normalise(pixels)
    channel = (pixels[0, 1, 2, 1].float() / 255 - 0.456) / 0.224
    assert torch.isclose(images[0, 1, 1, 2], channel)
    assert torch.allclose(denormalise(images).permute(0, 2, 3, 1) * 255, pixels.float(), atol=1e-3)


def test_test_images_are_degraded_by_their_rate(built, pixels):
    query = built.with_role("query")
    images = TestImages(query, pixels, SIZE)
    assert len(images) == len(query)
    path, rate = query.rows.loc[1, ["path", "rate"]]
    assert np.array_equal(images[1], degrade(query.source.read(path), rate, SIZE, query.degradation))
