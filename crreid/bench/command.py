"""`crreid bench`: how fast this machine trains, embeds and ranks, beside the recipe as anyone would write it."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

from crreid.bench.images import write_images
from crreid.bench.jobs import Job, Measurement, Section, jobs_of, measured
from crreid.bench.report import COUNTED, bench_frame, medians, shown_bench, write_bench
from crreid.bench.sizes import BenchSize, SizeName, bench_size
from crreid.errors import InputError
from crreid.provenance import device_name, provenance, time_stamp
from crreid.runs import Workspace
from crreid.study.session import default_results_dir

__all__ = ["bench"]

ONCE = ("arithmetic", "resize")  # no times are compared in them
WORKERS = 4  # as the recipes of the field have it, where there are cores for them


def bench(
    size: SizeName = "quick",
    only: tuple[Section, ...] = (),
    device: str = "auto",
    repeats: int = 3,
    identities_per_batch: int | None = None,
    workers: int | None = None,
    results_dir: str = "",
) -> None:
    """Measures training, test and data of PS-HRNet against the plain recipe; prints a table and writes a CSV.

    Every recipe runs in a process of its own, the recipes of a section in turn. The CSV is bench/<device>-<size>.csv
    below the results; sections that were not measured now stay in it as they were.

    Args:
        size: paper (256 x 128, HRNet-W32, VDSR-CA of 20 layers), quick (the profile's networks) or tiny (for tests).
        only: Sections to measure; none = all.
        device: auto, cpu or cuda.
        repeats: Processes of each recipe, of which the median counts.
        identities_per_batch: P; none = 6 as in the paper's schedule, or 3 of the paper's size on a processor.
        workers: Loader processes of the plain recipe; none = 4, but no more than there are cores.
        results_dir: Where results go.
    """
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, not {repeats}")
    where = Workspace(results_dir=Path(), runs_dir=Path(), device=device).torch_device()
    chosen = bench_size(size, where, identities_per_batch)
    sections = _sections(only)
    workers = min(WORKERS, os.cpu_count() or 1) if workers is None else workers
    file = Path(results_dir).expanduser() if results_dir else default_results_dir()
    file = file / "bench" / f"{_slug(device_name(where))}-{size}.csv"
    here = provenance(where)
    origin = {"repeats": repeats, "torch": here["packages"]["torch"], "date": time_stamp()}
    origin |= {"commit": here["commit"], "dirty": here["dirty"]}
    print(_heading(chosen, device_name(where), workers, origin))
    results: list[tuple[Job, list[Measurement]]] = []
    with tempfile.TemporaryDirectory() as folder:
        write_images(chosen, Path(folder))
        common: dict[str, Any] = {"size": size, "identities_per_batch": identities_per_batch, "folder": folder}
        for section in sections:
            jobs = jobs_of(section, where.type, workers=workers, **common)
            results += _alternating(jobs, 1 if section in ONCE else repeats)
    frame = bench_frame(results, origin)
    print("\n" + shown_bench(frame))
    write_bench(frame, file)
    print(f"\n{file}")


def _sections(only: tuple[Section, ...]) -> list[Section]:
    """In their order; with the arithmetic that fractions of the floor refer to."""
    wanted = set(only or get_args(Section))
    if wanted & set(COUNTED):
        wanted.add("arithmetic")
    return [section for section in get_args(Section) if section in wanted]


def _alternating(jobs: list[Job], repeats: int) -> list[tuple[Job, list[Measurement]]]:
    """Every job so many times, in turn; medians."""
    found: list[list[list[Measurement]]] = [[] for _ in jobs]
    for repeat in range(repeats):
        for job, of_job in zip(jobs, found, strict=True):
            clock = time.monotonic()
            of_job.append(measured(job))
            what = ", ".join(filter(None, (job.section, job.model, job.recipe.name)))
            print(f"{what} ({repeat + 1} of {repeats}): {time.monotonic() - clock:.0f} s", flush=True)
    return [(job, medians(of_job)) for job, of_job in zip(jobs, found, strict=True)]


def _heading(size: BenchSize, device: str, workers: int, origin: dict[str, Any]) -> str:
    batch, whole = ("{} x {}".format(*numbers) for numbers in (size.batch, size.whole_batch))
    reduced = "" if size.batch == size.whole_batch else f" (the schedule's: {whole})"
    shape = "{} x {}".format(*size.size)
    network = f"{size.network.backbone}, {size.restoration.title} {size.restoration.depth} x {size.restoration.width}"
    return (
        f"{size.name}: {shape} pixels, {network}; batches of {batch} pairs{reduced}; images are built-in ones\n"
        f"{device}, torch {origin['torch']}, {workers} loader processes in the plain recipe; "
        f"medians of {origin['repeats']} process{'es' * (origin['repeats'] > 1)} a recipe"
    )


def _slug(name: str) -> str:
    """A device's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
