"""Runs the study's notebooks: one subprocess each through papermill, checked before and after."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from papermill.inspection import inspect_notebook

from crreid.errors import InputError
from crreid.runs import Run, missing_trainings, with_teachers
from crreid.study.executed import render_executed
from crreid.study.index import write_index
from crreid.study.items import StudyItem
from crreid.study.parallel import in_turn
from crreid.study.plan import NamedRun, named_runs
from crreid.study.progress import ProgressTail, progress_file
from crreid.study.session import Session, default_results_dir, open_session
from crreid.study.site import write_site

__all__ = ["Outcome", "StudySummary", "check_parameters", "notebooks_dir", "run_study"]

TIMEOUT_SECONDS = {"smoke": 600, "quick": 3600, "reduced": 6 * 3600, "paper": 7 * 24 * 3600}  # of one cell
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one notebook.

    Attributes:
        item: Which.
        seconds: It took.
        problem: One sentence, empty when all went well.
    """

    item: StudyItem
    seconds: float
    problem: str


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """What a study did.

    Attributes:
        outcomes: One an item, in the order of the study.
        named: How many runs the items' rows name, one a row and seed.
        distinct: How many different runs that is.
        trained: How many trainings there were, those of teachers too.
    """

    outcomes: list[Outcome]
    named: int
    distinct: int
    trained: int

    def __str__(self) -> str:
        """One line."""
        return f"the tables name {self.named} runs, {self.distinct} of them distinct; trained now: {self.trained}"


def notebooks_dir() -> Path:
    """`notebooks/` of the checkout. Raises InputError where the package was installed without one."""
    folder = default_results_dir().parent / "notebooks"
    if not folder.is_dir():
        raise InputError("the notebooks are part of the git checkout; run this in one, or after an editable install")
    return folder


def check_parameters(notebook: Path, parameters: dict[str, Any]) -> None:
    """Refuses parameters that a notebook does not have; papermill would only warn and ignore them.

    Raises:
        InputError: Names the parameter and lists those that the notebook takes.
    """
    known = inspect_notebook(str(notebook))
    for name in parameters:
        if name not in known:
            raise InputError(f"{notebook.name} has no parameter {name!r}; it takes {', '.join(known)}")


def run_study(
    items: tuple[StudyItem, ...], parameters: dict[str, Any], *, force: bool = False, jobs: int = 1
) -> StudySummary:
    """Executes notebooks; a failure does not stop the others. A run that two of them share is trained once.

    Args:
        items: Which notebooks.
        parameters: Of all of them, plain literals; see the parameters cell of any notebook.
        force: Drop the records and weights of these items' runs, and of their teachers, first.
        jobs: Notebooks at a time, if there are so many. More than one share the processor's cores evenly, and the last
            bits of a training on a processor depend on the number of its threads; a record says how many there were.

    Returns:
        The outcomes and counts. Executed notebooks, HTML, tables and figures lie in `results/<profile>/<dataset>`; the
        index `results/README.md` and the site `results/index.html` are written anew.

    Raises:
        InputError: A parameter or row that a notebook does not have, fewer than one job, or with `force` a run that
            another process is training; all before anything was started.
    """
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, not {jobs}")
    folder = notebooks_dir()
    for item in items:
        check_parameters(folder / f"{item.name}.ipynb", parameters)
    of_session = {name: value for name, value in parameters.items() if name != "rows"}
    session = open_session("study", **of_session)
    named = named_runs(items, session, parameters.get("rows", ()))
    trainings = with_teachers([entry.run for entry in named])
    if force:
        _forget(trainings, session)
    before = _trained_at(trainings, session)
    outcomes = _execute_all(items, folder, parameters, session, named, min(jobs, len(items)))
    write_index(session.workspace.results_dir)
    write_site(session.workspace.results_dir)
    after = _trained_at(trainings, session)
    return StudySummary(
        outcomes=outcomes,
        named=len(named),
        distinct=len({entry.run.digest for entry in named}),
        trained=sum(after[digest] is not None and after[digest] != before[digest] for digest in after),
    )


def _forget(runs: list[Run], session: Session) -> None:
    """Deletes records and weights; refuses all of it while another process trains one of the runs."""
    workspace = session.workspace
    with ExitStack() as locks:
        for digest in {run.training_digest for run in runs}:
            workspace.runs_dir.mkdir(parents=True, exist_ok=True)
            try:
                locks.enter_context(FileLock(f"{workspace.runs_dir / digest}.lock").acquire(timeout=0))
            except Timeout as error:
                raise InputError(
                    f"another process is training run {digest}; wait for it, or leave force out"
                ) from error
        for run in runs:
            workspace.record_file(run).unlink(missing_ok=True)
            shutil.rmtree(workspace.folder(run), ignore_errors=True)


def _trained_at(runs: list[Run], session: Session) -> dict[str, int | None]:
    """When the weights of each training were written, None where there are none."""
    times: dict[str, int | None] = {}
    for run in runs:
        file = session.workspace.weights_file(run)
        times[run.training_digest] = file.stat().st_mtime_ns if file.exists() else None
    return times


def _execute_all(
    items: tuple[StudyItem, ...],
    folder: Path,
    parameters: dict[str, Any],
    session: Session,
    named: list[NamedRun],
    jobs: int,
) -> list[Outcome]:
    """Runs the notebooks, `jobs` at a time, printing what they report: outcomes in the order of the items."""
    progress = ProgressTail(progress_file(session.workspace.runs_dir))
    environment = _environment(jobs)

    def start(item: StudyItem) -> Future[Outcome]:
        print(f"{item.name}: started", flush=True)
        return pool.submit(_execute, item, folder / f"{item.name}.ipynb", parameters, session, environment)

    def needed(item: StudyItem) -> set[str]:
        return _needed([entry.run for entry in named if entry.item == item], session)

    def report() -> None:
        for line in progress.lines():
            print(line, flush=True)

    done = {}
    with ThreadPoolExecutor(jobs) as pool:
        for item, future in in_turn(items, start, needed, at_once=jobs, meanwhile=report):
            outcome = done[item.name] = future.result()
            print(f"{item.name}: {outcome.problem or 'done'} after {outcome.seconds:.0f} s", flush=True)
    return [done[item.name] for item in items]


def _needed(runs: list[Run], session: Session) -> set[str]:
    """What is still to train: of the runs without a record, and their teachers, those without weights."""
    workspace = session.workspace
    untested = [run for run in runs if not workspace.record_file(run).exists()]
    return {each.training_digest for run in untested for each in missing_trainings(run, workspace)}


def _environment(jobs: int) -> dict[str, str]:
    """This process's environment; for several notebooks at a time with a share of the cores for each."""
    environment = dict(os.environ)
    if jobs > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        for variable in THREAD_VARIABLES:
            environment[variable] = str(max(1, cores // jobs))
    return environment


def _execute(
    item: StudyItem, notebook: Path, parameters: dict[str, Any], session: Session, environment: dict[str, str]
) -> Outcome:
    """Runs one notebook and renders it; whatever goes wrong is part of the outcome."""
    started = time.monotonic()
    try:
        problem = _problem_of(item, notebook, parameters, session, environment)
    except Exception as error:  # of the rendering: the other notebooks go on
        problem = f"could not be rendered ({type(error).__name__}: {error})"
    return Outcome(item=item, seconds=time.monotonic() - started, problem=problem)


def _problem_of(
    item: StudyItem, notebook: Path, parameters: dict[str, Any], session: Session, environment: dict[str, str]
) -> str:
    """Runs one notebook and renders it; returns one sentence about what went wrong, or nothing."""
    session.folder.mkdir(parents=True, exist_ok=True)
    executed = session.folder / f"{item.name}.ipynb"
    before = time.time()
    packed = base64.b64encode(yaml.safe_dump(parameters).encode()).decode()
    command = [sys.executable, "-m", "papermill", str(notebook), str(executed), "--kernel", "python3"]
    command += ["--no-progress-bar", "--start-timeout", "120", "--parameters_base64", packed]
    command += ["--execution-timeout", str(TIMEOUT_SECONDS[session.profile.name])]
    with tempfile.TemporaryFile("w+") as stream:
        status = subprocess.run(
            command, cwd=session.folder, env=environment, stdout=subprocess.DEVNULL, stderr=stream
        ).returncode
        stream.seek(0)
        lines = [line for line in stream.read().splitlines() if line.strip()]
    if executed.exists():
        render_executed(executed, _hidden_paths(session))
    if status != 0:
        return f"failed ({lines[-1] if lines else f'status {status}'})"
    names = item.artefacts(synthetic=session.synthetic)
    stale = [name for name in names if not _is_fresh(session.folder / name, before)]
    return f"ended without writing {', '.join(stale)}" if stale else ""


def _is_fresh(file: Path, since: float) -> bool:
    return file.is_file() and file.stat().st_size > 0 and file.stat().st_mtime >= since - 2


def _hidden_paths(session: Session) -> dict[str, str]:
    """Paths of this machine and what stands for them in what is published."""
    workspace = session.workspace
    paths = {str(workspace.results_dir): "results", str(default_results_dir().parent): ".", str(Path.home()): "~"}
    if workspace.data_root is not None:
        paths = {str(workspace.data_root): f"<path of {session.dataset.removeprefix('mlr-')}>"} | paths
    return {str(file): file.name for file in workspace.weights_files} | paths
