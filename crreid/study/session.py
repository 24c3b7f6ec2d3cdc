"""What a notebook works with: its parameters as settings and folders, its runs, and a place for its results."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from crreid.data.datasets import find_dataset, paper_name
from crreid.data.prepare import PreparedData, prepare
from crreid.errors import InputError, did_you_mean
from crreid.figures.style import png
from crreid.files import write_atomically
from crreid.models.weights import StartingWeights
from crreid.profiles import Profile, profile_settings
from crreid.records import Record
from crreid.rows import ITEMS, Rows, changed
from crreid.runs import Run, TrainedRun, Workspace, forget, trained
from crreid.settings import with_value
from crreid.study.measure import measure_all
from crreid.study.tables import shown, styled

SHOWN_PER_INCH = 104  # pixels in a notebook


@dataclass(frozen=True, kw_only=True, repr=False)
class Study:
    """One notebook at work: where its runs come from and where its tables and figures go.

    Attributes:
        item: The notebook's name, e.g. `table2_loss_ablation`; default name of its table and figure.
        dataset: E.g. `mlr-synthetic`.
        profile: Settings of all runs.
        workspace: Folders and device.
        seeds: Every row is trained once per seed.
        weights: Where backbones start.
        rows: Names of the rows to measure and show; empty for all.
        changes: Settings of every run that differ from the profile's, see `crreid.rows.changed`.
        force: Train again what is recorded, once.
        folder: Where tables and figures go: `results/<profile>/<dataset>`, or below `runs/drafts`.
    """

    item: str
    dataset: str
    profile: Profile
    workspace: Workspace
    seeds: tuple[int, ...]
    weights: StartingWeights
    rows: tuple[str, ...]
    changes: Mapping[str, Any]
    force: bool
    folder: Path
    _runs: dict[str, Run] = field(default_factory=dict)  # measured ones, by digest
    _artefacts: dict[Path, str] = field(default_factory=dict)  # title of each file

    def __repr__(self) -> str:
        """Return one line: what is studied on what."""
        seeds = ", ".join(map(str, self.seeds))
        return f"{self.item}: profile {self.profile.name}, {self.dataset}, seeds {seeds}"

    @property
    def paper_name(self) -> str | None:
        """What papers call the data set, e.g. `MLR-Market-1501`; None if no paper of the study has it."""
        return paper_name(self.dataset)

    @property
    def data_name(self) -> str:
        """What a legend calls the data set: the papers' name, or `synthetic images`."""
        return "synthetic images" if find_dataset(self.dataset).built_in else self.paper_name or self.dataset

    def data(self) -> PreparedData:
        """Return the tables and decoded images that all runs of the profile share, with the notebook's changes."""
        settings = self.profile.data
        for name in (name for name in self.changes if name.startswith("data.")):
            settings = with_value(settings, name.removeprefix("data."), self.changes[name])
        return prepare(settings, self.workspace.data_root, self.workspace.runs_dir / "pixels")

    def runs(self, rows: Rows) -> dict[str, list[Run]]:
        """Return the runs of every row, one per seed, with the notebook's choice of rows and its changes."""
        runs = self._per_row(rows, self.profile)
        return {row: [changed(run, self.changes) for run in of_row] for row, of_row in runs.items()}

    def paper(self, rows: Rows) -> dict[str, list[Run]]:
        """Return the same rows as the paper trains them, for `crreid.rows.reductions`; nothing is changed in them.

        A row that bears the name of this profile's plain network stands for the paper's row on its own.
        """
        paper = profile_settings("paper", self.dataset)
        plain, papers = (profile.plain.network.title for profile in (self.profile, paper))
        runs = replace(self, rows=())._per_row(rows, paper)  # chosen rows bear this profile's names
        return {
            row: runs[row if row in runs else row.replace(plain, papers)] for row in self._per_row(rows, self.profile)
        }

    def measure(self, runs: Mapping[str, Sequence[Run]]) -> dict[str, list[Record]]:
        """Return the records of every row's runs, one per seed; what is missing is trained and evaluated."""
        every = {run.digest: run for of_row in runs.values() for run in of_row}
        if self.force:
            forget([run for digest, run in every.items() if digest not in self._runs], self.workspace)
        self._runs.update(every)
        if self.folder.is_relative_to(self.workspace.runs_dir):
            where = "/".join(self.folder.parts[-3:])
            print(f"rows or settings were chosen: tables and figures are drafts, below runs in {where}")
        work = measure_all(every.values(), self.workspace)
        for error in work.failed.values():
            raise error
        return {row: [work.records[run.digest] for run in of_row] for row, of_row in runs.items()}

    def trained(self, run: Run) -> TrainedRun:
        """Return the trained network of a run: its weights where this machine has them, else trained now."""
        return trained(run, self.workspace)

    def run_of(self, record: Record) -> Run:
        """Return the run behind a record that `measure` returned."""
        return self._runs[record.digest]

    def table(
        self, table: pd.DataFrame, name: str = "", title: str = "", *, digits: int | Mapping[str, int] = 1
    ) -> Artefact:
        """Save a table as CSV, as it is shown, and return its display.

        Args:
            table: An index that has a name is shown, one that only counts is not.
            name: Of the file, without suffix; the item's name by default.
            title: Its caption; the item's title by default.
            digits: Decimals of floats, or of some columns (the others have one).
        """
        texts = shown(table, digits)
        file, title = self._register(f"{name or self.item}.csv", title, self.folder)
        write_atomically(file, texts.to_csv(index=False).encode())
        data = {"text/html": styled(texts).to_html(), "text/plain": texts.to_string(index=False)}
        return Artefact(data, {"crreid": {"file": file.name, "title": title}})

    def figure(self, figure: Figure, name: str = "", title: str = "", *, shows_people: bool = False) -> Artefact:
        """Save a figure as PNG and return its display: the file that was written.

        A figure with images of a data set that may not be shown goes below `runs/private` and is not displayed.

        Args:
            figure: It is closed.
            name: Of the file, without suffix; the item's name by default.
            title: Its caption and alternative text; the item's title by default.
            shows_people: Whether it shows images of the data set.
        """
        hidden = shows_people and not find_dataset(self.dataset).built_in
        private = self.workspace.runs_dir / "private" / self.profile.name / self.dataset
        file, title = self._register(f"{name or self.item}.png", title, private if hidden else self.folder)
        write_atomically(file, png(figure))
        width = round(figure.get_figwidth() * SHOWN_PER_INCH)
        plt.close(figure)  # else the notebook shows it a second time
        if hidden:
            text = f"Images of {self.dataset} may not be published: {file.name} lies below runs/private only."
            return Artefact({"text/markdown": f"*{text}*", "text/plain": text}, {})
        metadata = {"crreid": {"file": file.name, "title": title}, "image/png": {"width": width}}
        return Artefact({"image/png": file.read_bytes(), "text/plain": title}, metadata)

    def check(self) -> pd.DataFrame:
        """Return the files written with their titles; the last cell of every notebook."""
        tables = [file for file in self._artefacts if file.suffix == ".csv"]
        assert tables, f"{self.item} wrote no table"
        for file in self._artefacts:
            assert file.is_file(), f"{file.name} is missing"
            assert file.stat().st_size, f"{file.name} is empty"
        for file in tables:
            numbers = file.read_text(encoding="utf8").partition("\n")[2]
            empty = not numbers  # of one row there are no differences
            assert empty or any(character.isdigit() for character in numbers), f"{file.name} holds no number"
        return pd.DataFrame({"file": [file.name for file in self._artefacts], "title": list(self._artefacts.values())})

    def _per_row(self, rows: Rows, profile: Profile) -> dict[str, list[Run]]:
        per_seed = [rows(replace(profile, seed=seed, weights=self.weights)) for seed in self.seeds]
        for row in self.rows:
            if row not in per_seed[0]:
                raise InputError(f"{self.item} has no row {row!r}{did_you_mean(row, per_seed[0])}")
        chosen = [row for row in per_seed[0] if not self.rows or row in self.rows]
        return {row: [of_seed[row] for of_seed in per_seed] for row in chosen}

    def _register(self, name: str, title: str, folder: Path) -> tuple[Path, str]:
        if not title:
            stem = name.rpartition(".")[0]
            title = ITEMS[stem].title if stem in ITEMS else stem.replace("_", " ")
        self._artefacts[folder / name] = title
        return folder / name, title


class Artefact:
    """A table or figure as a notebook displays it; the metadata of its output say which file holds it."""

    def __init__(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Keep the representations by media type, and the metadata."""
        self.data, self.metadata = data, metadata

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.data, self.metadata


def open_study(
    item: str,
    *,
    profile: str = "quick",
    dataset: str = "mlr-synthetic",
    data_root: str = "",
    seeds: Sequence[int] | str | int = (),
    weights: str = "random",
    rows: Sequence[str] | str = (),
    changes: Mapping[str, Any] | str = {},
    force: bool | str = False,
) -> Study:
    """Turn a notebook's parameters into a study.

    The environment names what belongs to the machine: CRREID_DEVICE (`auto`, `cpu`, `cuda`) and CRREID_RESULTS (a
    folder; the checkout's `results` by default). Parameters that papermill passes as text are read by their type.

    Args:
        item: The notebook's name.
        profile: Name of a profile, e.g. `quick`; see `crreid.profiles`.
        dataset: Name of a data set, with `mlr-` before it for its cross-resolution build.
        data_root: Folder or file of the data set; empty for built-in data.
        seeds: Seeds of the trainings of every row; empty for 0.
        weights: `random`, `timm`, a local file of backbone weights, or `resnet50=FILE`: see `StartingWeights.parse`.
        rows: Rows to measure and show; empty for all.
        changes: Settings to change in every run, e.g. `{"method.restoration_weight": 1.0, "schedule.epochs": 4}`.
        force: Train again what is recorded.

    Example:
        >>> study = open_study("table2_loss_ablation", profile="smoke")
        >>> records = study.measure(study.runs(loss_ablation_rows))
    """
    for name, text in {"profile": profile, "dataset": dataset, "data_root": data_root, "weights": weights}.items():
        if not isinstance(text, str):
            raise InputError(f"{name} must be text, not {text!r}")
    numbers = _read("seeds", seeds or [0], _are_seeds, "whole numbers of at least 0, e.g. [0, 1, 2]")
    names = [rows] if isinstance(rows, str) and not rows.startswith("[") else rows
    names = _read("rows", names, _are_texts, "a list of names, e.g. ['PS-HRNet']")
    only = tuple(name for name in names if name)
    different = _read("changes", changes or {}, _is_mapping, "settings and values, e.g. {'schedule.epochs': 4}")
    settings = profile_settings(profile, dataset)
    root = Path(data_root).expanduser().resolve() if data_root else None
    if settings.data.dataset == "own":  # one name for everybody's data: the table's digest tells them apart
        version = find_dataset("own").read(root).digest
        settings = replace(settings, data=replace(settings.data, version=version))
    given = os.environ.get("CRREID_RESULTS", "")
    results = Path(given).expanduser().resolve() if given else default_results_dir()
    runs = results / "runs" if given else results.parent / "runs"
    folder = results / profile / dataset
    if different or (only and _holds_more(folder / f"{item}.ipynb", only)):
        folder = runs / "drafts" / profile / dataset
    start = StartingWeights.parse(weights)
    workspace = Workspace(
        results_dir=results,
        runs_dir=runs,
        data_root=root,
        device=os.environ.get("CRREID_DEVICE", "auto"),
        weights_files=start.files,
        report=_say_nothing,
    )
    return Study(
        item=item,
        dataset=dataset,
        profile=settings,
        workspace=workspace,
        seeds=tuple([numbers] if isinstance(numbers, int) else numbers) or (0,),
        weights=start,
        rows=only,
        changes=different,
        force=_read("force", force, lambda value: isinstance(value, bool), "true or false"),
        folder=folder,
    )


def default_results_dir() -> Path:
    """Return `results` of the checkout that holds this package, else of the working directory."""
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "notebooks").is_dir() else Path.cwd()) / "results"


def _read(name: str, given: Any, is_right: Callable[[Any], bool], expected: str) -> Any:
    """Return a parameter, read by its type where papermill passed it as text: `false`, `[0, 1]`, `{"a.b": 4}`."""
    value = given
    for read in (json.loads, ast.literal_eval) if isinstance(given, str) else ():
        with suppress(ValueError, SyntaxError):
            value = read(given)
            break
    with suppress(TypeError):
        if is_right(value):
            return value
    raise InputError(f"{name} must be {expected}, not {given!r}")


def _are_texts(value: Any) -> bool:
    return all(isinstance(text, str) for text in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and _are_texts(value)


def _are_seeds(value: Any) -> bool:
    return all(type(seed) is int and 0 <= seed < 2**63 for seed in ([value] if isinstance(value, int) else value))


def _holds_more(published: Path, rows: Sequence[str]) -> bool:
    """Whether a notebook was published with rows that are not among these."""
    try:
        metadata = json.loads(published.read_text(encoding="utf8"))["metadata"]
        before = metadata["crreid"]["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return published.exists()
    return not before or not set(before) <= set(rows)


def _say_nothing(line: str) -> None:
    """Take a line of a training's progress: notebooks show one bar instead."""
