"""How fast methods train: from records where these can be compared, and beside them the plain recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from crreid.data.sampler import IdentitySampler
from crreid.data.table import ImageTable
from crreid.provenance import device_name
from crreid.records import Record
from crreid.runs import Run
from crreid.study.speed import measured_speed
from crreid.training.schedule import Schedule

__all__ = [
    "MARKET_1501_IDENTITIES",
    "PAPER_PAIRS",
    "TrainingSpeed",
    "pairs_per_epoch",
    "plain_recipe",
    "training_speeds",
]

MARKET_1501_IMAGES, MARKET_1501_IDENTITIES = 12_936, 751  # for training

_PAPER = Schedule()
_PAPER_BATCH = _PAPER.identities_per_batch * _PAPER.images_per_identity
PAPER_PAIRS = _PAPER.epochs * (MARKET_1501_IMAGES // _PAPER_BATCH) * _PAPER_BATCH
"""Of the paper's phase 2: 71 epochs of 539 batches of 24, which is once every training image of Market-1501 an epoch.
`IdentitySampler` fills up the last group of an identity, so that an epoch on the real data is a little longer."""

BENCH_SIZES = {"smoke": "tiny", "quick": "quick", "paper": "paper"}  # the benchmark's networks are the profile's


@dataclass(frozen=True, kw_only=True)
class TrainingSpeed:
    """How fast a row trained.

    Attributes:
        pairs_per_second: Pairs of a high-resolution and a low-resolution image.
        trained_on: The device's name.
        speed_basis: Where the number comes from, in a phrase.
    """

    pairs_per_second: float
    trained_on: str
    speed_basis: str


def training_speeds(
    runs: Mapping[str, Sequence[Run]], records: Mapping[str, Sequence[Record]], train: ImageTable, device: torch.device
) -> dict[str, TrainingSpeed]:
    """How fast every row trained, with data: from its records where these can be compared.

    They can where all rows were trained on one device, be it another than this one, or where a row was trained on this
    one; other rows take a few steps here. Trainings of several processes do not count.
    """
    here = device_name(device)
    devices = {_trained_on(record) for of_row in records.values() for record in of_row}
    comparable = devices if len(devices) == 1 else {here}
    speeds = {}
    for row, of_row in runs.items():
        if all(_trained_on(record) in comparable - {""} for record in records[row]):
            speeds[row] = _recorded_speed(of_row[0], records[row], train)
        else:
            speed = measured_speed(of_row[0], device)
            speeds[row] = TrainingSpeed(
                pairs_per_second=1 / speed.seconds_per_pair, trained_on=here, speed_basis=f"{speed.basis}, without data"
            )
    return speeds


def pairs_per_epoch(train: ImageTable, schedule: Schedule) -> int:
    """Pairs of all batches that `IdentitySampler` makes of a table of training images."""
    identities, images = schedule.identities_per_batch, schedule.images_per_identity
    labels = train.rows["identity"].astype("category").cat.codes.tolist()
    return len(IdentitySampler(labels, identities, images, seed=0)) * identities * images


def plain_recipe(results_dir: Path, device: torch.device, profile: str) -> pd.DataFrame:
    """What `crreid bench` measured of PS-HRNet's training on this device at the profile's size: epochs with data.

    Args:
        results_dir: Holds `bench/`.
        device: Whose name the benchmark must have.
        profile: Of the study; `smoke`, `quick` and `paper` have a size of the benchmark.

    Returns:
        Columns recipe, pairs_per_second, ratio (to the first recipe, the plain one), threads, date; no rows where
        nothing was measured.
    """
    names = {"per_second": "pairs_per_second"}
    columns = ["recipe", "pairs_per_second", "ratio", "threads", "date"]
    for file in sorted((results_dir / "bench").glob("*.csv")):
        found = pd.read_csv(file).rename(columns=names)
        right = found["device"].eq(device_name(device)) & found["size"].eq(BENCH_SIZES.get(profile, ""))
        found = found[right & found["section"].eq("epoch") & found["pairs_per_second"].notna()]
        if len(found):
            return found[columns].reset_index(drop=True)
    return pd.DataFrame(columns=columns)


def _trained_on(record: Record) -> str:
    """The device's name; empty where it says nothing of a method's speed."""
    origin = record.provenance
    timed = origin["training_seconds"] > 0 and origin.get("processes", 1) == 1
    return str(origin["device"]) if timed else ""


def _recorded_speed(run: Run, records: Sequence[Record], train: ImageTable) -> TrainingSpeed:
    pairs = pairs_per_epoch(train, run.schedule) * sum(len(record.measured["epochs"]) for record in records)
    threads = sorted({record.provenance.get("threads", 0) for record in records})
    epochs = len(records[0].measured["epochs"])
    return TrainingSpeed(
        pairs_per_second=pairs / sum(record.provenance["training_seconds"] for record in records),
        trained_on=str(records[0].provenance["device"]),
        speed_basis=f"from {epochs} epochs on record, threads: {', '.join(map(str, threads))}",
    )
