"""A run says everything that a number depends on; its record says what came out and where.

A run that exists as a record is not trained again unless asked. Records are small and committed
(`results/records/<digest>.json`); weights, checkpoints and logs lie under `runs/<training digest>/` and are not. Beside
the weights `training.json` says who trained them, so that a later test of the same weights does not claim it did.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from crreid.data.augmentation import Augmentation
from crreid.data.pairs import PairDataset
from crreid.data.prepare import DataSettings, PreparedData, prepare
from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings, evaluate
from crreid.evaluation.restoration import restoration_quality
from crreid.files import write_atomically
from crreid.methods.method import Method, MethodSettings
from crreid.models.weights import (
    digest_of_file,
    fill_module,
    load_timm_backbone,
    read_weights,
    save_weights,
)
from crreid.provenance import TrainingLog, provenance, time_stamp
from crreid.training.loop import train
from crreid.training.schedule import Schedule

__all__ = ["Record", "Run", "TrainedRun", "Workspace", "find_record", "measure", "trained"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training and its test. The defaults are the paper's size and schedule.

    Attributes:
        data: Which images.
        method: Settings of the method; they build it.
        schedule: Epochs, batches, learning rate.
        evaluation: How it is tested.
        size: (height, width) of the network's input in pixels.
        augmentation: Of training pairs.
        weights: Where the backbone starts: `random`, `timm` (ImageNet weights by the architecture's name), or
            `file <sha256>` for a local file.
        teacher: The run whose network guides this one.
        seed: Of weights, batches, augmentation and dropout.
    """

    data: DataSettings
    method: MethodSettings
    schedule: Schedule = field(default_factory=Schedule)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    size: tuple[int, int] = (256, 128)
    augmentation: Augmentation = field(default_factory=Augmentation)
    weights: str = "random"
    teacher: Run | None = None
    seed: int = 0

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the run."""
        return _digest(self)

    @property
    def training_digest(self) -> str:
        """The same without the test: runs that differ only in how they are tested share their weights."""
        return _digest(self._untested())

    def _untested(self) -> Run:
        """The run and its teacher with the default test."""
        teacher = None if self.teacher is None else self.teacher._untested()
        return replace(self, evaluation=EvaluationSettings(), teacher=teacher)

    def describe(self) -> dict[str, Any]:
        """Every setting as plain JSON."""
        described: dict[str, Any] = _plain(self, everything=True)
        return described


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What belongs to this machine and changes no number.

    Attributes:
        data_root: Folder or file of the data set; None for built-in data.
        results_dir: Holds `records/`.
        runs_dir: Holds weights, checkpoints, logs and the cache of decoded images.
        device: `auto` takes a GPU where there is one.
        weights_files: Local files that `Run.weights = "file <sha256>"` may mean.
        workers: Loader processes.
        force: Train again the runs that are measured, though on record; their teachers are kept where they are trained,
            so that the students of one teacher share it. Drop its folder to train a teacher again.
        report: Takes lines of progress.
    """

    results_dir: Path
    runs_dir: Path
    data_root: Path | None = None
    device: str = "auto"
    weights_files: tuple[Path, ...] = ()
    workers: int = 0
    force: bool = False
    report: Callable[[str], None] = print

    def torch_device(self) -> torch.device:
        """The device as torch knows it. Raises InputError for one that is not there."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device {self.device!r} is not available here; use auto, cpu or cuda") from error
        return device

    def record_file(self, run: Run) -> Path:
        """Where the record of a run lies."""
        return self.results_dir / "records" / f"{run.digest}.json"

    def folder(self, run: Run) -> Path:
        """Where the weights of a run lie."""
        return self.runs_dir / run.training_digest


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run measured.

    Attributes:
        digest: Of the run.
        title: As tables call it.
        run: Every setting, as plain JSON.
        measured: `scores` (see `evaluate`), `parameters`, `epochs` (mean losses of every epoch), and `restoration` (see
            `restoration_quality`) where the run asks for it.
        provenance: Commit, versions, device, start of the training and the weights that it started from (where they
            were not random); data digest; seconds. `evaluation` has commit, dirty, device and start of the test, where
            that was done at another commit or on another device than the training.
    """

    digest: str
    title: str
    run: dict[str, Any]
    measured: dict[str, Any]
    provenance: dict[str, Any]

    def score(self, metric: str, *, test: str = "protocol", protocol: str = "multi_shot") -> float:
        """One score in per cent: `rank1`, `rank5`, `rank10`, `map_hit` or `map_trapezoid`; NaN where no query counted.

        Raises:
            InputError: The record has no such test, protocol or metric; names those that it has.
        """
        protocols = self._entry("test", self.measured["scores"], test)
        scores = self._entry("protocol", protocols, protocol)["overall"]
        metrics = {f"rank{rank}": value for rank, value in scores["ranks"].items()}
        metrics |= {name: scores[name] for name in ("map_hit", "map_trapezoid") if name in scores}
        value = self._entry("metric", metrics, metric)
        return math.nan if value is None else 100 * float(value)

    def _entry(self, kind: str, entries: Mapping[str, Any], name: str) -> Any:
        if name not in entries:
            raise InputError(f"record {self.digest} has no {kind} {name!r}; it has {', '.join(entries)}")
        return entries[name]


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A trained method, ready for testing on `device`, with the data it was trained for and how that went."""

    run: Run
    method: Method
    data: PreparedData
    device: torch.device
    log: TrainingLog


def find_record(run: Run, workspace: Workspace) -> Record | None:
    """The record of a run, or None where it was not measured yet.

    Raises:
        InputError: The file is damaged or holds the record of another run.
    """
    file = workspace.record_file(run)
    if not file.exists():
        return None
    try:
        record = Record(**json.loads(file.read_text(encoding="utf8")))
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: not a record of crreid ({error}); delete it to measure the run again") from error
    if record.digest != run.digest:
        raise InputError(f"{file}: the record of another run, {record.digest}; delete it to measure the run again")
    return record


def measure(run: Run, workspace: Workspace) -> Record:
    """The record of a run: read where it exists, else trained, tested and written.

    Two processes that ask for the same run wait for each other; the second finds the record of the first.
    """
    if not workspace.force and (record := find_record(run, workspace)) is not None:
        return record
    with _locked(run, workspace):
        if not workspace.force and (record := find_record(run, workspace)) is not None:
            return record
        # at the start: the commit may move on while a training of hours runs the code that it was started with
        here = provenance(workspace.torch_device())
        record = _tested(_train(run, workspace, here), here)
        text = json.dumps(dataclasses.asdict(record), indent=1, sort_keys=True)
        write_atomically(workspace.record_file(run), (text + "\n").encode())
    return record


def trained(run: Run, workspace: Workspace) -> TrainedRun:
    """A run's trained method, for figures: its weights where this machine has them, else trained now."""
    with _locked(run, workspace):
        return _train(run, replace(workspace, force=False), provenance(workspace.torch_device()))


def _tested(result: TrainedRun, here: dict[str, Any]) -> Record:
    """Tests what was trained, perhaps elsewhere, by the code and on the device that `here` tells."""
    run, clock = result.run, time.monotonic()
    evaluation = {name: here[name] for name in ("commit", "dirty", "device")} | {"started": time_stamp()}
    device, precision = result.device, run.schedule.precision
    scores = evaluate(result.method, result.data, run.evaluation, size=run.size, device=device, precision=precision)
    timings = ("seconds", "pairs_per_second")
    measured: dict[str, Any] = {
        "scores": scores,
        "parameters": sum(tensor.numel() for tensor in _trained_parameters(result.method)),
        "epochs": [{name: row[name] for name in row if name not in timings} for row in result.log.epochs],
    }
    if rates := run.evaluation.restoration_rates:
        measured["restoration"] = restoration_quality(
            result.method, result.data, rates, size=run.size, device=device, precision=precision
        )
    origin = result.log.provenance | {
        "data": {"name": result.data.name, "digest": result.data.digest},
        "training_seconds": round(sum(row["seconds"] for row in result.log.epochs), 1),
        "evaluation_seconds": round(time.monotonic() - clock, 1),
    }
    if any(origin[name] != evaluation[name] for name in ("commit", "dirty", "device")):
        origin["evaluation"] = evaluation
    return Record(digest=run.digest, title=run.method.title, run=run.describe(), measured=measured, provenance=origin)


def _locked(run: Run, workspace: Workspace) -> FileLock:
    folder = workspace.folder(run)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{folder}.lock")


def _train(run: Run, workspace: Workspace, here: dict[str, Any]) -> TrainedRun:
    """Trains a run as `here` tells, or loads what was trained."""
    folder, device = workspace.folder(run), workspace.torch_device()
    if workspace.force:
        shutil.rmtree(folder, ignore_errors=True)
    data = prepare(run.data, workspace.data_root, workspace.runs_dir / "pixels")
    pairs = PairDataset(data.train, data.pixels, run.size, run.augmentation, seed=run.seed)
    teacher = None if run.teacher is None else trained(run.teacher, workspace).method

    torch.manual_seed(run.seed)  # initial weights
    method = run.method.build(pairs.identities, teacher)
    weights = folder / "weights.safetensors"
    log = TrainingLog.read(folder) if weights.exists() else None
    if log is not None:
        workspace.report(f"{run.method.title}: weights of {run.training_digest} are at hand")
        method.load_trained_state(read_weights(weights))
    else:
        workspace.report(f"{run.method.title}: training {run.training_digest} on {data.name}")
        origin = here | {"started": time_stamp()} | _start_from(run, method, workspace)
        epochs = train(
            method,
            pairs,
            run.schedule,
            seed=run.seed,
            device=device,
            folder=folder,
            workers=workspace.workers,
            report=workspace.report,
        )
        rows = [{str(name): value for name, value in row.items()} for row in epochs.to_dict("records")]
        log = TrainingLog(provenance=origin, epochs=rows)
        log.write(folder)
        save_weights(method.trained_state(), weights)
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    method.to(device).eval()
    return TrainedRun(run=run, method=method, data=data, device=device, log=log)


def _start_from(run: Run, method: Method, workspace: Workspace) -> dict[str, str]:
    """Gives the backbone the weights that the run names; what was loaded, as an entry of the provenance."""
    if run.weights == "random":
        return {}
    targets = run.method.weights_targets(method)
    if run.weights == "timm":
        origin = run.method.backbone_name
        tensors = load_timm_backbone(origin)
    else:
        files = workspace.weights_files
        file = next((file for file in files if f"file {digest_of_file(file)}" == run.weights), None)
        if file is None:
            given, wanted = ", ".join(map(str, files)) or "no file", run.weights.removeprefix("file ")
            raise InputError(f"the run starts from weights with sha256 {wanted}; got {given}")
        origin, tensors = file.name, read_weights(file)
    report = "; ".join(str(fill_module(target, tensors, origin=origin)) for target in targets)
    workspace.report(report)
    return {"weights": report}


def _trained_parameters(method: Method) -> list[torch.Tensor]:
    return [tensor for player in method.players().values() for group in player.groups for tensor in group["params"]]


def _digest(run: Run) -> str:
    text = json.dumps(_plain(run, everything=False), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any, *, everything: bool) -> Any:
    """Plain JSON of settings.

    For the digest, fields at their default are left out, so that a setting added later, with a default that changes
    nothing, does not rename every record. A default that changes behaviour must not be edited: a test holds them.
    """
    if is_dataclass(value) and not isinstance(value, type):
        plain = {"type": type(value).__name__}
        for entry in fields(value):
            item = getattr(value, entry.name)
            default = entry.default if entry.default_factory is MISSING else entry.default_factory()
            if everything or item != default:
                plain[entry.name] = _plain(item, everything=everything)
        return plain
    if isinstance(value, tuple):
        return [_plain(item, everything=everything) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 2 and 2.0 are the same rate
    return value
