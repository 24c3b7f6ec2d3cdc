"""The batched augmentation against one image at a time with NumPy."""

import numpy as np
import pytest
import torch

from crreid.data.pairs import Augmentation

SIZE = (20, 10)


def images(count=1):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8))


def oracle(image, draw, padding):
    """Mirror, pad with black, crop: as one reads it."""
    mirror, top, left = draw
    image = image[:, ::-1] if mirror else image
    return np.pad(image, ((padding, padding), (padding, padding), (0, 0)))[top : top + SIZE[0], left : left + SIZE[1]]


@pytest.mark.parametrize("settings", [Augmentation(padding=4), Augmentation(padding=3, mirror=0.7)])
def test_a_batch_equals_image_by_image(settings):
    pictures = images(40)
    draws = np.stack([settings.draw(np.random.default_rng(seed)) for seed in range(40)])
    found = settings.apply(pictures, torch.from_numpy(draws))
    assert found.dtype == torch.uint8
    for image, draw, result in zip(pictures.numpy(), draws, found.numpy(), strict=True):
        assert np.array_equal(result, oracle(image, draw, settings.padding))


def test_no_augmentation_is_the_identity_and_a_sure_mirror_mirrors():
    pictures = images(3)
    for mirror in (0, 1):
        settings = Augmentation(mirror=mirror, padding=0)
        draws = torch.from_numpy(np.stack([settings.draw(np.random.default_rng(0))] * 3))
        assert torch.equal(settings.apply(pictures, draws), pictures.flip(2) if mirror else pictures)


def test_draws_are_as_often_and_as_far_as_said_and_as_ever():
    settings, generator = Augmentation(mirror=0.3, padding=5), np.random.default_rng(0)
    draws = np.stack([settings.draw(generator) for _ in range(4000)])
    assert draws[:, 0].mean() == pytest.approx(0.3, abs=0.03)
    for place in (1, 2):
        assert (draws[:, place].min(), draws[:, place].max()) == (0, 10)
    # every recorded training drew these
    first = [Augmentation().draw(np.random.default_rng([0, 0, position])).tolist() for position in range(3)]
    assert first == [[0, 10, 5], [1, 0, 8], [0, 7, 8]]
