from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from crreid.data.degradation import degrade
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairBatch, normalise
from crreid.data.pixels import PixelCache
from crreid.data.prepare import PreparedData
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation import evaluate as evaluation
from crreid.evaluation.evaluate import EvaluationSettings, chance_rank1, embed_table, evaluate, query_distances
from crreid.evaluation.ranking import SCORE_COLUMNS, RetrievalLabels, multi_shot, single_shot
from crreid.methods.method import Method, Player

CPU = torch.device("cpu")
SIZE = (16, 8)
FLIPPED = EvaluationSettings()


class Coarse(Method):
    """Describes an image by the means of its left and right half and by its rate."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.batches: list[int] = []

    def players(self) -> dict[str, Player]:
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


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("batch", [4, 9, 64])
def test_descriptors_are_those_of_single_images_in_table_order(
    data: PreparedData, flip: bool, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BATCH", batch)
    method = Coarse().train()
    found = embed_table(method, data.query, data.pixels, SIZE, flip=flip, device=CPU, precision="fp32")
    assert not method.training
    assert max(method.batches) <= batch
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, one_by_one(data, data.query, flip=flip))
    assert set(data.query.rows["rate"]) == {2, 3, 4}  # else the rates would not matter


def test_bfloat16_ends_in_float32(data: PreparedData) -> None:
    found = embed_table(Coarse(), data.query, data.pixels, SIZE, flip=True, device=CPU, precision="bf16")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, one_by_one(data, data.query, flip=True), rtol=0.02, atol=0.02)


def test_scores_of_every_test_are_those_of_its_distances(data: PreparedData) -> None:
    method = Coarse()
    settings = EvaluationSettings(flip=False, draws=3, query_rates=(1, 2.5))
    scores = evaluate(method, data, settings, size=SIZE, device=CPU, precision="fp32")
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
            assert set(expected["rate"].dropna()) == {2, 3, 4}
        else:  # one set of rows: all queries are those of the rate
            expected = expected[expected["rate"].isna()].assign(rate=float(rate)).reset_index(drop=True)
            found = found[found["rate"] == rate]
            assert len(found) == 10
        pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
    assert len(scores) == 4 * 10 + 2 * 10


def test_the_same_twice(data: PreparedData) -> None:
    options: dict[str, Any] = {"size": SIZE, "device": CPU, "precision": "fp32"}
    settings = EvaluationSettings(draws=4)
    first, second = (evaluate(Coarse(), data, settings, **options) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_a_method_measures_distances_of_its_own_with_the_queries_rates(data: PreparedData) -> None:
    seen: list[list[float]] = []

    class Own(Coarse):
        def distances(self, query: Tensor, gallery: Tensor, query_rates: Tensor) -> Tensor:
            seen.append(query_rates.tolist())
            return torch.zeros(len(query), len(gallery))

    evaluate(Own(), data, EvaluationSettings(draws=2, query_rates=(8,)), size=SIZE, device=CPU)
    assert seen == [data.query.rows["rate"].tolist(), [8.0] * 9]


def test_distances_of_a_network_are_measured_without_gradients(data: PreparedData) -> None:
    class Learnt(Coarse):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def distances(self, query: Tensor, gallery: Tensor, query_rates: Tensor) -> Tensor:
            assert torch.is_inference_mode_enabled()
            return self.scale * super().distances(query, gallery, query_rates)

    options: dict[str, Any] = {"size": SIZE, "device": CPU, "precision": "fp32"}
    learnt, coarse = (evaluate(each, data, EvaluationSettings(draws=2), **options) for each in (Learnt(), Coarse()))
    pd.testing.assert_frame_equal(learnt, coarse)
    doubled = query_distances(Learnt(), data, data.query, FLIPPED, **options)
    np.testing.assert_allclose(doubled, 2 * query_distances(Coarse(), data, data.query, FLIPPED, **options), rtol=1e-6)


def test_distances_for_ranked_lists_are_rows_of_all_distances(data: PreparedData) -> None:
    few = data.query.select(data.query.rows["identity"] == 6)
    options: dict[str, Any] = {"size": SIZE, "device": CPU, "precision": "fp32"}
    everything = query_distances(Coarse(), data, data.query, FLIPPED, **options)
    some = query_distances(Coarse(), data, few, FLIPPED, **options)
    assert everything.shape == (9, 18)
    np.testing.assert_allclose(some, everything[(data.query.rows["identity"] == 6).to_numpy()], atol=1e-6)
    unflipped = query_distances(Coarse(), data, replace(few), EvaluationSettings(flip=False), **options)
    assert not np.allclose(unflipped, some, atol=1e-6)


def test_a_part_of_the_descriptor_is_tested_alone(data: PreparedData) -> None:
    class Halves(Coarse):
        def parts(self) -> dict[str, slice]:
            return {"left": slice(0, 6, 2), "colour": slice(0, 6)}

    options: dict[str, Any] = {"size": SIZE, "device": CPU, "precision": "fp32"}
    found = query_distances(Halves(), data, data.query, EvaluationSettings(part="left"), **options)
    query, gallery = (one_by_one(data, table, flip=True)[:, 0:6:2] for table in (data.query, data.gallery))
    expected = 1 - nn.functional.cosine_similarity(query[:, None], gallery[None], dim=2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    whole = query_distances(Halves(), data, data.query, FLIPPED, **options)
    assert not np.allclose(whole, found, atol=1e-4)
    scores = evaluate(Halves(), data, EvaluationSettings(draws=2, part="left"), **options)
    of_part = multi_shot(found, RetrievalLabels.from_tables(data.query, data.gallery))
    multi = scores[scores["protocol"] == "multi_shot"].drop(columns="test").reset_index(drop=True)
    pd.testing.assert_frame_equal(multi, of_part)
    with pytest.raises(InputError, match="Halves has no part 'right' of its descriptor; it has left, colour"):
        evaluate(Halves(), data, EvaluationSettings(part="right"), **options)
    with pytest.raises(InputError, match="Coarse has no part 'left' of its descriptor; it has none"):
        evaluate(Coarse(), data, EvaluationSettings(part="left"), **options)


def test_a_method_may_be_told_wrong_rates_of_the_queries_alone(data: PreparedData) -> None:
    told: list[list[float]] = []

    class Listening(Coarse):
        def embed(self, images: Tensor, rates: Tensor) -> Tensor:
            told.append(rates.tolist())
            return super().embed(images, rates)

        def distances(self, query: Tensor, gallery: Tensor, query_rates: Tensor) -> Tensor:
            told.append(query_rates.tolist())
            return super().distances(query, gallery, query_rates)

    settings = EvaluationSettings(flip=False, draws=2, rate_error=-1.5)
    query_distances(Listening(), data, data.query, settings, size=SIZE, device=CPU)
    wrong = [max(1, rate - 1.5) for rate in data.query.rows["rate"]]
    assert told == [data.gallery.rows["rate"].tolist(), wrong, wrong]


def test_native_resolution_is_told_by_size(table_maker: Callable[..., ImageTable], tmp_path: Path) -> None:
    table = mlr(table_maker(), MLRSettings())
    parts = {role: table.with_role(role) for role in ("train", "query", "gallery")}
    pixels = PixelCache(table, tmp_path)
    data = PreparedData(name=table.name, digest=table.digest, pixels=pixels, native=True, **parts)
    areas = {path: pixels.read(path).shape[0] * pixels.read(path).shape[1] for path in table.rows["path"]}
    middle = float(np.median([areas[path] for path in data.gallery.rows["path"]]))
    for rows in parts.values():
        expected = [max(1, rate * (middle / areas[path]) ** 0.5) for path, rate in rows.rows[["path", "rate"]].values]
        np.testing.assert_allclose(data.stated_rates(rows), expected, rtol=1e-6)
    made = replace(data, native=False)
    assert made.stated_rates(data.train).tolist() == data.train.rows["rate"].tolist()


def with_rows(table: ImageTable, role: str, people: list[tuple[int, int]]) -> ImageTable:
    """A table of images of these (identity, camera), which nobody reads; the role gallery has a distractor too."""
    rows = pd.DataFrame(people, columns=["identity", "camera"]).assign(role=role, rate=1.0)
    rows.loc[rows["identity"] == 0, "role"] = "distractor"
    return replace(table, rows=rows.assign(path=[f"{role}{number}.png" for number in range(len(rows))]))


def test_chance_is_that_of_a_random_order(data: PreparedData) -> None:
    generator = np.random.default_rng(0)
    ranks = []
    labels = RetrievalLabels.from_tables(data.query, data.gallery)
    for _ in range(1000):
        scores = multi_shot(generator.random((9, 18)), labels)
        ranks.append(scores["value"][0])
    assert chance_rank1(data) == pytest.approx(100 * np.mean(ranks), abs=1.0)


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
