"""Costs of restoration modules, counted by hand."""

import math

import pandas as pd
import pytest
import torch

from crreid.models.interpolation import InterpolationSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.models.vdsr import VDSRSettings
from crreid.records import Record
from crreid.study.costs import costs_beside_rank1, module_costs, published_size_costs, shown_costs

PIXELS = 256 * 128
SRCNN_WEIGHTS = 9 * 9 * 3 * 64 + 5 * 5 * 64 * 32 + 5 * 5 * 32 * 3
VDSR_WEIGHTS = 3 * 3 * (3 * 64 + 18 * 64 * 64 + 64 * 3)
ATTENTION_WEIGHTS = 18 * (64 * 4 + 4 * 64)  # 1x1 convolutions of one pixel each


def record(rank1: float, seed: int = 0) -> Record:
    scores = {"protocol": {"multi_shot": {"overall": {"ranks": {"1": rank1 / 100}}}}}
    return Record(digest="", title="", run={"seed": seed}, measured={"scores": scores}, provenance={})


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return published_size_costs().set_index("module")


def test_published_sizes_are_those_of_the_paper(published: pd.DataFrame) -> None:
    assert published.index.tolist() == ["SRCNN", "VDSR", "RCAN (full size)", "RCAN (packed by 4)", "VDSR-CA"]
    assert published["parameters"]["SRCNN"] == SRCNN_WEIGHTS + 64 + 32 + 3
    assert published["parameters"]["VDSR"] == VDSR_WEIGHTS
    assert published["parameters"]["VDSR-CA"] == VDSR_WEIGHTS + ATTENTION_WEIGHTS + 18 * (4 + 64)


def test_multiply_adds_are_weights_times_pixels(published: pd.DataFrame) -> None:
    assert published["multiply_adds"]["SRCNN"] == PIXELS * SRCNN_WEIGHTS
    assert published["multiply_adds"]["VDSR"] == PIXELS * VDSR_WEIGHTS
    assert published["multiply_adds"]["VDSR-CA"] == PIXELS * VDSR_WEIGHTS + ATTENTION_WEIGHTS


def test_vdsr_ca_is_lighter_than_rcan_at_full_size_and_not_by_much_when_packed(published: pd.DataFrame) -> None:
    ratio = published["multiply_adds"] / published["multiply_adds"]["VDSR-CA"]
    assert 20 < ratio["RCAN (full size)"] < 25
    assert 1.2 < ratio["RCAN (packed by 4)"] < 1.6


def test_costs_scale_with_the_image() -> None:
    small, large = (published_size_costs(size).set_index("module")["multiply_adds"] for size in ((64, 32), (128, 64)))
    assert large["VDSR"] == 4 * small["VDSR"] == 64 * 32 * VDSR_WEIGHTS * 4


def test_module_costs_has_a_line_a_module() -> None:
    modules = {
        "Bicubic+ResNet-50": InterpolationSettings(),
        "SRCNN+ResNet-50": SRCNNSettings(widths=(2, 1)),
        "VDSR+ResNet-50": VDSRSettings(depth=3, width=2, attention_channels=None),
    }
    costs = module_costs(modules, (16, 8), torch.device("cpu"))
    assert costs.columns.tolist() == ["module", "parameters", "multiply_adds", "latency_milliseconds", "peak_bytes"]
    assert costs["module"].tolist() == list(modules)
    weights = [0, 81 * 3 * 2 + 25 * 2 * 1 + 25 * 1 * 3, 9 * (3 * 2 + 2 * 2 + 2 * 3)]
    assert costs["multiply_adds"].tolist() == [16 * 8 * number for number in weights]
    assert costs["parameters"].tolist() == [0, weights[1] + 2 + 1 + 3, weights[2]]
    assert (costs["latency_milliseconds"] > 0).all()
    assert costs["peak_bytes"][0] == 0  # nothing is computed


def measured() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "module": ["Bicubic+ResNet-50", "RCAN+ResNet-50"],
            "parameters": [0, 1_234_567],
            "multiply_adds": [0, 2_345_000_000],
            "latency_milliseconds": [0.01, 12.34],
            "peak_bytes": [0, 3 * 2**20],
        }
    )


def test_costs_stand_beside_every_seed_and_the_published_number() -> None:
    records = {"Bicubic+ResNet-50": [record(40)], "RCAN+ResNet-50": [record(50), record(54, 1)]}
    numbers = pd.DataFrame(
        {"method": ["RCAN+ResNet-50"] * 2, "metric": ["rank1", "rank5"], "value": [73.1, 89.6]},
    )
    points = costs_beside_rank1(measured(), records, numbers)
    assert points["module"].tolist() == ["Bicubic", "RCAN", "RCAN"]
    assert points["rank1"].tolist() == pytest.approx([40, 50, 54])
    assert points["multiply_adds"].tolist() == [0, 2_345_000_000, 2_345_000_000]
    assert math.isnan(points["published_rank1"][0])
    assert points["published_rank1"][1:].tolist() == [73.1, 73.1]
    assert "row" not in points
    assert costs_beside_rank1(measured(), records, numbers.iloc[:0])["published_rank1"].isna().all()


def test_costs_are_shown_in_units_of_a_reader() -> None:
    shown = shown_costs(measured())
    assert shown.iloc[1].tolist() == ["RCAN+ResNet-50", "1,234,567", "2.345", "12.3", "3.0"]
    counted = shown_costs(measured()[["module", "parameters", "multiply_adds"]])
    assert counted.columns.tolist() == ["module", "parameters", "multiply-adds (10^9)"]
