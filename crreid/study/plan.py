"""What a study would cost: which of its runs are on record, and how long the others will take on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any

import torch

from crreid.data.prepare import DataSettings, load_table
from crreid.data.sampler import IdentitySampler
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.provenance import device_name
from crreid.runs import Run, missing_trainings
from crreid.study.items import StudyItem
from crreid.study.session import Session
from crreid.study.speed import Speed, measured_speed

__all__ = ["Cost", "NamedRun", "StudyPlan", "named_runs", "plan_study"]


@dataclass(frozen=True, kw_only=True)
class NamedRun:
    """A run under the name that a table gives it.

    Attributes:
        item: Which notebook asks for it.
        row: Its name there.
        run: The run.
    """

    item: StudyItem
    row: str
    run: Run


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run without a record costs; its teacher's training is counted by itself.

    Attributes:
        training: Seconds; 0 where the weights are on this machine.
        evaluation: Seconds; 0 for a teacher that no table asks for.
        basis: Where the estimate comes from.
    """

    training: float
    evaluation: float
    basis: str


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """The runs of a study.

    Attributes:
        session: Profile, data set and folders.
        named: Every row and seed of every item.
        missing: Cost of each distinct run without a record, by digest; None where it cannot be estimated.
        teachers: Runs that missing ones need trained and no row lists as missing, by training digest: cost as above.
        device: This machine's, as records name it.
    """

    session: Session
    named: list[NamedRun]
    missing: dict[str, Cost | None]
    teachers: dict[str, tuple[Run, Cost | None]]
    device: str

    def report(self) -> str:
        """The plan as text: a line a row, then the sums."""
        lines = [f"on this machine ({self.device}, {torch.get_num_threads()} threads):"]
        width = max((len(entry.row) for entry in self.named), default=0)
        first: dict[str, str] = {}  # notebook that a run is counted at
        for item, entries in groupby(self.named, key=lambda entry: entry.item):
            lines.append(f"\n{item.name}: {item.paper}")
            for entry in entries:
                digest = entry.run.digest
                state = "on record"
                if digest in self.missing:
                    counted = first.setdefault(digest, item.name)
                    again = f"missing   counted at {counted}"
                    state = _phrase(self.missing[digest]) if counted == item.name else again
                lines.append(f"  {entry.row:{width}s} seed {entry.run.seed}  {digest}  {state}")
        if self.teachers:
            lines.append("\nteachers that those runs need and no row above trains")
            for run, cost in self.teachers.values():
                lines.append(f"  {run.method.title:{width}s} seed {run.seed}  {run.digest}  {_phrase(cost)}")
        return "\n".join([*lines, "", *self._sums()])

    def _sums(self) -> list[str]:
        distinct = {entry.run.digest for entry in self.named}
        costs = [*self.missing.values(), *(cost for _, cost in self.teachers.values())]
        known = [cost.training + cost.evaluation for cost in costs if cost is not None]
        lines = [
            f"the tables name {len(self.named)} runs, {len(distinct)} of them distinct; "
            f"{len(distinct) - len(self.missing)} are on record, {len(self.missing)} are missing",
            f"what is missing takes about {_minutes(sum(known))}, one run after the other"
            + (f"; {len(costs) - len(known)} more could not be estimated" if len(known) < len(costs) else ""),
        ]
        pictures = [
            entry.item.name
            for entry in self.named
            if entry.item.pictures
            and entry.run.digest not in self.missing
            and not self.session.workspace.weights_file(entry.run).exists()
        ]
        if pictures:
            names = ", ".join(dict.fromkeys(pictures))
            lines.append(f"not counted: {names} may train again what is on record: pictures need weights, not here")
        return lines


def named_runs(items: Iterable[StudyItem], session: Session, rows: Sequence[str] = ()) -> list[NamedRun]:
    """Every row and seed of the items, in their order; of some rows alone where those are named.

    Raises:
        InputError: No item has a row of a name.
    """
    named = [
        NamedRun(item=item, row=row, run=run)
        for item in items
        for row, of_row in session.runs(item.rows).items()
        for run in of_row
    ]
    there = list(dict.fromkeys(entry.row for entry in named))
    for row in rows:
        if row not in there:
            raise InputError(f"no row {row!r}; expected some of {', '.join(there)}")
    return [entry for entry in named if entry.row in rows or not rows]


def plan_study(items: Iterable[StudyItem], session: Session, rows: Sequence[str] = ()) -> StudyPlan:
    """Which runs are on record, and what the missing ones will cost.

    Seconds come from records of the same training on the same device with another seed or at another length; where
    there are none, from a few steps of the method on random images (`crreid.study.speed`).

    Args:
        items: Which notebooks.
        session: Profile, data set, seeds.
        rows: Names of rows; none for all.

    Raises:
        InputError: No notebook has a row of a name.
    """
    named = named_runs(items, session, rows)
    workspace = session.workspace
    missing = {run.digest: run for run in (entry.run for entry in named) if not workspace.record_file(run).exists()}
    device = device_name(workspace.torch_device())
    estimator = _Estimator(session, device)
    trained = set[str]()  # by training digest: counted already, or at hand
    costs: dict[str, Cost | None] = {}
    for run in missing.values():
        costs[run.digest] = estimator.cost(run, train=run.training_digest not in trained)
        trained.add(run.training_digest)
    teachers: dict[str, tuple[Run, Cost | None]] = {}
    for run in missing.values():
        for teacher in missing_trainings(run, workspace):
            if teacher.training_digest not in trained:  # as the run itself is
                trained.add(teacher.training_digest)
                teachers[teacher.training_digest] = (teacher, estimator.cost(teacher, test=False))
    return StudyPlan(session=session, named=named, missing=costs, teachers=teachers, device=device)


class _Estimator:
    """Seconds of a run, from records and else from measured steps."""

    def __init__(self, session: Session, device: str) -> None:
        self._session = session
        self._workspace = session.workspace
        self._seconds = _seconds_on_record(session, device)
        self._speeds: dict[str, Speed] = {}
        self._tables: dict[DataSettings, ImageTable | None] = {}

    def at_hand(self, run: Run) -> bool:
        """Whether this machine has the weights."""
        return self._workspace.weights_file(run).exists()

    def cost(self, run: Run, *, train: bool = True, test: bool = True) -> Cost | None:
        """The cost of training and testing, as far as asked for; None where the data are not there to count."""
        epochs = 0 if not train or self.at_hand(run) else run.schedule.epochs - self._epochs_done(run)
        on_record = self._seconds.get(_speed_key(run.describe()))
        if on_record:
            training, test_seconds = (median(values) for values in zip(*on_record, strict=True))
            evaluation = test_seconds * _tests(run.describe())
            basis = f"from {len(on_record)} record{'s' * (len(on_record) > 1)} of the same method"
        else:
            table = self._table(run.data)
            if table is None:
                return None
            speed = self._speed(run)
            schedule, evaluation = run.schedule, speed.seconds_per_image * _images(run, table)
            labels = table.rows.loc[table.rows["role"] == "train", "identity"].tolist()
            sampler = IdentitySampler(labels, schedule.identities_per_batch, schedule.images_per_identity, seed=0)
            pairs = len(sampler) * schedule.identities_per_batch * schedule.images_per_identity
            training, basis = pairs * speed.seconds_per_pair, speed.basis
        if self.at_hand(run):
            basis += "; weights at hand"
        return Cost(training=epochs * training, evaluation=evaluation if test else 0.0, basis=basis)

    def _epochs_done(self, run: Run) -> int:
        """Epochs in the log of a training that was interrupted."""
        folder = self._workspace.folder(run)
        log = folder / "epochs.csv"
        if not (folder / "checkpoint.pt").exists() or not log.exists():
            return 0
        return min(run.schedule.epochs, len(log.read_text().splitlines()) - 1)

    def _speed(self, run: Run) -> Speed:
        key = json.dumps(_architecture(run.describe()), sort_keys=True)
        if key not in self._speeds:
            self._workspace.report(f"measuring {run.method.title}, which no record of this device times")
            self._speeds[key] = measured_speed(run, self._workspace.torch_device())
        return self._speeds[key]

    def _table(self, settings: DataSettings) -> ImageTable | None:
        if settings not in self._tables:
            try:
                self._tables[settings] = load_table(settings, self._workspace.data_root)
            except InputError:
                self._tables[settings] = None
        return self._tables[settings]


def _seconds_on_record(session: Session, device: str) -> dict[str, list[tuple[float, float]]]:
    """(seconds of an epoch, seconds of one test) of the records of this device, by what decides them."""
    found: dict[str, list[tuple[float, float]]] = {}
    for file in sorted((session.workspace.results_dir / "records").glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf8"))
            origin, epochs = record["provenance"], len(record["measured"]["epochs"])
            if origin["device"] != device or origin.get("threads") != torch.get_num_threads() or epochs == 0:
                continue
            times = origin["training_seconds"] / epochs, origin["evaluation_seconds"] / _tests(record["run"])
            found.setdefault(_speed_key(record["run"]), []).append(times)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: not a record of crreid ({error}); delete it to measure the run again") from error
    return found


def _speed_key(run: dict[str, Any]) -> str:
    """What decides how long an epoch and one test of a described run take on one machine."""
    key = _architecture(run)
    data = dict(run["data"])
    if data["mlr"] is not None:
        data["mlr"] = data["mlr"] | {"degradation": None, "seed": None}
    return json.dumps([key, data, run["evaluation"]["flip"]], sort_keys=True)


def _tests(run: dict[str, Any]) -> int:
    """How many tests a described run takes, those of restored images too."""
    evaluation = run["evaluation"]
    return 1 + len(evaluation["query_rates"]) + len(evaluation.get("restoration_rates", ()))


def _architecture(run: dict[str, Any]) -> dict[str, Any]:
    """The part of a described run that decides what a step computes: no rates, and of weights only whether they are 0.

    Nested settings (networks, modules) count whole; which members or layers a loss takes hardly matters.
    """
    method = {}
    for name, value in run["method"].items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            method[name] = value > 0
        else:
            method[name] = bool(value) if isinstance(value, list) else value
    schedule = {name: run["schedule"][name] for name in ("identities_per_batch", "images_per_identity", "precision")}
    return {"method": method, "size": run["size"], **schedule, "guided": run["teacher"] is not None}


def _images(run: Run, table: ImageTable) -> int:
    """How many images a test embeds: the gallery once, the queries once a test."""
    queries, gallery = len(table.with_role("query")), len(table.with_role("gallery", "distractor"))
    return queries * _tests(run.describe()) + gallery


def _phrase(cost: Cost | None) -> str:
    if cost is None:
        return "missing   unknown: the data are not here (--data-root)"
    return f"missing   {_minutes(cost.training + cost.evaluation)} ({cost.basis})"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"
