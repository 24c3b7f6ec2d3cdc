"""Tables of image quality, from records by hand and from images that a small method restores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crreid.data.degradation import enlarge, shrink
from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairBatch
from crreid.data.pixels import PixelCache
from crreid.data.prepare import DataSettings, PreparedData
from crreid.data.table import ImageTable
from crreid.methods.method import Method, Player
from crreid.methods.ps_hrnet import PSHRNetSettings
from crreid.provenance import TrainingLog
from crreid.records import Record
from crreid.runs import Run, TrainedRun
from crreid.study.restoration import (
    INPUT,
    grid_quality,
    image_quality,
    lower_is_better,
    restoration_table,
    restored_rows,
    tidy_restoration,
)
from crreid.training.schedule import Schedule

SIZE = (64, 32)


def record(row: str, seed: int, psnr: tuple[float, float], rank1: float, given: float = 25.0) -> Record:
    """PSNR at the rates 2 and 8; SSIM is a hundredth of it."""
    restoration = {
        f"rate {rate}": {
            "psnr": value,
            "ssim": value / 100,
            "input_psnr": given - rate,
            "input_ssim": (given - rate) / 100,
            "images": 7,
        }
        for rate, value in zip((2, 8), psnr, strict=True)
    }
    scores = {f"rate {rate}": {"multi_shot": {"overall": {"ranks": {"1": rank1 / 100 / rate}}}} for rate in (2, 8)}
    measured = {"scores": scores, "restoration": restoration}
    return Record(digest=f"{row}{seed}", title=row, run={"seed": seed}, measured=measured, provenance={})


@pytest.fixture
def records() -> dict[str, list[Record]]:
    return {
        "Bicubic": [record("Bicubic", 0, (27, 21), 20, given=99), record("Bicubic", 1, (27, 21), 20, given=99)],
        "SR+ID": [record("SR+ID", 0, (30, 24), 40), record("SR+ID", 1, (32, 24), 44)],
    }


def test_quality_has_a_line_a_row_seed_and_rate_after_those_of_the_input(records: dict[str, list[Record]]) -> None:
    quality = image_quality(records)
    assert quality.columns.tolist() == ["row", "seed", "record", "rate", "psnr", "ssim", "images"]
    assert quality["row"].unique().tolist() == [INPUT, "Bicubic", "SR+ID"]
    psnr = quality.set_index(["row", "seed", "rate"])["psnr"]
    assert len(psnr) == 3 * 2 * 2
    assert psnr["SR+ID", 1, 2.0] == 32
    assert psnr["Bicubic", 0, 8.0] == 21
    # of the last row, since the first sees other inputs
    assert psnr[INPUT, 0, 2.0] == 23
    assert psnr[INPUT, 1, 8.0] == 17
    assert quality["ssim"].tolist() == pytest.approx((quality["psnr"] / 100).tolist())


def test_lpips_has_columns_where_it_was_measured(records: dict[str, list[Record]]) -> None:
    without = restoration_table(image_quality(records), records)
    assert lower_is_better(without) == []
    for of_row in records.values():
        for each in of_row:
            for found in each.measured["restoration"].values():
                found |= {"lpips": 1 / found["psnr"], "input_lpips": 1 / found["input_psnr"]}
    quality = image_quality(records)
    assert quality["lpips"].tolist() == pytest.approx((1 / quality["psnr"]).tolist())
    table = restoration_table(quality, records)
    assert lower_is_better(table) == ["LPIPS at rate 2", "LPIPS at rate 8"]
    assert table.drop(columns=lower_is_better(table)).equals(without)
    assert table.set_index("row").loc["Bicubic", "LPIPS at rate 8"] == "0.048 ± 0.000"
    assert tidy_restoration(quality)["metric"].unique().tolist() == ["psnr", "ssim", "lpips"]


def test_tidy_quality_has_the_columns_of_scores(records: dict[str, list[Record]]) -> None:
    tidy = tidy_restoration(image_quality(records))
    expected = ["row", "seed", "record", "test", "protocol", "rate", "metric", "value", "queries", "unmatched"]
    assert tidy.columns.tolist() == expected
    assert len(tidy) == 12 * 2
    values = tidy.set_index(["row", "seed", "test", "metric"])["value"]
    assert values["SR+ID", 1, "rate 2", "psnr"] == 32
    assert values["SR+ID", 0, "rate 8", "ssim"] == 0.24
    assert set(tidy["queries"]) == {7}
    assert set(tidy["protocol"]) == {"images"}


def test_table_shows_means_with_deviations_and_no_rank1_of_the_input(records: dict[str, list[Record]]) -> None:
    table = restoration_table(image_quality(records), records).set_index("row")
    assert table.columns.tolist() == [
        f"{title} at rate {rate}" for title in ("SSIM", "PSNR (dB)", "rank-1") for rate in (2, 8)
    ]
    assert table.index.tolist() == [INPUT, "Bicubic", "SR+ID"]
    assert table.loc["SR+ID", "PSNR (dB) at rate 2"] == "31.0 ± 1.4"
    assert table.loc["SR+ID", "SSIM at rate 2"] == "0.310 ± 0.014"
    assert table.loc["SR+ID", "rank-1 at rate 2"] == "21.0 ± 1.4"
    assert table.loc["SR+ID", "rank-1 at rate 8"] == "5.2 ± 0.4"
    assert table.loc[INPUT, "PSNR (dB) at rate 8"] == "17.0 ± 0.0"
    assert table.loc[INPUT, "rank-1 at rate 2"] == "-"


# --- images --------------------------------------------------------------------------------------------------------


class Brighter(Method):
    """Adds a constant to what it is given; None restores nothing."""

    def __init__(self, step: float | None) -> None:
        super().__init__()
        self.step = step

    def players(self) -> dict[str, Player]:
        return {}

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        raise AssertionError("nothing is trained")

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        raise AssertionError("nothing is searched")

    def restore(self, images: Tensor) -> Tensor | None:
        return None if self.step is None else images + self.step


def prepared(table: ImageTable, folder: Path, enlarged: str) -> PreparedData:
    settings = MLRSettings(cameras=(2,))
    built = mlr(table, replace(settings, degradation=replace(settings.degradation, enlarge=enlarged)))
    parts = {role: built.with_role(role) for role in ("train", "query", "gallery")}
    return PreparedData(name="noise", digest="", pixels=PixelCache(built, folder), **parts)


def trained(data: PreparedData, step: float | None) -> TrainedRun:
    run = Run(data=DataSettings(), method=PSHRNetSettings(), size=SIZE, schedule=Schedule(precision="fp32"))
    log = TrainingLog(provenance={}, epochs=[])
    return TrainedRun(run=run, method=Brighter(step), data=data, device=torch.device("cpu"), log=log)


@pytest.fixture
def results(table: ImageTable, tmp_path: Path) -> dict[str, TrainedRun]:
    sharp = prepared(table, tmp_path, "bilinear")
    return {
        "Bicubic": trained(prepared(table, tmp_path, "bicubic"), 0.0),
        "SR+ID": trained(sharp, 0.3),
        "SR+ID+PS": trained(sharp, 0.0),
    }


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


def test_rows_are_queries_at_every_rate(results: dict[str, TrainedRun]) -> None:
    rows = restored_rows(results, [0, 4], (2, 4))
    assert [(row.person, row.rate) for row in rows] == [
        ("query 0", 2),
        ("query 0", 4),
        ("query 4", 2),
        ("query 4", 4),
    ]
    data = results["SR+ID"].data
    for row, query in zip(rows, (0, 0, 4, 4), strict=True):
        image = data.pixels.read(data.query.rows["path"][query])
        small = shrink(image, row.rate, data.query.degradation)
        assert np.array_equal(row.low, small)
        assert row.low.shape == (32 // row.rate, 16 // row.rate, 3)
        assert list(row.images) == list(results)
        for name, result in results.items():
            given = enlarge(small, SIZE, result.data.query.degradation)
            if name != "SR+ID":
                assert np.array_equal(row.images[name], given)
            else:
                assert (row.images[name].astype(int) - given).min() >= 0
                assert (row.images[name].astype(int) - given).max() > 10


def test_the_original_is_that_of_the_last_method(results: dict[str, TrainedRun]) -> None:
    (row,) = restored_rows(results, [1], (3,))
    data = results["SR+ID+PS"].data
    image = data.pixels.read(data.query.rows["path"][1])
    assert np.array_equal(row.original, enlarge(image, SIZE, data.query.degradation))
    assert not np.array_equal(row.original, enlarge(image, SIZE, results["Bicubic"].data.query.degradation))


def test_captions_and_quality_are_those_of_the_images_shown(results: dict[str, TrainedRun]) -> None:
    rows = restored_rows(results, [0, 1], (2, 8))
    quality = grid_quality(rows)
    assert quality.columns.tolist() == ["query", "rate", "row", "psnr", "ssim"]
    assert len(quality) == 4 * 3
    found = quality.set_index(["query", "rate", "row"])
    for row in rows:
        for name, image in row.images.items():
            measured = found.loc[(row.person, row.rate, name)]
            assert measured["psnr"] == pytest.approx(psnr(image, row.original))
            assert row.captions[name] == f"{measured['psnr']:.1f} dB, {measured['ssim']:.2f}"
    assert found.loc[("query 0", 2, "SR+ID+PS"), "psnr"] > found.loc[("query 0", 2, "SR+ID"), "psnr"]


def test_a_method_that_restores_nothing_has_no_image(results: dict[str, TrainedRun]) -> None:
    nothing = trained(results["SR+ID"].data, None)
    (row,) = restored_rows({"ID": nothing, "SR+ID": results["SR+ID"]}, [0], (2,))
    assert list(row.images) == list(row.captions) == ["SR+ID"]
