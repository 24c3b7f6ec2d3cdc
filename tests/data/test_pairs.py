import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from crreid.data.degradation import degrade, enlarge
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import Augmentation, PairBatch, PairDataset, TestImages, denormalise, normalise
from crreid.data.pixels import PixelCache
from crreid.data.sampler import IdentitySampler

SIZE = (64, 32)


@pytest.fixture
def built(table):
    return mlr(table, MLRSettings(cameras=(2,)))


@pytest.fixture
def pixels(built, tmp_path):
    return PixelCache(built, tmp_path)


def test_both_images_go_through_the_same_draw():
    high = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    for seed in range(20):
        generator = np.random.default_rng(seed)
        first, second = Augmentation(padding=4, erasing=0.5).apply((high, high), generator)
        assert np.array_equal(first, second)
        assert first.shape == high.shape


def test_no_augmentation_is_the_identity():
    image = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    same = Augmentation(mirror=0, padding=0).apply((image,), np.random.default_rng(0))[0]
    assert np.array_equal(same, image)
    mirrored = Augmentation(mirror=1, padding=0).apply((image,), np.random.default_rng(0))[0]
    assert np.array_equal(mirrored, image[:, ::-1])


def test_a_sample_is_the_image_and_its_degraded_self(built, pixels):
    train = built.with_role("train")
    dataset = PairDataset(train, pixels, SIZE, Augmentation(mirror=0, padding=0), seed=0)
    for row in range(0, len(dataset), 5):
        high, low, label, camera, rate = dataset[0, 0, row]
        path, identity, expected_camera, _, expected_rate = train.rows.iloc[row]
        image = train.source.read(path)
        assert np.array_equal(high, enlarge(image, SIZE, train.degradation))
        assert np.array_equal(low, degrade(image, expected_rate, SIZE, train.degradation))
        assert (label, camera, rate) == (identity - 1, expected_camera, expected_rate)


def test_samples_follow_from_seed_epoch_and_position(built, pixels):
    train = built.with_role("train")
    one, two = (PairDataset(train, pixels, SIZE, Augmentation(), seed=seed) for seed in (0, 1))
    assert np.array_equal(one[3, 5, 2][0], one[3, 5, 2][0])
    draws = {one[epoch, position, 2][1].tobytes() for epoch in range(3) for position in range(3)}
    assert len(draws) > 3
    assert any(not np.array_equal(one[0, position, 2][0], two[0, position, 2][0]) for position in range(5))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_the_workers(built, pixels, workers):
    train = built.with_role("train")
    dataset = PairDataset(train, pixels, SIZE, Augmentation(), seed=0)
    sampler = IdentitySampler(dataset.labels.tolist(), 2, 3, seed=0)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=PairBatch.collate, num_workers=workers)
    batch = next(iter(loader)).to(torch.device("cpu"))
    expected = PairBatch.collate([dataset[key] for key in next(iter(sampler))]).to(torch.device("cpu"))
    assert torch.equal(batch.high, expected.high)
    assert torch.equal(batch.low, expected.low)
    assert batch.high.shape == (6, 3, *SIZE)
    assert batch.labels.tolist() == expected.labels.tolist()
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
