"""The batched augmentation against one image at a time with NumPy."""

import numpy as np
import pytest
import torch

from crreid.data.augmentation import MEAN, Augmentation

SIZE = (20, 10)


def images(count=1):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8))


def oracle(image, draw, padding):
    """Mirror, pad with black, crop, erase: as one reads it."""
    mirror, top, left, first_row, first_column, row_behind, column_behind = draw
    image = image[:, ::-1] if mirror else image
    image = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))[top : top + SIZE[0], left : left + SIZE[1]]
    image = image.copy()
    image[first_row:row_behind, first_column:column_behind] = np.round(np.array(MEAN) * 255)
    return image


@pytest.mark.parametrize("settings", [Augmentation(padding=4), Augmentation(padding=3, erasing=0.7)])
def test_a_batch_equals_image_by_image(settings):
    pictures = images(40)
    draws = np.stack([settings.draw(SIZE, np.random.default_rng(seed)) for seed in range(40)])
    found = settings.apply(pictures, torch.from_numpy(draws))
    assert found.dtype == torch.uint8
    for image, draw, result in zip(pictures.numpy(), draws, found.numpy(), strict=True):
        assert np.array_equal(result, oracle(image, draw, settings.padding))


def test_no_augmentation_is_the_identity_and_a_sure_mirror_mirrors():
    pictures = images(3)
    for mirror in (0, 1):
        settings = Augmentation(mirror=mirror, padding=0)
        draws = torch.from_numpy(np.stack([settings.draw(SIZE, np.random.default_rng(0))] * 3))
        assert torch.equal(settings.apply(pictures, draws), pictures.flip(2) if mirror else pictures)


def test_draws_are_as_often_and_as_large_as_said():
    settings, generator = Augmentation(mirror=0.3, padding=5, erasing=0.6), np.random.default_rng(0)
    draws = np.stack([settings.draw(SIZE, generator) for _ in range(4000)])
    assert draws[:, 0].mean() == pytest.approx(0.3, abs=0.03)
    assert (draws[:, 1].min(), draws[:, 1].max()) == (0, 10)
    erased = draws[:, 5] > draws[:, 3]
    assert erased.mean() == pytest.approx(0.6, abs=0.03)
    area = (draws[:, 5] - draws[:, 3]) * (draws[:, 6] - draws[:, 4]) / (SIZE[0] * SIZE[1])
    assert 0.25 < area.max() <= 0.45
    assert (draws[:, 5] <= SIZE[0]).all()
    assert (draws[:, 6] <= SIZE[1]).all()
