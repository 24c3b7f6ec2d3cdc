import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crreid.data.degradation import degrade, enlarge
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairBatch
from crreid.data.pixels import PixelCache
from crreid.data.prepare import PreparedData
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.image_quality import peak_signal_to_noise_ratio, structural_similarity
from crreid.evaluation.restoration import restoration_quality, restore_pixels
from crreid.methods.method import Method, Player

SIZE = (24, 12)
CPU: dict[str, Any] = {"device": torch.device("cpu"), "precision": "fp32"}
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
def test_quality_is_that_of_single_images(data: PreparedData, batch: int) -> None:
    method = Scaled(0.5).train()
    quality = restoration_quality(method, data, (2, 2.5), size=SIZE, batch=batch, **CPU)
    assert list(quality) == ["rate 2", "rate 2.5"]
    assert json.loads(json.dumps(quality)) == quality
    assert max(method.batches) == min(batch, 9)
    for rate in (2, 2.5):
        found = quality[f"rate {rate:g}"]
        assert found["images"] == 9
        # a value on the edge between two grey levels may round either way
        assert (found["psnr"], found["ssim"]) == pytest.approx(expected(data, rate, 0.5), rel=1e-4)
        assert (found["input_psnr"], found["input_ssim"]) == pytest.approx(expected(data, rate, 1), rel=1e-12)
        assert found["psnr"] != found["input_psnr"]
    assert quality["rate 2"]["input_psnr"] != quality["rate 2.5"]["input_psnr"]
    assert set(data.query.rows["rate"]) == {2, 3, 4}  # the protocol's own rates are not used


def test_a_method_that_restores_nothing_has_the_quality_of_its_input(data: PreparedData) -> None:
    found = restoration_quality(Scaled(None), data, (3,), size=SIZE, **CPU)["rate 3"]
    assert (found["psnr"], found["ssim"]) == (found["input_psnr"], found["input_ssim"])
    assert restoration_quality(Scaled(1), data, (3,), size=SIZE, **CPU)["rate 3"] == found


def test_images_without_error_have_a_finite_mean(data: PreparedData) -> None:
    found = restoration_quality(Scaled(0.5), data, (1,), size=SIZE, **CPU)["rate 1"]
    assert (found["input_psnr"], found["input_ssim"]) == (100, 1)
    assert found["psnr"] < 100


def test_no_rates_measure_nothing(data: PreparedData) -> None:
    assert restoration_quality(Scaled(1), data, (), size=SIZE, **CPU) == {}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_unchanged_image_keeps_its_pixels(precision: str) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = np.concatenate([values, values[:, ::-1], values.transpose(0, 2, 1, 3)], axis=3)
    found = restore_pixels(Scaled(1), images, device=CPU["device"], precision=precision)
    np.testing.assert_array_equal(found, images)


def test_restored_values_are_clamped_and_rounded() -> None:
    images = np.full((2, 3, 4, 3), 130, np.uint8)
    images[1] = 255
    found = restore_pixels(Scaled(3), images, **CPU)
    assert found is not None
    assert found.dtype == np.uint8
    # 3 (130 - 255 m) + 255 m for the means of red, green and blue
    np.testing.assert_array_equal(found[0, 0, 0], [143, 157, 183])
    assert (found[1] == 255).all()
    assert (restore_pixels(Scaled(3), np.zeros_like(images), **CPU) == 0).all()


def test_no_restoration_is_none() -> None:
    assert restore_pixels(Scaled(None), np.zeros((1, 2, 2, 3), np.uint8), **CPU) is None


def test_refuses_what_is_not_finite_and_rates_below_one(data: PreparedData) -> None:
    with pytest.raises(InputError, match="not finite"):
        restore_pixels(Scaled(float("nan")), np.ones((1, 2, 2, 3), np.uint8), **CPU)
    with pytest.raises(InputError, match="at least 1"):
        restoration_quality(Scaled(1), data, (0.5,), size=SIZE, **CPU)
    with pytest.raises(InputError, match="at least 11"):
        restoration_quality(Scaled(1), data, (2,), size=(24, 8), **CPU)
