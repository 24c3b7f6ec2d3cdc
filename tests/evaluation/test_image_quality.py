import math

import numpy as np
import pytest

from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.evaluation.image_quality import peak_signal_to_noise_ratio, structural_similarity

METRICS = (peak_signal_to_noise_ratio, structural_similarity)


def pair(height: int, width: int, noise: float) -> tuple[UInt8Image, UInt8Image]:
    """A smooth image with an edge, and the same with noise, stronger in red."""
    generator = np.random.default_rng([height, width])
    rows, columns = np.mgrid[:height, :width]
    smooth = 120 + 60 * np.sin(rows / 5)[..., None] + 40 * (columns > width / 2)[..., None] + np.array([0, 10, -30])
    noisy = smooth + noise * generator.normal(size=smooth.shape) * [2, 1, 1]
    original, image = (np.clip(array, 0, 255).round().astype(np.uint8) for array in (smooth, noisy))
    return original, image


def slow_ratio(original: UInt8Image, image: UInt8Image) -> float:
    errors = [(int(one) - int(other)) ** 2 for one, other in zip(original.flat, image.flat, strict=True)]
    return 10 * math.log10(255**2 / (sum(errors) / len(errors)))


def slow_similarity(original: UInt8Image, image: UInt8Image) -> float:
    """Equation 13 of Wang et al., a window at a time."""
    steps = np.arange(-5, 6)
    window = np.exp(-(steps[:, None] ** 2 + steps[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        for top in range(original.shape[0] - 10):
            for left in range(original.shape[1] - 10):
                place = (slice(top, top + 11), slice(left, left + 11), channel)
                x, y = original[place].astype(float), image[place].astype(float)
                mean_x, mean_y = (window * x).sum(), (window * y).sum()
                variance_x, variance_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
                covariance = (window * (x - mean_x) * (y - mean_y)).sum()
                luminance = (2 * mean_x * mean_y + first) / (mean_x**2 + mean_y**2 + first)
                structure = (2 * covariance + second) / (variance_x + variance_y + second)
                values.append(luminance * structure)
    return float(np.mean(values))


@pytest.mark.parametrize("noise", [1, 8, 40])
@pytest.mark.parametrize("size", [(11, 11), (24, 16)])
def test_values_are_those_of_the_equations(size: tuple[int, int], noise: float) -> None:
    original, image = pair(*size, noise)
    assert peak_signal_to_noise_ratio(original, image) == pytest.approx(slow_ratio(original, image), rel=1e-12)
    assert structural_similarity(original, image) == pytest.approx(slow_similarity(original, image), rel=1e-9)


def test_known_values() -> None:
    black, white = np.zeros((12, 12, 3), np.uint8), np.full((12, 12, 3), 255, np.uint8)
    assert peak_signal_to_noise_ratio(black, white) == 0
    assert peak_signal_to_noise_ratio(black, black + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    first = (0.01 * 255) ** 2
    assert structural_similarity(black, white) == pytest.approx(first / (255**2 + first))


@pytest.mark.filterwarnings("error")
def test_identical_images() -> None:
    original, _ = pair(16, 12, 0)
    assert peak_signal_to_noise_ratio(original, original.copy()) == math.inf
    assert structural_similarity(original, original.copy()) == 1


def test_both_are_symmetric_and_fall_with_noise() -> None:
    for metric in METRICS:
        found = [metric(*pair(32, 16, noise)) for noise in (1, 4, 16, 64)]
        assert found == sorted(found, reverse=True)
        assert metric(*pair(32, 16, 9)) == pytest.approx(metric(*reversed(pair(32, 16, 9))))


@pytest.mark.parametrize("metric", METRICS)
def test_refuses_what_it_cannot_compare(metric: type) -> None:
    original, image = pair(16, 12, 3)
    with pytest.raises(InputError, match=r"\(16, 12, 3\) float64; expected \(H, W, 3\) uint8"):
        metric(original, image / 1.0)
    with pytest.raises(InputError, match=r"\(16, 12\) uint8; expected"):
        metric(original[..., 0], image[..., 0])
    with pytest.raises(InputError, match=r"\(16, 12, 3\) and \(15, 12, 3\); expected one size"):
        metric(original, image[:15])


def test_refuses_images_smaller_than_the_window() -> None:
    original, image = pair(16, 10, 3)
    with pytest.raises(InputError, match="at least 11"):
        structural_similarity(original, image)
    assert peak_signal_to_noise_ratio(original, image) > 0
