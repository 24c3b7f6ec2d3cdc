import numpy as np
import pytest
import torch
from PIL import Image

from crreid.data.degradation import Degradation, degrade, enlarge, low_resolution_size, shrink
from crreid.errors import InputError


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("rate", "size"), [(1, (128, 64)), (2, (64, 32)), (3, (42, 21)), (2.5, (51, 25)), (200, (1, 1))]
)
def test_low_resolution_size_is_a_floor(rate, size):
    assert low_resolution_size(128, 64, rate) == size


@pytest.mark.parametrize("rate", [0, 0.5, -1, float("nan")])
def test_rates_below_one(rate):
    with pytest.raises(InputError, match="rate must be at least 1"):
        low_resolution_size(128, 64, rate)


def test_default_is_pil_bicubic_then_bilinear(image):
    small = Image.fromarray(image).resize((16, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(shrink(image, 4, Degradation()), np.asarray(small))
    large = small.resize((64, 128), Image.Resampling.BILINEAR)
    assert np.array_equal(degrade(image, 4, (128, 64), Degradation()), np.asarray(large))


def test_rate_one_leaves_an_image_of_the_right_size_alone(image):
    assert degrade(image, 1, (128, 64), Degradation()) is image


def test_without_antialias_is_another_image(image):
    plain = shrink(image, 4, Degradation(antialias=False))
    assert plain.shape == (32, 16, 3)
    assert np.abs(plain.astype(int) - shrink(image, 4, Degradation())).mean() > 10


def test_antialias_agrees_with_torch(image):
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(tensor, (32, 16), mode="bicubic", antialias=True)[0].permute(1, 2, 0)
    assert np.abs(shrink(image, 4, Degradation()).astype(float) - expected.clamp(0, 255).numpy()).max() <= 1


def test_jpeg_changes_the_small_image_only_a_little(image):
    smooth = enlarge(shrink(image, 8, Degradation()), (128, 64), Degradation())
    small, stored = shrink(smooth, 2, Degradation()), shrink(smooth, 2, Degradation(jpeg_quality=90))
    difference = np.abs(small.astype(int) - stored)
    assert difference.max() > 0
    assert difference.mean() < 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shrink": "sinc"}, "unknown filter 'sinc'"),
        ({"shrink": "lanczos", "antialias": False}, "antialias=False needs"),
        ({"jpeg_quality": 0}, "between 1 and 95"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        Degradation(**settings)
