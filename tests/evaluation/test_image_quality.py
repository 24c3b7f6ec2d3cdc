import importlib.resources
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from crreid.data.degradation import degrade, enlarge
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairBatch
from crreid.data.pixels import PixelCache
from crreid.data.prepare import PreparedData
from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation import evaluate as evaluation
from crreid.evaluation.image_quality import (
    LEAST_SIDE,
    PerceptualDistance,
    peak_signal_to_noise_ratio,
    restoration_quality,
    restore_pixels,
    structural_similarity,
)
from crreid.methods.method import Method, Player

CPU = torch.device("cpu")
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
    with pytest.raises(InputError, match=r"\(16, 12, 3\) and \(15, 12, 3\); expected one shape"):
        metric(original, image[:15])


def test_refuses_images_smaller_than_the_window() -> None:
    original, image = pair(16, 10, 3)
    with pytest.raises(InputError, match="at least 11"):
        structural_similarity(original, image)
    assert peak_signal_to_noise_ratio(original, image) > 0


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


@pytest.fixture
def images() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Three images of noise and three that are like them more and more."""
    generator = np.random.default_rng(1)
    first = generator.integers(0, 256, (3, 40, 33, 3))
    second = first + generator.integers(-1, 2, first.shape) * np.array([90, 30, 0])[:, None, None, None]
    return first.astype(np.uint8), second.clip(0, 255).astype(np.uint8)


def activations(image: NDArray[np.uint8], weights: dict[str, Tensor]) -> list[Tensor]:
    """AlexNet's five rectified maps (C, H, W) of one image, by hand."""
    values = 2 * torch.tensor(image).permute(2, 0, 1).float() / 255 - 1
    maps = (values - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[
        :, None, None
    ]
    found = []
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


def test_equals_the_definition(
    distance: PerceptualDistance, weights: dict[str, Tensor], images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    found = distance(*images)
    assert found == pytest.approx([slow(*pair, weights) for pair in zip(*images, strict=True)], rel=1e-4, abs=1e-7)
    assert found[0] > found[1] > found[2] == 0
    assert distance(*reversed(images)) == pytest.approx(found)


def test_other_weights_give_another_distance(
    distance: PerceptualDistance, weights: dict[str, Tensor], images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    doubled = {name: 2 * tensor if name == "features.8.weight" else tensor for name, tensor in weights.items()}
    body = {name: tensor for name, tensor in doubled.items() if name.startswith("features")}
    other = PerceptualDistance(body, origin="alexnet", device=CPU)
    assert other(*images)[0] != pytest.approx(distance(*images)[0], rel=1e-3)


def test_smallest_images(distance: PerceptualDistance) -> None:
    image = np.zeros((1, LEAST_SIDE, LEAST_SIDE, 3), dtype=np.uint8)
    assert distance(image, image) == [0]
    with pytest.raises(InputError, match=rf"at least {LEAST_SIDE}"):
        distance(image[:, 1:], image[:, 1:])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 40, 40, 3)), "float64"),
        (np.zeros((40, 40, 3), dtype=np.uint8), "expected"),
        (np.zeros((2, 40, 40, 3), dtype=np.uint8), "one shape"),
    ],
)
def test_refuses_what_are_no_stacks_of_images(distance: PerceptualDistance, array: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        distance(np.zeros((1, 40, 40, 3), dtype=np.uint8), array)


def test_refuses_the_weights_of_another_network(weights: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match="another architecture"):
        PerceptualDistance({"conv1.weight": torch.zeros(3)}, origin="other.pth", device=CPU)
    incomplete = {name: tensor for name, tensor in weights.items() if name != "features.10.bias"}
    with pytest.raises(InputError, match=r"alexnet.pth: tensor slice5.10.bias is missing"):
        PerceptualDistance(incomplete, origin="alexnet.pth", device=CPU)


def test_says_which_extra_is_missing(weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match=r"crreid\[lpips\]"):
        PerceptualDistance(weights, origin="alexnet", device=CPU)


# --- restoration ---

SIZE = (24, 12)
ON_CPU: dict[str, Any] = {"device": CPU, "precision": "fp32"}
MEAN = np.array([0.485, 0.456, 0.406])  # of ImageNet; its deviation cancels out


class Scaled(Method):
    """Restores an image by a factor on its normalised values; None restores nothing."""

    def __init__(self, factor: float | None) -> None:
        super().__init__()
        self.factor = factor
        self.batches: list[int] = []

    def players(self) -> dict[str, Player]:
        return {}

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        return {}

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        return images.flatten(1)

    def restore(self, images: Tensor) -> Tensor | None:
        assert torch.is_inference_mode_enabled()
        assert not self.training
        self.batches.append(len(images))
        return None if self.factor is None else self.factor * images


@pytest.fixture
def data(table_maker: Callable[..., ImageTable], tmp_path: Path) -> PreparedData:
    """An MLR build of noise: 9 queries."""
    table = mlr(table_maker(), MLRSettings(cameras=(2,)))
    parts = {role: table.with_role(role) for role in ("train", "query", "gallery")}
    return PreparedData(name=table.name, digest=table.digest, pixels=PixelCache(table, tmp_path), **parts)


def expected(data: PreparedData, rate: float, factor: float) -> tuple[float, float]:
    """Mean quality of queries restored in numpy, one by one."""
    ratios, similarities = [], []
    for path in data.query.rows["path"]:
        file = data.pixels.read(path)
        original = enlarge(file, SIZE, data.query.degradation)
        low = degrade(file, rate, SIZE, data.query.degradation)
        restored = np.clip(factor * (low / 255 - MEAN) + MEAN, 0, 1)
        image = (restored * 255).round().astype(np.uint8)
        ratios.append(peak_signal_to_noise_ratio(original, image))
        similarities.append(structural_similarity(original, image))
    return float(np.mean(ratios)), float(np.mean(similarities))


@pytest.mark.parametrize("batch", [4, 64])
def test_quality_is_that_of_single_images(data: PreparedData, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BATCH", batch)
    method = Scaled(0.5).train()
    quality = restoration_quality(method, data, (2, 2.5), size=SIZE, **ON_CPU)
    assert list(quality) == ["rate", "measure", "value", "input", "images"]
    assert quality["rate"].tolist() == [2, 2, 2.5, 2.5]
    assert quality["measure"].tolist() == ["psnr", "ssim"] * 2
    assert set(quality["images"]) == {9}
    assert max(method.batches) == min(batch, 9)
    for rate in (2, 2.5):
        found = quality[quality["rate"] == rate]
        # a value on the edge between two grey levels may round either way
        assert tuple(found["value"]) == pytest.approx(expected(data, rate, 0.5), rel=1e-4)
        assert tuple(found["input"]) == pytest.approx(expected(data, rate, 1), rel=1e-12)
        assert (found["value"] != found["input"]).all()
    assert quality["input"].nunique() == 4
    assert set(data.query.rows["rate"]) == {2, 3, 4}  # the protocol's own rates are not used


def test_a_method_that_restores_nothing_has_the_quality_of_its_input(data: PreparedData) -> None:
    found = restoration_quality(Scaled(None), data, (3,), size=SIZE, **ON_CPU)
    assert found["value"].equals(found["input"])
    assert restoration_quality(Scaled(1), data, (3,), size=SIZE, **ON_CPU).equals(found)


def test_images_without_error_have_a_finite_mean(data: PreparedData) -> None:
    found = restoration_quality(Scaled(0.5), data, (1,), size=SIZE, **ON_CPU)
    assert found["input"].tolist() == [100, 1]
    assert found["value"][0] < 100


def test_lpips_is_a_third_measure(data: PreparedData, distance: PerceptualDistance) -> None:
    found = restoration_quality(Scaled(0.5), data, (2,), size=(32, 32), perceptual=distance, **ON_CPU)
    assert found["measure"].tolist() == ["psnr", "ssim", "lpips"]
    originals, low = (
        next(evaluation.image_batches(data.query.with_rates(rate), data.pixels, (32, 32))) for rate in (1, 2)
    )
    restored = restore_pixels(Scaled(0.5), low, **ON_CPU)
    assert found["value"][2] == pytest.approx(np.mean(distance(originals, restored)))
    assert found["input"][2] == pytest.approx(np.mean(distance(originals, low)))


def test_no_rates_measure_nothing(data: PreparedData) -> None:
    assert restoration_quality(Scaled(1), data, (), size=SIZE, **ON_CPU).empty


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_unchanged_image_keeps_its_pixels(precision: str) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = np.concatenate([values, values[:, ::-1], values.transpose(0, 2, 1, 3)], axis=3)
    found = restore_pixels(Scaled(1), images, device=CPU, precision=precision)
    np.testing.assert_array_equal(found, images)


def test_restored_values_are_clamped_and_rounded() -> None:
    images = np.full((2, 3, 4, 3), 130, np.uint8)
    images[1] = 255
    found = restore_pixels(Scaled(3), images, **ON_CPU)
    assert found is not None
    assert found.dtype == np.uint8
    # 3 (130 - 255 m) + 255 m for the means of red, green and blue
    np.testing.assert_array_equal(found[0, 0, 0], [143, 157, 183])
    assert (found[1] == 255).all()
    assert (restore_pixels(Scaled(3), np.zeros_like(images), **ON_CPU) == 0).all()


def test_no_restoration_is_none() -> None:
    assert restore_pixels(Scaled(None), np.zeros((1, 2, 2, 3), np.uint8), **ON_CPU) is None


def test_refuses_what_is_not_finite_and_rates_below_one(data: PreparedData) -> None:
    with pytest.raises(InputError, match="not finite"):
        restore_pixels(Scaled(float("nan")), np.ones((1, 2, 2, 3), np.uint8), **ON_CPU)
    with pytest.raises(InputError, match="at least 1"):
        restoration_quality(Scaled(1), data, (0.5,), size=SIZE, **ON_CPU)
    with pytest.raises(InputError, match="at least 11"):
        restoration_quality(Scaled(1), data, (2,), size=(24, 8), **ON_CPU)
