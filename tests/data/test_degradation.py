import numpy as np
import pytest
import torch
from PIL import Image

from crreid.data.degradation import Degradation, degrade, low_resolution_size, shrink
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


def test_antialias_agrees_with_torch(image):
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(tensor, (32, 16), mode="bicubic", antialias=True)[0].permute(1, 2, 0)
    assert np.abs(shrink(image, 4, Degradation()).astype(float) - expected.clamp(0, 255).numpy()).max() <= 1


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
