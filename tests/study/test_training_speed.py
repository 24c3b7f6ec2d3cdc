"""Speeds of training: from records that can be compared, else measured; the plain recipe from its CSV."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from crreid.bench.report import COLUMNS
from crreid.data.sources import FolderSource
from crreid.data.table import ImageTable
from crreid.profiles import profile_settings
from crreid.provenance import device_name
from crreid.records import Record
from crreid.starting_weights import RANDOM_WEIGHTS
from crreid.study import training_speed
from crreid.study.rows import state_of_the_art_rows
from crreid.study.speed import Speed
from crreid.study.training_speed import PAPER_PAIRS, pairs_per_epoch, plain_recipe, training_speeds

CPU = torch.device("cpu")
HERE = device_name(CPU)
ROWS = {
    row: [run]
    for row, run in state_of_the_art_rows(
        profile_settings("smoke", "mlr-synthetic"), seed=0, weights=RANDOM_WEIGHTS
    ).items()
    if row in ("RAIN", "PS-HRNet")
}


@pytest.fixture
def train(tmp_path: Path) -> ImageTable:
    """Six identities with five images each: two groups of four an identity."""
    rows = pd.DataFrame(
        [(f"{identity}_{image}.png", identity, 1, "train", 1.0) for identity in range(6) for image in range(5)],
        columns=["path", "identity", "camera", "role", "rate"],
    )
    return ImageTable(name="small", rows=rows, source=FolderSource(tmp_path))


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    speed = Speed(seconds_per_pair=0.5, seconds_per_image=1, basis="from 2 measured steps of 12 random pairs")
    monkeypatch.setattr(training_speed, "measured_speed", lambda run, device: speed)


def record(device: str, seconds: float = 8.0, **more: int) -> list[Record]:
    origin = {"device": device, "training_seconds": seconds, "threads": 2} | more
    return [Record(digest="", title="", run={}, measured={"epochs": [{}, {}]}, provenance=origin)]


def test_the_papers_schedule_is_once_every_image_an_epoch():
    assert PAPER_PAIRS == 71 * 12_936


def test_pairs_of_an_epoch_are_those_of_its_batches(train):
    assert pairs_per_epoch(train, ROWS["RAIN"][0].schedule) == 6 * 2 // 3 * 12


@pytest.mark.parametrize("device", [HERE, "a GPU"])
def test_records_of_one_device_are_taken(train, device):
    speeds = training_speeds(ROWS, {"RAIN": record(device), "PS-HRNet": record(device, 16)}, train, CPU)
    assert [speed.pairs_per_second for speed in speeds.values()] == [2 * 48 / 8, 2 * 48 / 16]
    assert {speed.trained_on for speed in speeds.values()} == {device}
    assert speeds["RAIN"].speed_basis == "from 2 epochs on record, threads: 2"


@pytest.mark.parametrize("other", [record("a GPU"), record(HERE, 0.0), record(HERE, processes=2)])
def test_what_cannot_be_compared_is_measured_here(train, other):
    speeds = training_speeds(ROWS, {"RAIN": other, "PS-HRNet": record(HERE)}, train, CPU)
    assert speeds["RAIN"].pairs_per_second == 2
    assert speeds["RAIN"].speed_basis == "from 2 measured steps of 12 random pairs, without data"
    assert speeds["PS-HRNet"].pairs_per_second == 12
    assert {speed.trained_on for speed in speeds.values()} == {HERE}


def bench(folder: Path, **changes: str) -> None:
    lines = [
        {
            "section": section,
            "recipe": recipe,
            "per_second": speed,
            "ratio": speed / 10,
            "size": "quick",
            "device": HERE,
        }
        for section, recipe, speed in (
            ("step", "plain fp32", 11.0),
            ("epoch", "plain fp32", 10.0),
            ("epoch", "fast", 25.0),
        )
    ]
    frame = pd.DataFrame(lines).reindex(columns=list(COLUMNS)).assign(**changes)
    (folder / "bench").mkdir(exist_ok=True)
    frame.to_csv(folder / "bench" / "some.csv", index=False)


def test_plain_recipe_comes_from_the_benchmark_of_this_device_and_size(tmp_path):
    bench(tmp_path)
    found = plain_recipe(tmp_path, CPU, "quick")
    assert found["recipe"].tolist() == ["plain fp32", "fast"]
    assert found["pairs_per_second"].tolist() == [10, 25]


def test_another_benchmark_is_none(tmp_path):
    assert plain_recipe(tmp_path, CPU, "quick").empty
    bench(tmp_path)
    assert plain_recipe(tmp_path, CPU, "paper").empty
    assert plain_recipe(tmp_path, CPU, "reduced").empty
    bench(tmp_path, device="a GPU")
    assert plain_recipe(tmp_path, CPU, "quick").empty
