"""CAD-Net's tables, from records and descriptors by hand."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Namespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pairs import PairBatch
from crreid.data.pixels import PixelCache
from crreid.data.prepare import DataSettings, PreparedData
from crreid.data.table import ImageTable
from crreid.methods.cad_net import CADNetSettings
from crreid.methods.method import Method, Player
from crreid.provenance import TrainingLog
from crreid.records import Record
from crreid.runs import Run, TrainedRun
from crreid.study.cad_net import (
    feature_points,
    parts_table,
    poster_quality,
    poster_table,
    probe_captions,
    probe_table,
    published_restoration,
    recovered_images_of,
    resolution_probes,
)
from crreid.study.descriptors import DescribedImages
from crreid.study.published import published_numbers
from crreid.study.restoration import INPUT
from crreid.study.tables import tidy_scores
from crreid.training.schedule import Schedule

RATES = (2, 3, 4, 8)
SIZE = (32, 16)


def record(row: str, rank1: float, *, seed: int = 0, psnr: float | None = None, given: float = 20.0) -> Record:
    """Rank-1 in per cent less the rate; PSNR less the rate, SSIM a hundredth of it."""

    def scores(percent: float) -> dict:
        ranks = {"1": percent / 100, "5": (percent + 10) / 100, "10": 1.0}
        overall = {"ranks": ranks, "map_hit": 0.1, "map_trapezoid": 0.1, "queries": 100, "unmatched": 0}
        return {"multi_shot": {"overall": overall, "per_rate": {}}}

    tests = {"protocol": scores(rank1)} | {f"rate {rate}": scores(rank1 - rate) for rate in RATES}
    measured: dict = {"scores": tests}
    if psnr is not None:
        measured["restoration"] = {
            f"rate {rate}": {"psnr": psnr - rate, "ssim": (psnr - rate) / 100, "images": 100}
            | {"input_psnr": given - rate, "input_ssim": (given - rate) / 100}
            for rate in RATES
        }
    return Record(digest=f"{row}{seed}", title=row, run={"seed": seed}, measured=measured, provenance={})


@pytest.fixture
def records() -> dict[str, list[Record]]:
    return {
        "CAD-Net": [record("CAD-Net", 50, psnr=30), record("CAD-Net", 52, seed=1, psnr=32)],
        "CAD-Net without D_F": [record("-D_F", 40, psnr=28), record("-D_F", 40, seed=1, psnr=28)],
        "CAD-Net, f alone": [record("f", 45), record("f", 45, seed=1)],
        "CAD-Net, g alone": [record("g", 48), record("g", 48, seed=1)],
        "PS-HRNet": [record("PS", 60, psnr=33), record("PS", 60, seed=1, psnr=33)],
        "Bicubic": [record("B", 30, psnr=22, given=99), record("B", 30, seed=1, psnr=22, given=99)],
    }


def test_quality_leaves_out_what_was_not_measured_and_takes_the_input_of_no_other_filter(
    records: dict[str, list[Record]],
) -> None:
    quality = poster_quality(records)
    assert quality["row"].unique().tolist() == [INPUT, "Bicubic", "CAD-Net", "CAD-Net without D_F", "PS-HRNet"]
    given = quality[quality["row"] == INPUT].set_index(["seed", "rate"])["psnr"]
    assert given[0, 2.0] == 18
    assert given[1, 8.0] == 12


def test_poster_table(records: dict[str, list[Record]]) -> None:
    table = poster_table(poster_quality(records), records).set_index("row")
    whole = table.loc["CAD-Net"]
    # means over the rates 2, 3, 4 of each seed, then over the seeds
    assert whole["PSNR (dB) at rates 2, 3, 4"] == "28.0 ± 1.4"
    assert whole["SSIM at rates 2, 3, 4"] == "0.280 ± 0.014"
    assert whole["rank-1 at rates 2, 3, 4"] == "48.0 ± 1.4"
    assert whole["PSNR (dB) at rate 8"] == "23.0 ± 1.4"
    assert whole["rank-1 at rate 8"] == "43.0 ± 1.4"
    assert table.loc[INPUT, "rank-1 at rate 8"] == "-"
    assert table.loc[INPUT, "PSNR (dB) at rates 2, 3, 4"] == "17.0 ± 0.0"


def test_published_numbers_stand_in_columns_of_their_own_and_name_their_data_set(
    records: dict[str, list[Record]],
) -> None:
    table = poster_table(poster_quality(records), records).set_index("row")
    seen, unseen = (name for name in table.columns if name.startswith("published"))
    assert "MLR-CUHK03" in seen
    assert "MLR-CUHK03" in unseen
    assert table[seen].to_dict() == {
        INPUT: "-",
        "Bicubic": "-",
        "CAD-Net": "0.73 / 20.2 / 0.07 / 82.1",
        "CAD-Net without D_F": "0.54 / 14.2 / 0.34 / 67.6",
        "PS-HRNet": "-",
    }
    assert table[unseen].tolist() == ["-", "-", "0.71 / 19.8 / 0.11 / 78.6", "-", "-"]
    assert not any("LPIPS" in name for name in table.columns if not name.startswith("published"))


def test_published_restoration_is_the_papers() -> None:
    names = ("2 (r in {2,3,4})", "2 (r = 8, unseen)", "3 (ablation)")
    numbers = [published_numbers(source="cad-net-2019", table=name) for name in names]
    table = published_restoration(*numbers).set_index("row")
    assert table.columns.tolist() == list(names)
    assert len(table) == 8
    assert table.loc["CSR-GAN"].tolist() == ["0.76 / 21.5 / 0.13 / 71.3", "0.67 / 17.2 / 0.25 / 62.1", "-"]
    assert table.loc["without classification"].tolist() == ["-", "-", "0.72 / 21.4 / 0.11 / 1.7"]


def test_parts_beside_the_poster(records: dict[str, list[Record]]) -> None:
    table = parts_table(tidy_scores(records)).set_index("row")
    assert table.index.tolist() == ["CAD-Net, f alone", "CAD-Net, g alone", "CAD-Net"]
    assert table["rank-1"].tolist() == ["45.0 ± 0.0", "48.0 ± 0.0", "51.0 ± 1.4"]
    assert table["rank-5"].tolist() == ["55.0 ± 0.0", "58.0 ± 0.0", "61.0 ± 1.4"]
    published = [name for name in table.columns if name.startswith("published")]
    assert len(published) == 5
    assert table["published, CAVIAR: rank-1 / rank-5"].tolist() == ["41.5 / 75.3", "38.9 / 73.1", "42.8 / 76.2"]


# --- descriptors ---------------------------------------------------------------------------------------------------


def described(leak: float, *, people: int = 12) -> DescribedImages:
    """f tells the rate as loudly as `leak`, g tells nothing."""
    rates = np.tile([1.0, 2.0, 3.0, 4.0], people)
    features = np.random.default_rng(0).normal(size=(len(rates), 8)).astype(np.float32)
    features[:, 0] += leak * rates
    parts = {"f": slice(0, 4), "g": slice(4, 8)}
    return DescribedImages(features=features, parts=parts, identities=np.repeat(np.arange(people), 4), rates=rates)


@pytest.fixture
def result(table: ImageTable, tmp_path: Path) -> TrainedRun:
    built = mlr(table, MLRSettings(cameras=(2,)))
    parts = {role: built.with_role(role) for role in ("train", "query", "gallery")}
    data = PreparedData(name="noise", digest="", pixels=PixelCache(built, tmp_path), **parts)
    log = TrainingLog(provenance={}, epochs=[])
    return TrainedRun(run=RUN, method=Brighter(), data=data, device=torch.device("cpu"), log=log)


class Brighter(Method):
    """Adds a constant to what it is given."""

    def players(self) -> dict[str, Player]:
        return {}

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        raise AssertionError("nothing is trained")

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        raise AssertionError("nothing is searched")

    def restore(self, images: Tensor) -> Tensor:
        return images + 0.3


RUN = Run(data=DataSettings(), method=CADNetSettings(), size=SIZE, schedule=Schedule(precision="fp32"))


@pytest.fixture(scope="module")
def probes() -> pd.DataFrame:
    result, other = (Namespace(run=replace(RUN, seed=seed)) for seed in (0, 1))
    return resolution_probes(
        {
            "CAD-Net without D_F": [(result, described(100)), (other, described(100))],
            "CAD-Net": [(result, described(0)), (other, described(0))],
        }
    )


def test_probes_have_a_line_a_row_seed_part_question_and_fold(probes: pd.DataFrame) -> None:
    assert probes.columns.tolist() == [
        *("row", "seed", "record", "part", "question", "fold", "accuracy", "chance", "descriptors"),
    ]
    assert len(probes) == 2 * 2 * 2 * 2 * 5
    assert not probes.duplicated(["row", "seed", "part", "question", "fold"]).any()
    assert set(probes.loc[probes["seed"] == 0, "record"]) == {RUN.digest}
    assert probes.groupby("question")["chance"].unique().map(list).to_dict() == {
        "high or low": [50],
        "which rate": [25],
    }
    means = probes.groupby(["row", "part", "question"])["accuracy"].mean()
    assert means["CAD-Net without D_F", "f", "high or low"] > 95
    assert means["CAD-Net", "f", "high or low"] < 75
    assert means["CAD-Net without D_F", "g", "which rate"] < 45


def test_a_descriptor_without_parts_is_probed_as_a_whole() -> None:
    probes = resolution_probes({"RAIN": [(Namespace(run=RUN), replace(described(100), parts={}))]})
    assert set(probes["part"]) == {""}
    assert probe_table(probes)["part"].tolist() == ["whole"]


def test_probe_table_names_chance(probes: pd.DataFrame) -> None:
    table = probe_table(probes)
    assert table.columns.tolist() == [
        *("row", "part", "probe, high or low (chance 50)", "probe, which rate (chance 25)", "descriptors"),
    ]
    assert table["row"].tolist() == ["CAD-Net without D_F"] * 2 + ["CAD-Net"] * 2
    assert table["part"].tolist() == ["f", "g", "f", "g"]
    assert set(table["descriptors"]) == {"48"}
    chosen = probes[(probes["row"] == "CAD-Net") & (probes["part"] == "g") & (probes["question"] == "which rate")]
    mean, deviation = chosen["accuracy"].mean(), chosen["accuracy"].std()
    assert table["probe, which rate (chance 25)"].iloc[-1] == f"{mean:.1f} ± {deviation:.1f}"


def test_captions_say_what_the_table_says(probes: pd.DataFrame) -> None:
    captions = probe_captions(probes)
    assert list(captions) == ["CAD-Net without D_F", "CAD-Net"]
    chosen = probes[(probes["row"] == "CAD-Net") & (probes["part"] == "f") & (probes["question"] == "high or low")]
    mean = chosen["accuracy"].mean()
    assert captions["CAD-Net"] == f"a probe tells high from low: {mean:.0f} % (chance 50)"


def test_points_of_the_first_persons() -> None:
    points = feature_points(described(1), persons=3)
    assert points.places.shape == (12, 2)
    assert sorted(set(points.identities)) == [0, 1, 2]
    assert list(points.rates) == [1, 2, 3, 4] * 3
    assert np.array_equal(points.places, feature_points(described(1), persons=3).places)
    assert not np.allclose(points.places, feature_points(described(1), part="g", persons=3).places)


def test_recovered_images_have_the_input_and_what_became_of_it(result: TrainedRun) -> None:
    shown = recovered_images_of(result, [0, 2], (1, 4))
    assert list(shown) == ["query 0", "query 2"]
    for row in shown.values():
        assert [image.rate for image in row] == [1, 4]
        sharp, blurred = row
        assert sharp.captions[0] == "original"
        assert sharp.given.shape == sharp.recovered.shape == (*SIZE, 3)
        for image in row:
            step = image.recovered.astype(int) - image.given
            assert step.min() >= 0
            assert step.max() > 10
        error = np.mean((sharp.given.astype(float) - blurred.recovered) ** 2)
        assert blurred.captions[1].startswith(f"{10 * np.log10(255**2 / error):.1f} dB, ")
