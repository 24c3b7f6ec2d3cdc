"""From measurements to a table that is printed and a CSV that is kept."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from crreid.bench.jobs import Job, Measurement, Section
from crreid.bench.machine import EMBEDDING, TRAINING, peak_case
from crreid.errors import InputError
from crreid.files import write_atomically

__all__ = ["COLUMNS", "bench_frame", "medians", "shown_bench", "write_bench"]

DETAILS = (
    "gflop",
    "largest_difference",
    "mean_difference",
    "share_different",
    "rank1",
    "map_hit",
    "map_trapezoid",
)
NUMBERS = ("per_second", "milliseconds", "peak_mebibytes", "floor_fraction", "ratio")
ORIGIN = ("size", "batch", "repeats", "device", "threads", "torch", "commit", "dirty", "date")
COLUMNS = ("section", "case", "recipe", "unit", *NUMBERS, *DETAILS, *ORIGIN)
"""Of the CSV. `ratio` is the speed against that of the first recipe for the same: plain fp32, plain, or fp32 NCHW.
`floor_fraction` is the time that the operations would take at the peak of the precision, over that measured."""

COUNTED: dict[Section, str] = {"step": TRAINING, "epoch": TRAINING, "embedding": EMBEDDING, "query": EMBEDDING}
"""Sections whose operations are counted."""


def medians(repeats: Sequence[Sequence[Measurement]]) -> list[Measurement]:
    """One measurement of each case, from those of several processes: medians of speed and time, the highest peak.

    Raises:
        InputError: The details, which are results and no times, differ.
    """
    found = []
    for same in zip(*repeats, strict=True):
        first = same[0]
        if any(other.details != first.details for other in same):
            raise InputError(f"two processes that did the same disagree: {first.case}")
        speeds = [other.per_second for other in same if other.per_second is not None]
        times = [other.milliseconds for other in same if other.milliseconds is not None]
        peaks = [other.peak_bytes for other in same if other.peak_bytes is not None]
        found.append(
            replace(
                first,
                per_second=statistics.median(speeds) if speeds else None,
                milliseconds=statistics.median(times) if times else None,
                peak_bytes=max(peaks) if peaks else None,
            )
        )
    return found


def bench_frame(results: Sequence[tuple[Job, Sequence[Measurement]]], origin: dict[str, Any]) -> pd.DataFrame:
    """The rows of the CSV.

    Args:
        results: Of each job its measurements; the jobs of a section in the order of its recipes.
        origin: The columns of ORIGIN that are the same in all rows: repeats, torch, commit, dirty, date.

    Raises:
        InputError: Two recipes' scores of the same ranking differ.
    """
    rows = [_row(job, measurement) | origin for job, measured in results for measurement in measured]
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    first = frame.groupby(["section", "case"], sort=False)["per_second"].transform("first")
    several = frame.groupby(["section", "case"], sort=False)["recipe"].transform("size") > 1
    frame["ratio"] = (frame["per_second"] / first).where(several)
    frame["floor_fraction"] = _floor_fractions(results)
    _check_scores(frame)
    return frame


def _row(job: Job, measurement: Measurement) -> dict[str, Any]:
    size = job.bench_size
    peak = measurement.peak_bytes
    return measurement.details | {
        "section": job.section,
        "case": measurement.case,
        "recipe": job.recipe.name,
        "unit": measurement.unit,
        "per_second": measurement.per_second,
        "milliseconds": measurement.milliseconds,
        "peak_mebibytes": None if peak is None else peak / 2**20,
        "size": job.size,
        "batch": "{} x {}".format(*size.batch),
        "device": measurement.device,
        "threads": measurement.threads,
    }


def _floor_fractions(results: Sequence[tuple[Job, Sequence[Measurement]]]) -> list[float | None]:
    """Of each measurement; None where nothing is counted or the peak was not measured."""
    arithmetic = {found.case: found for job, measured in results if job.section == "arithmetic" for found in measured}
    fractions: list[float | None] = []
    for job, measured in results:
        counted, peak = arithmetic.get(COUNTED.get(job.section, "")), arithmetic.get(peak_case(job.recipe.precision))
        for measurement in measured:
            fraction = None
            if counted is not None and peak is not None and peak.per_second and measurement.per_second:
                fraction = counted.details["gflop"] * measurement.per_second / peak.per_second
            fractions.append(fraction)
    return fractions


def _check_scores(frame: pd.DataFrame) -> None:
    """Raises InputError where the fast evaluation does not give the scores of the plain one."""
    scores = frame.loc[frame["section"] == "ranking", ["rank1", "map_hit", "map_trapezoid"]]
    for name, values in scores.items():
        if values.max() - values.min() > 1e-9:
            raise InputError(f"the evaluations disagree on {name}: {', '.join(map(str, values))}")


def shown_bench(frame: pd.DataFrame) -> str:
    """The table as text: for each section what was measured, an empty field where it was not."""
    shown = pd.DataFrame(
        {
            "": frame["case"],
            "recipe": frame["recipe"],
            "a second": _formatted(frame["per_second"], "{:,.2f} ") + frame["unit"],
            "ms": _formatted(frame["milliseconds"], "{:,.1f}"),
            "peak MiB": _formatted(frame["peak_mebibytes"], "{:,.0f}"),
            "of floor": _formatted(100 * frame["floor_fraction"], "{:.1f} %"),
            "ratio": _formatted(frame["ratio"], "{:.2f}"),
            "results": [_details(row) for _, row in frame.iterrows()],
        }
    )
    shown.loc[frame["per_second"].isna(), "a second"] = ""
    return str(shown.to_markdown(index=False, disable_numparse=True, colalign=("left", "left", *["right"] * 5, "left")))


def _formatted(values: pd.Series[Any], form: str) -> pd.Series[Any]:
    return values.map(lambda value: "" if pd.isna(value) else form.format(value))


def _details(row: pd.Series[Any]) -> str:
    found = [(name, row[name]) for name in DETAILS if not pd.isna(row[name])]
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in found)


def write_bench(frame: pd.DataFrame, file: Path) -> None:
    """Writes the CSV; what an earlier one says of sections that are not in `frame` stays.

    Raises:
        InputError: The file cannot be written, or is there and no benchmark of this package.
    """
    if file.exists():
        kept = pd.read_csv(file, dtype={"commit": str, "recipe": str})
        if tuple(kept.columns) != COLUMNS:
            raise InputError(f"{file}: not a benchmark of this version of crreid; delete it to measure anew")
        kept = kept[~kept["section"].isin(frame["section"])]
        frame = pd.concat([part for part in (kept, frame) if len(part)])
    places = {section: place for place, section in enumerate(get_args(Section))}
    frame = frame.sort_values("section", key=lambda column: column.map(places), kind="stable")
    write_atomically(file, frame.to_csv(index=False, float_format="%.6g").encode())
