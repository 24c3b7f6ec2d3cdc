"""The command line: `crreid data describe`, `crreid data mlr`, `crreid train`, `measure`, `study` and `bench`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from crreid.bench.bench import bench
from crreid.data.datasets import DATASETS, find_dataset
from crreid.data.degradation import Degradation
from crreid.data.mlr import mlr, write_manifest
from crreid.data.prepare import data_settings, load_table
from crreid.data.table import ImageTable
from crreid.distributed import wait_for_first_to_fail
from crreid.errors import InputError
from crreid.rows import loss_ablation_rows, state_of_the_art_rows
from crreid.runs import measure_together
from crreid.starting_weights import NO_FILES, weights_entries
from crreid.study.items import find_items
from crreid.study.plan import plan_study
from crreid.study.session import open_session
from crreid.study.worklist import work_through

__all__ = ["main"]

Dataset = Annotated[str, tyro.conf.Positional]


def describe(dataset: Dataset, /, root: Path | None = None, split: int = 0) -> None:
    """Counts images, identities and cameras of a data set.

    Args:
        dataset: A name of the catalogue, e.g. market-1501; with mlr- before it, its cross-resolution build.
        root: Folder or file of the data set; none for synthetic.
        split: Of the data sets that have several.
    """
    settings = replace(data_settings(dataset), split=split)
    _print_table(load_table(settings, root))


def build_mlr(
    dataset: Dataset,
    /,
    out: Path,
    root: Path | None = None,
    split: int = 0,
    camera: tuple[int, ...] = (),
    rates: tuple[float, ...] = (2, 3, 4),
    per: Literal["image", "camera"] = "image",
    train: Literal["all", "cameras", "none"] = "all",
    official_queries: bool | None = None,
    distractors: bool = False,
    shrink: str = "bicubic",
    enlarge: str = "bilinear",
    antialias: bool = True,
    jpeg_quality: int | None = None,
    seed: int = 0,
) -> None:
    """Builds the cross-resolution (MLR) version of a data set and writes its manifest.

    Args:
        dataset: A name of the catalogue, e.g. market-1501.
        out: The manifest, a CSV.
        root: Folder or file of the data set.
        split: Of the data sets that have several.
        camera: Cameras made low resolution; none = the data set's default.
        rates: Low-resolution images are shrunk by one of these.
        per: Draw a rate an image, in equal shares, or one a camera.
        train: Training images that get a low-resolution version: all, those of the cameras, or none.
        official_queries: Whether the official query images take part; default as recommended for the data set.
        distractors: Keep distractors in the gallery.
        shrink: Filter that makes an image small: nearest, box, bilinear, bicubic or lanczos.
        enlarge: Filter that enlarges it again.
        antialias: Low-pass filter before shrinking.
        jpeg_quality: Encode small images as JPEG once.
        seed: Of the draw of rates.
    """
    entry = find_dataset(dataset)
    table, settings = entry.read(root, split=split), entry.mlr
    filters = Degradation(shrink=shrink, enlarge=enlarge, antialias=antialias, jpeg_quality=jpeg_quality)
    settings = replace(
        settings,
        cameras=camera or settings.cameras,
        rates=rates,
        per=per,
        train=train,
        official_queries=settings.official_queries if official_queries is None else official_queries,
        distractors=distractors,
        degradation=filters,
        seed=seed,
    )
    built = mlr(table, settings)
    digest = write_manifest(built, settings, out)
    _print_table(built)
    print(f"{len(built.with_role('query')):,} queries, {len(built.with_role('gallery')):,} gallery images")
    print(f"{out}: sha256 {digest}")


def train(
    profile: str = "quick",
    dataset: str = "mlr-synthetic",
    data_root: str = "",
    row: str = "SR+ID+PS",
    seed: int = 0,
    device: str = "auto",
    weights: str = "random",
    results_dir: str = "",
    force: bool = False,
) -> None:
    """Trains and tests one row of Table I or II, its teacher first; PS-HRNet itself by default.

    Several GPUs or machines train together where `torchrun --nproc-per-node N -m crreid train` starts this; the folder
    `runs` must be one that all machines share.

    Args:
        profile: smoke, quick, reduced or paper.
        dataset: E.g. mlr-synthetic, mlr-market-1501.
        data_root: Folder or file of the data set.
        row: Its name in the table, e.g. HRNet-ReID-H alone, SR+ID, CAD-Net, LRAR.
        seed: Of everything random.
        device: auto, cpu or cuda.
        weights: Start of the backbone: random, timm, or a local file.
        results_dir: Where the record goes.
        force: Train again what is on record.
    """
    session = open_session(
        "train",
        profile=profile,
        dataset=dataset,
        data_root=data_root,
        device=device,
        seeds=(seed,),
        weights=weights,
        results_dir=results_dir,
        force=force,
    )
    tables = (loss_ablation_rows, state_of_the_art_rows)
    rows = {name: run for of in tables for name, run in of(session.profile, seed=seed, weights=session.weights).items()}
    if row not in rows:
        raise InputError(f"unknown row {row!r}; expected one of {', '.join(rows)}")
    record = measure_together(rows[row], session.workspace)
    if record is None:  # the first of several processes tests
        return
    for metric in ("rank1", "rank5", "rank10", "map_hit", "map_trapezoid"):
        print(f"{metric:14s} {record.score(metric):6.2f} %")
    print(f"record {session.workspace.record_file(rows[row])}")


def study(
    profile: str = "quick",
    dataset: str = "mlr-synthetic",
    data_root: str = "",
    only: tuple[str, ...] = (),
    rows: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    device: str = "auto",
    weights: str = "random",
    results_dir: str = "",
    force: bool = False,
    jobs: int = 1,
    plan: Annotated[bool, tyro.conf.arg(name="list")] = False,
) -> None:
    """Runs the notebooks and renders their tables and figures below results/.

    Args:
        profile: smoke, quick, reduced or paper.
        dataset: E.g. mlr-synthetic, mlr-market-1501.
        data_root: Folder or file of the data set.
        only: Notebooks to run; none = all.
        rows: Rows to measure and show, of notebooks that take the choice: Table I and unseen resolutions; none = all.
        seeds: Trainings of every row.
        device: auto, cpu or cuda.
        weights: Start of the backbones: random, timm, or a local file.
        results_dir: Where results go.
        force: Train again what is on record.
        jobs: Notebooks at a time; several share the processor's cores. The last bits of a training on a processor
            depend on how many threads it has.
        plan: Run nothing; say which runs are on record and what the missing ones will cost on this machine.
    """
    from crreid.study.runner import run_study  # here: machines that only train have no notebooks

    parameters: dict[str, Any] = {"profile": profile, "dataset": dataset, "device": device, "seeds": list(seeds)}
    parameters["weights"] = _absolute_weights(weights)
    parameters["data_root"] = str(Path(data_root).expanduser().resolve()) if data_root else ""
    if results_dir:
        parameters["results_dir"] = str(Path(results_dir).expanduser().resolve())
    items = find_items(only)
    if plan:
        print(plan_study(items, open_session("study", **parameters), rows).report())
        return
    if rows:
        parameters["rows"] = list(rows)
    summary = run_study(items, parameters, force=force, jobs=jobs)
    failed = [outcome for outcome in summary.outcomes if outcome.problem]
    for outcome in summary.outcomes:
        print(f"{'FAILED' if outcome.problem else 'ok':6s} {outcome.seconds:7.1f} s  {outcome.item.name}")
    print(summary)
    if failed:
        first = failed[0]
        raise InputError(
            f"{len(failed)} of {len(summary.outcomes)} notebooks failed: {first.item.name} {first.problem}"
        )


def measure(
    only: tuple[str, ...] = (),
    rows: tuple[str, ...] = (),
    profile: str = "quick",
    dataset: str = "mlr-synthetic",
    data_root: str = "",
    seeds: tuple[int, ...] = (),
    device: str = "auto",
    weights: str = "random",
    results_dir: str = "",
    minutes: float = math.inf,
) -> None:
    """Trains and tests what notebooks will ask for and no record holds; needs none of the notebooks' packages.

    Run again, it goes on where it ended: a finished run has its record, an interrupted one its last epoch.

    Args:
        only: Notebooks whose rows are wanted, the most wanted first; none = all.
        rows: Rows of those; none = all.
        profile: smoke, quick, reduced or paper.
        dataset: E.g. mlr-synthetic, mlr-market-1501.
        data_root: Folder or file of the data set.
        seeds: Trainings of every row.
        device: auto, cpu or cuda.
        weights: Start of the backbones: random, timm, or a local file.
        results_dir: Where records go.
        minutes: Begin no run that, by the estimate, would end later.
    """
    session = open_session(
        "measure",
        profile=profile,
        dataset=dataset,
        data_root=data_root,
        device=device,
        seeds=seeds,
        weights=weights,
        results_dir=results_dir,
    )
    items = [item for name in only for item in find_items((name,))] or find_items(())
    plan = plan_study(items, session, rows)
    print(plan.report())
    done = work_through(plan, minutes=minutes)
    print(done)
    if done.failed:
        name, problem = next(iter(done.failed.items()))
        raise InputError(f"{len(done.failed)} runs failed, {name} first: {problem}")


def _absolute_weights(text: str) -> str:
    """The parameter `weights` with absolute paths: notebooks run in another folder."""
    entries = [
        (name, value if value in NO_FILES else str(Path(value).expanduser().resolve()))
        for name, value in weights_entries(text)
    ]
    return ",".join(f"{name}={value}" if name else value for name, value in entries)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: prints one sentence and exits with status 2 on input that cannot be used.

    Args:
        arguments: Those after the program's name; None = of this process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    commands: dict[str, Callable[..., None]] = {"train": train, "measure": measure, "study": study, "bench": bench}
    program = "crreid"
    if arguments[:1] == ["data"]:
        commands, program, arguments = {"describe": describe, "mlr": build_mlr}, "crreid data", arguments[1:]
    elif arguments[:1] in (["-h"], ["--help"], []):
        print(
            "crreid data {describe,mlr}, crreid train, crreid measure, crreid study, crreid bench: see each with --help"
        )
        print(f"data sets: {', '.join(DATASETS)}")
        return
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog=program, args=arguments)
    except InputError as error:
        wait_for_first_to_fail()
        print(f"crreid: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def _print_table(table: ImageTable) -> None:
    print(f"{table.name} ({table.source.location}), digest {table.digest}")
    print(table.describe().to_string(index=False))
    for note in table.notes:
        print(f"note: {note}")
