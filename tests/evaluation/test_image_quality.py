import importlib.resources
import math
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.evaluation.image_quality import PerceptualDistance, peak_signal_to_noise_ratio, structural_similarity

CPU = torch.device("cpu")


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


@pytest.mark.filterwarnings("error")
def test_known_values() -> None:
    black, white = np.zeros((12, 12, 3), np.uint8), np.full((12, 12, 3), 255, np.uint8)
    assert peak_signal_to_noise_ratio(black, white) == 0
    assert peak_signal_to_noise_ratio(black, black + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    first = (0.01 * 255) ** 2
    assert structural_similarity(black, white) == pytest.approx(first / (255**2 + first))
    assert peak_signal_to_noise_ratio(black, black.copy()) == math.inf
    assert structural_similarity(black, black.copy()) == 1


@pytest.mark.parametrize("metric", [peak_signal_to_noise_ratio, structural_similarity])
def test_refuses_what_it_cannot_compare(metric: Callable[..., float]) -> None:
    original, image = pair(16, 12, 3)
    with pytest.raises(InputError, match=r"\(16, 12, 3\) float64; expected \(H, W, 3\) uint8"):
        metric(original, image / 1.0)
    with pytest.raises(InputError, match=r"\(16, 12\) uint8; expected"):
        metric(original[..., 0], image[..., 0])
    with pytest.raises(InputError, match=r"\(16, 12, 3\) and \(15, 12, 3\); expected one shape"):
        metric(original, image[:15])
    with pytest.raises(InputError, match="at least 11"):
        structural_similarity(*pair(16, 10, 3))


# --- LPIPS ---


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Of an AlexNet that has learnt nothing, by the names of torchvision's file, its classifier too."""
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = torchvision.models.alexnet(weights=None, num_classes=10).state_dict()
    return tensors


@pytest.fixture(scope="module")
def distance(weights: dict[str, Tensor]) -> PerceptualDistance:
    return PerceptualDistance(weights, origin="alexnet", device=CPU)


def activations(image: NDArray[np.uint8], weights: dict[str, Tensor]) -> list[Tensor]:
    """AlexNet's five rectified maps (C, H, W) of one image, by hand."""
    values = 2 * torch.tensor(image).float() / 255 - 1
    shifted = (values - torch.tensor([-0.030, -0.088, -0.188])) / torch.tensor([0.458, 0.448, 0.450])
    maps, found = shifted.permute(2, 0, 1), []
    for layer, stride, padding, pooled in ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False)):
        maps = max_pool2d(maps, 3, 2) if pooled else maps
        maps = conv2d(maps[None], *of(weights, layer), stride=stride, padding=padding)[0].relu()
        found.append(maps)
    return [*found, conv2d(maps[None], *of(weights, 10), padding=1)[0].relu()]


def of(weights: dict[str, Tensor], layer: int) -> tuple[Tensor, Tensor]:
    return weights[f"features.{layer}.weight"], weights[f"features.{layer}.bias"]


def slow(original: NDArray[np.uint8], image: NDArray[np.uint8], weights: dict[str, Tensor]) -> float:
    """Eq. 1 of Zhang et al., pixel by pixel."""
    file = importlib.resources.files("lpips") / "weights" / "v0.1" / "alex.pth"
    with importlib.resources.as_file(file) as path:
        linear = torch.load(path, map_location="cpu", weights_only=True)
    total = 0.0
    for level, pair in enumerate(zip(activations(original, weights), activations(image, weights), strict=True)):
        scale = linear[f"lin{level}.model.1.weight"].flatten()
        _, height, width = pair[0].shape
        for row in range(height):
            for column in range(width):
                one, other = (maps[:, row, column] / (maps[:, row, column].norm() + 1e-10) for maps in pair)
                total += float((scale * (one - other) ** 2).sum()) / (height * width)
    return total


def test_equals_the_definition(distance: PerceptualDistance, weights: dict[str, Tensor]) -> None:
    generator = np.random.default_rng(1)
    first = generator.integers(0, 256, (3, 40, 33, 3))
    second = first + generator.integers(-1, 2, first.shape) * np.array([90, 30, 0])[:, None, None, None]
    images = (
        first.astype(np.uint8),
        second.clip(0, 255).astype(np.uint8),
    )  # noise, and images ever more like it
    found = distance(*images)
    assert found == pytest.approx([slow(*pair, weights) for pair in zip(*images, strict=True)], rel=1e-4, abs=1e-7)
    assert found[0] > found[1] > found[2] == 0
    assert distance(*reversed(images)) == pytest.approx(found)


def test_smallest_images_and_what_are_no_stacks_of_images(distance: PerceptualDistance) -> None:
    images = np.zeros((1, 31, 31, 3), dtype=np.uint8)
    assert distance(images, images) == [0]
    larger = np.zeros((1, 31, 32, 3), dtype=np.uint8)
    for other, message in [(images[:, 1:], "at least 31"), (images / 1.0, "float64"), (larger, "one shape")]:
        with pytest.raises(InputError, match=message):
            distance(images, other)


def test_refuses_incomplete_weights(weights: dict[str, Tensor]) -> None:
    incomplete = {name: tensor for name, tensor in weights.items() if name != "features.10.bias"}
    with pytest.raises(InputError, match=r"alexnet.pth: tensor slice5.10.bias is missing"):
        PerceptualDistance(incomplete, origin="alexnet.pth", device=CPU)


def test_says_which_extra_is_missing(weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match=r"crreid\[lpips\]"):
        PerceptualDistance(weights, origin="alexnet", device=CPU)
