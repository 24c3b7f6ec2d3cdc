"""Run the study's notebooks: what they need is measured first, then each is executed in a process and published."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

from crreid.errors import InputError, did_you_mean, without_interrupts
from crreid.files import write_atomically
from crreid.rows import ITEMS
from crreid.runs import Run, forget
from crreid.study.execute import begin, execute
from crreid.study.measure import Durations, Work, measure_all
from crreid.study.pages import write_pages
from crreid.study.session import Study, default_results_dir, open_study


def notebooks_dir() -> Path:
    """Return `notebooks` of the checkout. Raises InputError where the package was installed without one."""
    folder = default_results_dir().parent / "notebooks"
    if not folder.is_dir():
        raise InputError("the notebooks are part of the git checkout; run this in one, or after an editable install")
    return folder


def studies(names: Sequence[str], rows: Sequence[str], **parameters: Any) -> list[Study]:
    """Return the study of each item (all without names), with those of the rows that it has; if none, it is left out.

    Raises InputError where no item has a name, or none of them a row.
    """
    for name in names:
        if name not in ITEMS:
            raise InputError(f"there is no table {name!r}{did_you_mean(name, ITEMS)}")
    whole = [open_study(name, **parameters) for name in names or ITEMS]
    there = {study.item: list(study.runs(ITEMS[study.item].rows)) for study in whole}
    every = list(dict.fromkeys(row for of_item in there.values() for row in of_item))
    for row in rows:
        if row not in every:
            raise InputError(f"there is no row {row!r}{did_you_mean(row, every)}")
    if not rows:
        return whole
    chosen = {item: [row for row in rows if row in of_item] for item, of_item in there.items()}
    return [open_study(item, rows=mine, **parameters) for item, mine in chosen.items() if mine]


def named_runs(opened: Iterable[Study]) -> list[tuple[str, str, Run]]:
    """Return (item, row, run) of every row and seed, in the order of the items."""
    return [
        (study.item, row, run)
        for study in opened
        for row, of_row in study.runs(ITEMS[study.item].rows).items()
        for run in of_row
    ]


def listing(opened: Sequence[Study]) -> str:
    """Return which runs are recorded, which are missing, and how long each took or may take; nothing is run."""
    durations, lines, item = Durations(opened[0].workspace), [], ""
    named = named_runs(opened)
    missing: dict[str, Run] = {}
    for name, row, run in named:
        if name != item:
            item = name
            lines.append(f"\n{item}: {ITEMS[item].title}")
        is_recorded = opened[0].workspace.record_file(run).exists()
        seconds = durations.recorded(run.digest) if is_recorded else durations.seconds(run)
        if not is_recorded:
            missing[run.digest] = run
        took = "" if seconds is None else f", {'' if is_recorded else 'about '}{seconds / 60:.1f} min"
        lines.append(f"  {row:32s} seed {run.seed}  {run.digest}  {'recorded' if is_recorded else 'missing'}{took}")
    count, left = len({run.digest for _, _, run in named}), time_left(durations.total(missing.values(), 1))
    lines.append(f"\n{count} runs, {count - len(missing)} recorded, {len(missing)} missing{left if missing else ''}")
    return "\n".join(lines).lstrip()


def run_study(
    opened: Sequence[Study], parameters: Mapping[str, Any], *, jobs: int = 1
) -> tuple[Work, dict[str, str], list[str]]:
    """Measure what is missing, execute the notebooks, publish them; a failure does not stop the others.

    Args:
        opened: What `studies` returned.
        parameters: Of all notebooks, plain literals; rows are those of each study.
        jobs: Notebooks at a time.

    Returns:
        What was measured, the problem of each notebook (empty where there is none), and what the pages left out.

    Raises:
        InputError: A parameter that a notebook does not have, or data that cannot be read; before anything is started.
    """
    given = {study.item: {**parameters, **({"rows": list(study.rows)} if study.rows else {})} for study in opened}
    for item, mine in given.items():
        _check_parameters(item, mine)
    workspace, runs = opened[0].workspace, [run for _, _, run in named_runs(opened)]
    if opened[0].force:
        forget(runs, workspace)
    log = workspace.runs_dir / "notebooks.json"
    seconds: dict[str, float] = {}
    with suppress(OSError, ValueError):
        seconds.update(json.loads(log.read_text(encoding="utf8")))

    def report(what: str, more: float | None = 0.0) -> None:
        known = [seconds.get(_key(study)) for study in opened if study.item not in problems]
        is_known = more is not None and None not in known
        left = time_left((more or 0.0) + sum(each or 0.0 for each in known) / jobs if is_known else None)
        print(f"{what}; {len(problems)} of {len(opened)} notebooks{left}", flush=True)

    problems: dict[str, str] = {}
    work = measure_all(runs, workspace, tell=lambda run, result, ahead, more: report(f"{ahead} runs to come", more))
    context = multiprocessing.get_context("spawn")
    workspace.runs_dir.mkdir(parents=True, exist_ok=True)
    first = (os.getpid(), workspace.runs_dir / "kernels.log")
    pool = ProcessPoolExecutor(jobs, context, initializer=begin, initargs=first)
    futures = {}
    for study in opened:
        name = f"{study.item}.ipynb"
        failed, source = workspace.runs_dir / "failed" / name, notebooks_dir() / name
        wanted = given[study.item], study.folder / name, failed, _machine_paths(study)
        with without_interrupts():
            futures[pool.submit(execute, source, *wanted)] = study
    try:
        for future in as_completed(futures):
            study, error = futures[future], future.exception()
            took, problem = future.result() if error is None else (0.0, f"{type(error).__name__}: {error}")
            problems[study.item] = problem
            if not problem:
                seconds[_key(study)] = took
            report(f"{study.item}: {problem or 'done'} after {took:.0f} s")
    finally:
        for process in multiprocessing.active_children():  # their kernels end with them
            process.terminate()
    write_atomically(log, json.dumps(seconds).encode())
    return work, problems, write_pages(workspace.results_dir)


def time_left(seconds: float | None) -> str:
    """Return `, 8 min left`, or nothing where nothing is known."""
    if seconds is None:
        return ""
    return f", {seconds / 60:.0f} min left" if seconds < 2 * 3600 else f", {seconds / 3600:.1f} h left"


def _check_parameters(item: str, parameters: Iterable[str]) -> None:
    """Refuse parameters that a notebook does not have; papermill would only warn and ignore them."""
    from papermill.inspection import inspect_notebook

    known = inspect_notebook(str(notebooks_dir() / f"{item}.ipynb"))
    for name in parameters:
        if name not in known:
            raise InputError(f"{item}.ipynb has no parameter {name!r}{did_you_mean(name, known)}")


def _key(study: Study) -> str:
    return f"{study.profile.name}/{study.dataset}/{study.item}"


def _machine_paths(study: Study) -> dict[str, str]:
    """Return paths of this machine and what stands for them in what is published."""
    workspace = study.workspace
    paths = {str(file): file.name for _, file in workspace.weights_files}
    if workspace.data_root is not None:
        paths[str(workspace.data_root)] = f"<path of {study.dataset.removeprefix('mlr-')}>"
    return paths | {str(workspace.results_dir): "results", str(notebooks_dir().parent): ".", str(Path.home()): "~"}
