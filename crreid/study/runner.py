"""Runs the study's notebooks: one subprocess each through papermill, checked before and after."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbconvert import HTMLExporter
from papermill.inspection import inspect_notebook

from crreid.errors import InputError
from crreid.files import write_atomically
from crreid.study.index import write_index
from crreid.study.items import StudyItem
from crreid.study.progress import progress_file
from crreid.study.session import Session, default_results_dir, open_session

__all__ = ["Outcome", "check_parameters", "notebooks_dir", "run_study"]

TIMEOUT_SECONDS = {"smoke": 600, "quick": 3600, "reduced": 6 * 3600, "paper": 7 * 24 * 3600}  # of one cell


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


def run_study(items: tuple[StudyItem, ...], parameters: dict[str, Any], *, force: bool = False) -> list[Outcome]:
    """Executes notebooks one after the other; a failure does not stop the others.

    Args:
        items: Which notebooks.
        parameters: Of all of them, plain literals; see the parameters cell of any notebook.
        force: Drop the records and weights of these items' runs first. A run that two notebooks share is trained once.

    Returns:
        One outcome an item. Executed notebooks, HTML, tables and figures lie in `results/<profile>/<dataset>`, and the
        index `results/README.md` is written anew.

    Raises:
        InputError: A parameter that a notebook does not take, before anything was started.
    """
    folder = notebooks_dir()
    for item in items:
        check_parameters(folder / f"{item.name}.ipynb", parameters)
    session = open_session("study", **parameters)
    if force:
        _forget(items, session)
    outcomes = []
    for item in items:
        started = time.monotonic()
        print(f"{item.name}: started", flush=True)
        problem = _execute(item, folder / f"{item.name}.ipynb", parameters, session)
        outcomes.append(Outcome(item=item, seconds=time.monotonic() - started, problem=problem))
        print(f"{item.name}: {problem or 'done'} after {outcomes[-1].seconds:.0f} s", flush=True)
    write_index(session.workspace.results_dir)
    return outcomes


def _forget(items: tuple[StudyItem, ...], session: Session) -> None:
    for item in items:
        for run in chain.from_iterable(session.runs(item.rows).values()):
            session.workspace.record_file(run).unlink(missing_ok=True)
            shutil.rmtree(session.workspace.folder(run), ignore_errors=True)


def _execute(item: StudyItem, notebook: Path, parameters: dict[str, Any], session: Session) -> str:
    """Runs one notebook and renders it; returns one sentence about what went wrong, or nothing."""
    session.folder.mkdir(parents=True, exist_ok=True)
    executed = session.folder / f"{item.name}.ipynb"
    before = time.time()
    packed = base64.b64encode(yaml.safe_dump(parameters).encode()).decode()
    command = [sys.executable, "-m", "papermill", str(notebook), str(executed), "--kernel", "python3"]
    command += ["--no-progress-bar", "--start-timeout", "120", "--parameters_base64", packed]
    command += ["--execution-timeout", str(TIMEOUT_SECONDS[session.profile.name])]
    status, errors = _run(command, session.folder, progress_file(session.workspace.runs_dir))
    if executed.exists():
        _render(executed, _hidden_paths(session))
    if status != 0:
        lines = [line for line in errors.splitlines() if line.strip()]
        return f"failed ({lines[-1] if lines else f'status {status}'})"
    names = item.artefacts(synthetic=session.synthetic)
    stale = [name for name in names if not _is_fresh(session.folder / name, before)]
    return f"ended without writing {', '.join(stale)}" if stale else ""


def _run(command: list[str], folder: Path, progress: Path) -> tuple[int, str]:
    """Runs a command, printing what is appended to the file `progress` meanwhile: its status and error output."""
    shown = progress.stat().st_size if progress.exists() else 0
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        while True:
            ended = process.poll() is not None
            if progress.exists():
                with progress.open(encoding="utf8") as stream:
                    stream.seek(shown)
                    print(stream.read(), end="", flush=True)
                    shown = stream.tell()
            if ended:
                break
            time.sleep(0.5)
        errors.seek(0)
        return process.returncode, errors.read()


def _is_fresh(file: Path, since: float) -> bool:
    return file.is_file() and file.stat().st_size > 0 and file.stat().st_mtime >= since - 2


def _hidden_paths(session: Session) -> dict[str, str]:
    """Paths of this machine and what stands for them in what is published."""
    workspace = session.workspace
    paths = {str(workspace.results_dir): "results", str(default_results_dir().parent): ".", str(Path.home()): "~"}
    if workspace.data_root is not None:
        paths = {str(workspace.data_root): f"<path of {session.dataset.removeprefix('mlr-')}>"} | paths
    return paths


def _render(executed: Path, hidden: dict[str, str]) -> None:
    """Takes machine paths and papermill's notes out of an executed notebook and writes it as HTML too."""
    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = f"injected-{number}"  # papermill draws it at random
    text = nbformat.writes(notebook)
    for path, shown in hidden.items():
        text = text.replace(json.dumps(path)[1:-1], json.dumps(shown)[1:-1])
    write_atomically(executed, (text.rstrip("\n") + "\n").encode())
    html, _ = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(
        nbformat.reads(text, as_version=4)
    )
    write_atomically(executed.with_suffix(".html"), html.encode())
