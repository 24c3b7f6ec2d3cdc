from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from crreid.data.degradation import degrade, enlarge
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairBatch, normalise
from crreid.data.pixels import PixelCache
from crreid.data.prepare import PreparedData
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation import evaluate as evaluation
from crreid.evaluation.evaluate import EvaluationSettings, chance_rank1, embed_table, evaluate, query_distances
from crreid.evaluation.image_quality import (
    peak_signal_to_noise_ratio,
    restoration_quality,
    restore_pixels,
    structural_similarity,
)
from crreid.evaluation.ranking import SCORE_COLUMNS, RetrievalLabels, by_person, multi_shot, single_shot
from crreid.methods.method import Method, ParameterGroup

CPU = torch.device("cpu")
SIZE = (16, 8)
FLIPPED = EvaluationSettings()
OPTIONS: dict[str, Any] = {"size": SIZE, "device": CPU, "precision": "fp32"}


class Coarse(Method):
    """Describes an image by the means of its left and right half and by its rate."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.batches: list[int] = []

    def players(self) -> dict[str, list[ParameterGroup]]:
        return {}

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        return {}

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        self.batches.append(len(images))
        halves = nn.functional.adaptive_avg_pool2d(images, (1, 2)).flatten(1)
        return torch.cat([self.dropout(halves), rates[:, None]], dim=1)


@pytest.fixture
def data(table_maker: Callable[..., ImageTable], tmp_path: Path) -> PreparedData:
    """An MLR build of noise: 9 queries of camera 2, 18 gallery images."""
    table = mlr(table_maker(), MLRSettings(cameras=(2,)))
    parts = {role: table.with_role(role) for role in ("train", "query", "gallery")}
    return PreparedData(name=table.name, digest=table.digest, pixels=PixelCache(table, tmp_path), **parts)


def one_by_one(data: PreparedData, table: ImageTable, *, flip: bool) -> Tensor:
    rows = []
    for path, rate in table.rows[["path", "rate"]].itertuples(index=False):
        picture = degrade(data.pixels.read(path), rate, SIZE, table.degradation)
        total = torch.zeros(7)
        for image in (picture, picture[:, ::-1].copy())[: 1 + flip]:
            tensor = normalise(torch.from_numpy(image.copy())[None])
            total += Coarse().eval().embed(tensor, torch.tensor([rate], dtype=torch.float32))[0]
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize(("flip", "precision", "tolerance"), [(0, "fp32", 1e-5), (1, "fp32", 1e-5), (1, "bf16", 0.02)])
@pytest.mark.parametrize("batch", [4, 9, 64])
def test_descriptors_are_those_of_single_images_in_table_order(
    data: PreparedData, flip: bool, precision: str, tolerance: float, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BATCH", batch)
    method = Coarse().train()
    found = embed_table(method, data.query, data.pixels, SIZE, flip=flip, device=CPU, precision=precision)
    assert not method.training
    assert max(method.batches) <= batch
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, one_by_one(data, data.query, flip=flip), rtol=tolerance, atol=tolerance)
    assert set(data.query.rows["rate"]) == {2, 3, 4}  # else the rates would not matter


def test_scores_of_every_test_are_those_of_its_distances(data: PreparedData) -> None:
    method = Coarse()
    settings = EvaluationSettings(flip=False, draws=3, query_rates=(1, 2.5))
    scores, persons = evaluate(method, data, settings, **OPTIONS)
    assert method.batches == [18, 9, 9, 9]  # the gallery once
    assert list(scores) == ["test", *SCORE_COLUMNS]
    assert scores.index.tolist() == list(range(len(scores)))
    gallery = one_by_one(data, data.gallery, flip=False)
    for test, rate, query in [
        ("drawn", None, data.query),
        ("uniform", 1, data.query.with_rates(1)),
        ("uniform", 2.5, data.query.with_rates(2.5)),
    ]:
        distances = method.distances(one_by_one(data, query, flip=False), gallery, torch.ones(9)).numpy()
        labels = RetrievalLabels.from_tables(query, data.gallery)
        drawn = single_shot(distances, labels, draws=3, generator=np.random.default_rng(0))
        expected = pd.concat([multi_shot(distances, labels), drawn], ignore_index=True)
        found = scores[scores["test"] == test].drop(columns="test")
        if rate is None:
            pd.testing.assert_frame_equal(persons, by_person(distances, labels))
            assert set(expected["rate"].dropna()) == {2, 3, 4}
        else:  # one set of rows: all queries are those of the rate
            expected = expected[expected["rate"].isna()].assign(rate=float(rate)).reset_index(drop=True)
            found = found[found["rate"] == rate]
            assert len(found) == 10
        pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
    assert len(scores) == 4 * 10 + 2 * 10
    pd.testing.assert_frame_equal(scores, evaluate(Coarse(), data, settings, **OPTIONS)[0])  # the same twice


def test_distances_of_a_network_are_measured_without_gradients(data: PreparedData) -> None:
    class Learnt(Coarse):
        def distances(self, query: Tensor, gallery: Tensor, query_rates: Tensor) -> Tensor:
            assert torch.is_inference_mode_enabled()
            return nn.Parameter(torch.tensor(2.0)) * super().distances(query, gallery, query_rates)

    learnt, coarse = (evaluate(each, data, EvaluationSettings(draws=2), **OPTIONS)[0] for each in (Learnt(), Coarse()))
    pd.testing.assert_frame_equal(learnt, coarse)
    doubled = query_distances(Learnt(), data, data.query, FLIPPED, **OPTIONS)
    np.testing.assert_allclose(doubled, 2 * query_distances(Coarse(), data, data.query, FLIPPED, **OPTIONS), rtol=1e-6)


def test_distances_for_ranked_lists_are_rows_of_all_distances(data: PreparedData) -> None:
    few = data.query.select(data.query.rows["identity"] == 6)
    everything = query_distances(Coarse(), data, data.query, FLIPPED, **OPTIONS)
    some = query_distances(Coarse(), data, few, FLIPPED, **OPTIONS)
    assert everything.shape == (9, 18)
    np.testing.assert_allclose(some, everything[(data.query.rows["identity"] == 6).to_numpy()], atol=1e-6)


def test_a_part_of_the_descriptor_is_tested_alone(data: PreparedData) -> None:
    class Halves(Coarse):
        def parts(self) -> dict[str, slice]:
            return {"left": slice(0, 6, 2), "colour": slice(0, 6)}

    found = query_distances(Halves(), data, data.query, EvaluationSettings(part="left"), **OPTIONS)
    query, gallery = (one_by_one(data, table, flip=True)[:, 0:6:2] for table in (data.query, data.gallery))
    expected = 1 - nn.functional.cosine_similarity(query[:, None], gallery[None], dim=2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    whole = query_distances(Halves(), data, data.query, FLIPPED, **OPTIONS)
    assert not np.allclose(whole, found, atol=1e-4)
    scores, _ = evaluate(Halves(), data, EvaluationSettings(draws=2, part="left"), **OPTIONS)
    of_part = multi_shot(found, RetrievalLabels.from_tables(data.query, data.gallery))
    multi = scores[scores["protocol"] == "multi_shot"].drop(columns="test").reset_index(drop=True)
    pd.testing.assert_frame_equal(multi, of_part)
    with pytest.raises(InputError, match="Halves has no part 'right' of its descriptor; it has left, colour"):
        evaluate(Halves(), data, EvaluationSettings(part="right"), **OPTIONS)
    with pytest.raises(InputError, match="Coarse has no part 'left' of its descriptor; it has none"):
        evaluate(Coarse(), data, EvaluationSettings(part="left"), **OPTIONS)


@pytest.mark.parametrize("error", [0, -1.5])
def test_embedding_and_distance_are_told_the_rates_of_the_queries_perhaps_wrong_ones(
    data: PreparedData, error: float
) -> None:
    told: list[list[float]] = []

    class Listening(Coarse):
        def embed(self, images: Tensor, rates: Tensor) -> Tensor:
            told.append(rates.tolist())
            return super().embed(images, rates)

        def distances(self, query: Tensor, gallery: Tensor, query_rates: Tensor) -> Tensor:
            told.append(query_rates.tolist())
            return torch.zeros(len(query), len(gallery))  # a distance of the method's own

    settings = EvaluationSettings(flip=False, draws=2, query_rates=(8,), rate_error=error)
    evaluate(Listening(), data, settings, **OPTIONS)
    drawn, uniform = [max(1, rate + error) for rate in data.query.rows["rate"]], [8 + error] * 9
    assert told == [data.gallery.rows["rate"].tolist(), drawn, drawn, uniform, uniform]


def with_rows(table: ImageTable, role: str, people: list[tuple[int, int]]) -> ImageTable:
    """A table of images of these (identity, camera), which nobody reads; the role gallery has a distractor too."""
    rows = pd.DataFrame(people, columns=["identity", "camera"]).assign(role=role, rate=1.0)
    rows.loc[rows["identity"] == 0, "role"] = "distractor"
    return replace(table, rows=rows.assign(path=[f"{role}{number}.png" for number in range(len(rows))]))


def test_chance_is_that_of_a_random_order(data: PreparedData) -> None:
    generator = np.random.default_rng(0)
    labels = RetrievalLabels.from_tables(data.query, data.gallery)
    ranks = [multi_shot(generator.random((9, 18)), labels)["value"][0] for _ in range(300)]
    assert chance_rank1(data) == pytest.approx(100 * np.mean(ranks), abs=2.5)


def test_chance_leaves_out_the_own_camera_and_queries_without_a_correct_match(data: PreparedData) -> None:
    gallery = with_rows(data.gallery, "gallery", [(1, 1), (1, 2), (2, 2), (2, 3), (0, 1)])
    for people, expected in [
        ([(1, 3)], 2 / 5),
        ([(1, 1)], 1 / 4),
        ([(1, 3), (1, 1)], (2 / 5 + 1 / 4) / 2),
        ([(1, 3), (9, 1)], 2 / 5),  # as scores leave it out
    ]:
        asked = replace(data, query=with_rows(data.query, "query", people), gallery=gallery)
        assert chance_rank1(asked) == pytest.approx(100 * expected)


# --- restoration ---------------------------------------------------------------------------------------------------

LARGE = (24, 12)  # above the window of SSIM
ON_CPU: dict[str, Any] = {"device": CPU, "precision": "fp32"}
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet


class Scaled(Coarse):
    """Restores an image by a factor on its normalised values; None restores nothing."""

    def __init__(self, factor: float | None) -> None:
        super().__init__()
        self.factor = factor

    def restore(self, images: Tensor) -> Tensor | None:
        assert torch.is_inference_mode_enabled()
        assert not self.training
        self.batches.append(len(images))
        return None if self.factor is None else self.factor * images


def first_queries(data: PreparedData) -> ImageTable:
    """One of each of the three persons."""
    return data.query.select(~data.query.rows.duplicated("identity"))


def expected(data: PreparedData, rate: float, factor: float) -> list[float]:
    """Mean PSNR, SSIM and L1 of queries restored in numpy, one by one."""
    found = []
    for path in first_queries(data).rows["path"]:
        file = data.pixels.read(path)
        original = enlarge(file, LARGE, data.query.degradation)
        low = degrade(file, rate, LARGE, data.query.degradation)
        restored = np.clip(factor * (low / 255 - MEAN) + MEAN, 0, 1)
        image = (restored * 255).round().astype(np.uint8)
        error = np.abs((original / 255 - MEAN) / STD - (image / 255 - MEAN) / STD).mean()
        found.append((peak_signal_to_noise_ratio(original, image), structural_similarity(original, image), error))
    return np.mean(found, axis=0).tolist()


@pytest.mark.parametrize("batch", [2, 64])
def test_quality_is_that_of_single_images(data: PreparedData, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BATCH", batch)
    method = Scaled(0.5).train()
    quality = restoration_quality(method, data, (2, 2.5), size=LARGE, **ON_CPU)
    assert list(quality) == ["rate", "measure", "value", "input", "images"]
    assert quality["rate"].tolist() == [2] * 3 + [2.5] * 3
    assert quality["measure"].tolist() == ["psnr", "ssim", "l1"] * 2
    assert set(quality["images"]) == {3}
    assert max(method.batches) == min(batch, 3)
    for rate in (2, 2.5):
        found = quality[quality["rate"] == rate]
        # a value on the edge between two grey levels may round either way
        assert found["value"].tolist() == pytest.approx(expected(data, rate, 0.5), rel=1e-4)
        assert found["input"].tolist() == pytest.approx(expected(data, rate, 1), rel=1e-12)
        assert (found["value"] != found["input"]).all()
    assert quality["input"].nunique() == 6
    assert set(data.query.rows["rate"]) == {2, 3, 4}  # the protocol's own rates are not used


def test_a_method_that_restores_nothing_has_the_quality_of_its_input(data: PreparedData) -> None:
    found = restoration_quality(Scaled(None), data, (1, 3), size=LARGE, **ON_CPU)
    assert found["value"].equals(found["input"])
    assert found["input"][:3].tolist() == [100, 1, 0]  # images without error have a finite mean
    assert restoration_quality(Scaled(1), data, (1, 3), size=LARGE, **ON_CPU).equals(found)
    assert restoration_quality(Scaled(1), data, (), size=LARGE, **ON_CPU).empty


def test_lpips_is_a_fourth_measure(data: PreparedData) -> None:
    def distance(originals: np.ndarray, images: np.ndarray) -> list[float]:
        return [float(np.abs(1.0 * one - other).mean()) for one, other in zip(originals, images, strict=True)]

    found = restoration_quality(Scaled(0.5), data, (2,), size=LARGE, perceptual=distance, **ON_CPU)
    assert found["measure"].tolist() == ["psnr", "ssim", "l1", "lpips"]
    originals, low = (
        next(evaluation.image_batches(first_queries(data).with_rates(rate), data.pixels, LARGE)) for rate in (1, 2)
    )
    restored = restore_pixels(Scaled(0.5), low, **ON_CPU)
    assert found["value"][3] == pytest.approx(np.mean(distance(originals, restored)))
    assert found["input"][3] == pytest.approx(np.mean(distance(originals, low)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_unchanged_image_keeps_its_pixels(precision: str) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = np.concatenate([values, values[:, ::-1], values.transpose(0, 2, 1, 3)], axis=3)
    np.testing.assert_array_equal(restore_pixels(Scaled(1), images, device=CPU, precision=precision), images)
    assert restore_pixels(Scaled(None), images, **ON_CPU) is None


def test_restored_values_are_clamped_and_rounded() -> None:
    images = np.full((2, 3, 4, 3), 130, np.uint8)
    images[1] = 255
    found = restore_pixels(Scaled(3), images, **ON_CPU)
    # 3 (130 - 255 m) + 255 m for the means of red, green and blue
    np.testing.assert_array_equal(found[0, 0, 0], [143, 157, 183])
    assert (found[1] == 255).all()
    assert (restore_pixels(Scaled(3), np.zeros_like(images), **ON_CPU) == 0).all()


def test_refuses_what_is_not_finite_and_rates_below_one(data: PreparedData) -> None:
    with pytest.raises(InputError, match="not finite"):
        restore_pixels(Scaled(float("nan")), np.ones((1, 2, 2, 3), np.uint8), **ON_CPU)
    with pytest.raises(InputError, match="at least 1"):
        restoration_quality(Scaled(1), data, (0.5,), size=LARGE, **ON_CPU)
    with pytest.raises(InputError, match="at least 11"):
        restoration_quality(Scaled(1), data, (2,), size=(24, 8), **ON_CPU)
