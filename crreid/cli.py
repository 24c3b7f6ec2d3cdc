"""The command line. Heavy packages are imported by the commands that need them: help and typos answer at once."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from crreid.errors import InputError, did_you_mean

PROFILES = Literal["smoke", "quick", "native", "paper", "printed", "released"]
DATASETS = ("synthetic", "market-1501", "dukemtmc-reid", "cuhk03", "cuhk03-new", "viper", "caviar", "own")
SIZES = Literal["paper", "quick", "smoke"]

DataSet = Annotated[str, tyro.conf.Positional]
Tables = Annotated[tuple[str, ...], tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to train, and where."""

    only: tuple[str, ...] = ()  # Tables, the same as by position.
    rows: tuple[str, ...] = ()  # Rows of the tables, e.g. PS-HRNet; none = all.
    profile: PROFILES = "quick"  # Size of networks, images and schedule.
    dataset: str = "mlr-synthetic"  # Data set, with mlr- before its name for the cross-resolution build.
    data_root: str = ""  # Folder or file of the data set; none for built-in data.
    seeds: tuple[int, ...] = (0,)  # Random seeds; every row is trained once per seed.
    weights: str = "packaged"  # Start of the backbones: packaged, random, timm, a local file, or e.g. resnet50=FILE.
    device: str = "auto"  # auto, cpu or cuda.
    results_dir: str = ""  # Where results go; the checkout's results by default.
    set: tuple[
        str, ...
    ] = ()  # Settings to change in every run, e.g. schedule.epochs=4 method.pseudo_siamese_weight=1.0.
    force: tyro.conf.FlagCreatePairsOff[bool] = False  # Train again what is recorded.
    # Run nothing; show rows, what is recorded, what is missing, and how long each took.
    list_only: Annotated[bool, tyro.conf.arg(name="list"), tyro.conf.FlagCreatePairsOff] = False


def describe(dataset: DataSet, /, root: Path | None = None, split: int = 0) -> None:
    """Count the images, identities and cameras of a data set.

    Args:
        dataset: Its name, e.g. market-1501; with mlr- before it, its cross-resolution build.
        root: Folder or file of the data set; none for built-in data.
        split: Number of the split, for data sets that have several.
    """
    _check_dataset(dataset)
    from crreid.data.prepare import data_settings, load_table

    _print_table(load_table(replace(data_settings(dataset), split=split), root))


def mlr(
    dataset: DataSet,
    /,
    out: Path,
    root: Path | None = None,
    split: int = 0,
    camera: tuple[int, ...] = (),
    rates: tuple[float, ...] = (2, 3, 4),
    seed: int = 0,
    set: tuple[str, ...] = (),
) -> None:
    """Build the cross-resolution (MLR) version of a data set and write its manifest.

    Args:
        dataset: Its name, e.g. market-1501.
        out: The manifest, a CSV file.
        root: Folder or file of the data set.
        split: Number of the split, for data sets that have several.
        camera: Low-resolution cameras; none = the data set's default.
        rates: Downsampling rates of low-resolution images.
        seed: Seed for drawing the rates.
        set: Other settings, see crreid/data/mlr.py, e.g. per=camera train=none distractors=true official_queries=false
            degradation.enlarge=bicubic degradation.jpeg_quality=50.
    """
    _check_dataset(dataset)
    from crreid.data.datasets import find_dataset
    from crreid.data.mlr import mlr as build
    from crreid.data.mlr import write_manifest
    from crreid.settings import with_value

    entry = find_dataset(dataset)
    settings = replace(entry.mlr, cameras=camera or entry.mlr.cameras, rates=rates, seed=seed)
    for name, value in _assigned(set).items():
        try:
            settings = with_value(settings, name, value)
        except (KeyError, TypeError) as error:
            raise InputError(f"--set {name}={value}: there is no such setting, or it takes another value") from error
    built = build(entry.read(root, split=split), settings)
    digest = write_manifest(built, settings, out)
    _print_table(built)
    print(f"{len(built.with_role('query')):,} queries, {len(built.with_role('gallery')):,} gallery images")
    print(f"{out}: sha256 {digest}")


def run(
    tables: Tables = (),
    /,
    choice: Choice = Choice(),
    minutes: float = math.inf,
    verbose: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Train and evaluate rows of tables; each run leaves a record.

    Recorded runs are not trained again, those that another process is working on are left to it. An interrupted
    training continues after its last epoch. On several GPUs: torchrun --nproc-per-node 2 -m crreid run TABLE ...

    Args:
        tables: Notebooks whose rows are wanted, the most wanted first; none = all.
        choice: What to train.
        minutes: Start no run that would take longer than what is left of these, by the most similar recorded run.
        verbose: Print the losses of every training.
    """
    opened = _open(tables, choice)
    if not opened:
        return
    from crreid.distributed import process_group
    from crreid.runs import forget
    from crreid.study.measure import measure_all
    from crreid.study.runner import named_runs, time_left

    runs = [each for _, _, each in named_runs(opened)]
    rows = {each.digest: row for _, row, each in reversed(named_runs(opened))}
    workspace = replace(opened[0].workspace, report=print) if verbose else opened[0].workspace

    def tell(ended: Any, result: Any, ahead: int, seconds: float | None) -> None:
        outcome = f"failed: {result}" if isinstance(result, Exception) else f"rank-1 {result.score('rank1'):.1f} %"
        to_come = f"{ahead} runs to come{time_left(seconds)}"
        print(f"{rows[ended.digest]} (seed {ended.seed}): {outcome}; {to_come}", flush=True)

    with process_group(choice.device) as together:
        if choice.force:
            forget(runs, workspace)
        work = measure_all(runs, workspace, minutes=minutes, wait_for_others=False, tell=tell)
    if together.rank == 0:
        counts = {"measured": work.measured, "failed": work.failed, "left for want of time": work.left}
        counts |= {"measured by another process": work.elsewhere}
        before = len(work.records) - len(work.measured)
        print(", ".join([f"{len(some)} runs {what}" for what, some in counts.items()]) + f", {before} recorded before")
        print(f"records in {workspace.results_dir / 'records'}, weights in {workspace.runs_dir}")
    if work.failed:
        digest, error = next(iter(work.failed.items()))
        raise InputError(f"{len(work.failed)} runs failed, {rows[digest]} first: {error}")


def study(tables: Tables = (), /, choice: Choice = Choice(), jobs: int = 1) -> None:
    """Run notebooks: their tables and figures, and the pages that show them, go below results/.

    Args:
        tables: Notebooks to run; none = all.
        choice: What to train and show.
        jobs: Notebooks at a time.
    """
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, not {jobs}")
    opened = _open(tables, choice)
    if not opened:
        return
    from crreid.study.runner import run_study

    work, problems, left_out = run_study(opened, _parameters(choice), jobs=jobs)
    for sentence in left_out:
        print(sentence)
    print(f"{len(work.measured)} runs measured, {len(opened)} notebooks run: {opened[0].folder}")
    failed = [f"{item} {problem}" for item, problem in problems.items() if problem]
    if failed:
        raise InputError(f"{len(failed)} of {len(opened)} notebooks failed: {failed[0]}")


def bench(
    size: SIZES = "quick", device: str = "auto", repeats: int = 3, threads: int = 1, out: str = "results/bench"
) -> None:
    """Time training and evaluation of PS-HRNet against a straightforward baseline.

    Args:
        size: paper (256 x 128, HRNet-W32, VDSR-CA of 20 layers), quick (that profile's networks) or smoke (for tests).
        device: auto, cpu or cuda.
        repeats: Processes per recipe; their median counts.
        threads: CPU threads of each process. More than one gives true ratios only on a machine that does nothing else.
        out: Folder of the CSV, `<device>-<size>.csv`.
    """
    from crreid.bench.bench import bench as time_this_machine

    time_this_machine(size, device, repeats, threads, out)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; print one sentence and exit with status 2 on input that cannot be used."""
    words = sys.argv[1:] if arguments is None else arguments
    name = " ".join(words[: 2 if words[:1] == ["data"] else 1])
    if words[:1] == ["--version"]:
        print(f"crreid {version('crreid')}")
        return
    if name in ("", "-h", "--help", "data", "data -h", "data --help"):
        print(_help())
        return
    try:
        if name not in COMMANDS:
            raise InputError(f"there is no command {name!r}{did_you_mean(name, COMMANDS)}")
        rest, bare = words[len(name.split()) :], (tyro.conf.OmitArgPrefixes,)
        tyro.cli(COMMANDS[name], prog=f"crreid {name}", args=rest, config=bare)
    except InputError as error:
        if int(os.environ.get("RANK", "0")) > 0:  # torchrun ends the others before they say it again
            time.sleep(5)
        print(f"crreid: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt as error:
        print("crreid: interrupted; the next call continues where this one stopped", file=sys.stderr)
        raise SystemExit(130) from error


COMMANDS: dict[str, Callable[..., None]] = {"data describe": describe, "data mlr": mlr}
COMMANDS |= {"run": run, "study": study, "bench": bench}


def _help() -> str:
    """Return what each command does, and the tables, profiles and data sets that there are."""
    lines = ["usage: crreid COMMAND ..., see crreid COMMAND --help", "", "commands:"]
    lines += [f"  {name:15s} {(of.__doc__ or '').partition('.')[0]}" for name, of in COMMANDS.items()]
    lines += ["", "tables of `run` and `study`, each a notebook (--list shows their rows):"]
    lines += [f"  {name:32s} {title}" for name, title in _notebooks().items()]
    return "\n".join([*lines, "", f"profiles:  {', '.join(get_args(PROFILES))}", f"data sets: {', '.join(DATASETS)}"])


def _notebooks() -> dict[str, str]:
    """Return the first line of each notebook of the checkout; nothing where there is no checkout."""
    found = {}
    for file in sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb")):
        source = json.loads(file.read_text(encoding="utf8"))["cells"][0]["source"]
        found[file.stem] = "".join(source).partition("\n")[0].lstrip("# ")
    return found


def _open(tables: tuple[str, ...], choice: Choice) -> list[Any]:
    """Return the studies of some tables; with `list_only` print what is recorded, and return none."""
    names, tables = _notebooks(), tuple(dict.fromkeys((*tables, *choice.only)))
    for table in tables:  # before anything heavy is imported
        if names and table not in names:
            raise InputError(f"there is no table {table!r}{did_you_mean(table, names)}")
    _check_dataset(choice.dataset)
    os.environ["CRREID_DEVICE"] = choice.device
    if choice.results_dir:
        os.environ["CRREID_RESULTS"] = str(Path(choice.results_dir).expanduser().resolve())
    from crreid.study.runner import listing, studies

    opened = studies(tables, choice.rows, force=choice.force, **_parameters(choice))
    if choice.list_only:
        print(listing(opened))
    return [] if choice.list_only else opened


def _parameters(choice: Choice) -> dict[str, Any]:
    """Return the parameters of a notebook, paths made absolute: notebooks run in another folder."""
    from crreid.models.weights import NO_FILES, weights_entries

    weights = [
        (f"{name}=" if name else "") + (value if value in NO_FILES else str(Path(value).expanduser().resolve()))
        for name, value in weights_entries(choice.weights)
    ]
    root = str(Path(choice.data_root).expanduser().resolve()) if choice.data_root else ""
    named = {"profile": choice.profile, "dataset": choice.dataset, "data_root": root, "seeds": list(choice.seeds)}
    changes = _assigned(choice.set)
    return named | {"weights": ",".join(weights)} | ({"changes": changes} if changes else {})


def _assigned(entries: tuple[str, ...]) -> dict[str, Any]:
    """Return `name=value` entries by name, the values as JSON where they are."""
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise InputError(f"--set takes name=value, e.g. schedule.epochs=4, not {entry!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _check_dataset(name: str) -> None:
    if name.removeprefix("mlr-") not in DATASETS:
        raise InputError(f"there is no data set {name!r}{did_you_mean(name, DATASETS)}")


def _print_table(table: Any) -> None:
    print(f"{table.name} ({table.source.location}), digest {table.digest}")
    print(table.describe().to_string(index=False))
    for note in table.notes:
        print(f"note: {note}")
