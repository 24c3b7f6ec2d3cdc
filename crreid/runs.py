"""A run says everything that a number depends on; its record says what came out and where.

A run that exists as a record is not trained again unless asked. Records are small and committed
(`results/records/<digest>.json`); weights, checkpoints and logs lie under `runs/<training digest>/` and are not. Beside
the weights `training.json` says who trained them, so that a later test of the same weights does not claim it did.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from filelock import FileLock, Timeout

from crreid.data.augmentation import Augmentation
from crreid.data.pairs import PairDataset
from crreid.data.prepare import DataSettings, PreparedData, prepare
from crreid.distributed import of_first, process_group, processes
from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings, evaluate
from crreid.evaluation.image_quality import PerceptualDistance, restoration_quality
from crreid.methods.method import Method, MethodSettings
from crreid.models.weights import (
    digest_of_file,
    fill_module,
    load_timm_backbone,
    read_weights,
    save_weights,
)
from crreid.provenance import TrainingLog, provenance, time_stamp
from crreid.records import Record, read_record
from crreid.settings import canonical, described, digest_of
from crreid.training.loop import train
from crreid.training.schedule import Schedule

__all__ = [
    "Run",
    "TrainedRun",
    "Workspace",
    "find_record",
    "measure",
    "measure_together",
    "missing_trainings",
    "trained",
    "with_teachers",
]


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

    tag: ClassVar[str] = "Run"
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
        return digest_of(canonical(self))

    @property
    def training_digest(self) -> str:
        """The same without the test: runs that differ only in how they are tested share their weights."""
        return digest_of(canonical(self._untested()))

    def _untested(self) -> Run:
        """The run and its teacher with the default test."""
        teacher = None if self.teacher is None else self.teacher._untested()
        return replace(self, evaluation=EvaluationSettings(), teacher=teacher)

    def describe(self) -> dict[str, Any]:
        """Every setting as plain JSON."""
        plain: dict[str, Any] = described(self)
        return plain


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What belongs to this machine and changes no number.

    Attributes:
        data_root: Folder or file of the data set; None for built-in data.
        results_dir: Holds `records/`.
        runs_dir: Holds weights, checkpoints, logs and the cache of decoded images; one folder for all processes that
            train together, on whatever machine they are.
        device: `auto` takes a GPU where there is one.
        weights_files: Local files that `file <sha256>` in a run may mean.
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

    def say(self, line: str) -> None:
        """Reports a line; of several processes the first one only."""
        if processes().rank == 0:
            self.report(line)

    def record_file(self, run: Run) -> Path:
        """Where the record of a run lies."""
        return self.results_dir / "records" / f"{run.digest}.json"

    def folder(self, run: Run) -> Path:
        """Where the weights of a run lie."""
        return self.runs_dir / run.training_digest

    def weights_file(self, run: Run) -> Path:
        """The trained weights of a run; there once it is trained, whichever of its tests asked for that."""
        return self.folder(run) / "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A trained method, ready for testing on `device`, with the data it was trained for and how that went."""

    run: Run
    method: Method
    data: PreparedData
    device: torch.device
    log: TrainingLog


def with_teachers(runs: Iterable[Run]) -> list[Run]:
    """The distinct runs and the runs that they depend on, teachers first."""
    found: dict[str, Run] = {}
    for run in runs:
        chain = [run]
        while (teacher := chain[-1].teacher) is not None:
            chain.append(teacher)
        found |= {member.digest: member for member in reversed(chain) if member.digest not in found}
    return list(found.values())


def missing_trainings(run: Run, workspace: Workspace) -> list[Run]:
    """What is still to be trained before the run can be tested, teachers first.

    A teacher without weights counts even where its student has them: the student is built with it.
    """
    return [each for each in with_teachers([run]) if not workspace.weights_file(each).exists()]


def find_record(run: Run, workspace: Workspace) -> Record | None:
    """The record of a run, or None where it was not measured yet.

    Raises:
        InputError: The file is damaged or holds the record of another run.
    """
    file = workspace.record_file(run)
    return read_record(file, run.digest) if file.exists() else None


def measure(run: Run, workspace: Workspace, result: TrainedRun | None = None) -> Record:
    """The record of a run: read where it exists, else trained, tested and written.

    Two processes that ask for the same run wait for each other; the second finds the record of the first. A run that
    was trained just now, `result`, is only tested.
    """
    if not workspace.force and (record := find_record(run, workspace)) is not None:
        return record
    with _locked(run, workspace):
        if not workspace.force and (record := find_record(run, workspace)) is not None:
            return record
        # at the start: the commit may move on while a training of hours runs the code that it was started with
        here = provenance(workspace.torch_device())
        perceptual = _perceptual_distance(run, workspace)  # refused before a training of hours, not after it
        record = _tested(result or _train(run, workspace, here), here, perceptual)
        record.write(workspace.record_file(run))
    return record


def measure_together(run: Run, workspace: Workspace) -> Record | None:
    """`measure` by all processes that torchrun has started: all train, teacher first, then the first one tests.

    Returns:
        The record; None in the other processes. Without torchrun this one is the first.

    Raises:
        InputError: As `measure`; or batches cannot be shared equally, or another training of the run is under way.
    """
    result = None
    with process_group(workspace.device) as together:
        if together.count > 1 and (workspace.force or of_first(lambda: find_record(run, workspace) is None)):
            with _locked(run, workspace):
                result = _train(run, workspace, provenance(workspace.torch_device()))
    return None if together.rank > 0 else measure(run, workspace, result)


def trained(run: Run, workspace: Workspace) -> TrainedRun:
    """A run's trained method, for figures: its weights where this machine has them, else trained now."""
    with _locked(run, workspace):
        return _train(run, replace(workspace, force=False), provenance(workspace.torch_device()))


def _tested(result: TrainedRun, here: dict[str, Any], perceptual: PerceptualDistance | None) -> Record:
    """Tests what was trained, perhaps elsewhere, by the code and on the device that `here` tells."""
    run, clock = result.run, time.monotonic()
    evaluation = {name: here[name] for name in ("commit", "dirty", "device")} | {"started": time_stamp()}
    device, precision = result.device, run.schedule.precision
    scores = evaluate(result.method, result.data, run.evaluation, size=run.size, device=device, precision=precision)
    timings = ("seconds", "pairs_per_second")
    measured: dict[str, Any] = {
        "scores": _nested_scores(scores),
        "parameters": sum(tensor.numel() for tensor in _trained_parameters(result.method)),
        "epochs": [{name: row[name] for name in row if name not in timings} for row in result.log.epochs],
    }
    if rates := run.evaluation.restoration_rates:
        quality = restoration_quality(
            result.method,
            result.data,
            rates,
            size=run.size,
            device=device,
            precision=precision,
            perceptual=perceptual,
        )
        measured["restoration"] = {
            f"rate {rate:g}": dict(zip(of_rate["measure"], of_rate["value"], strict=True))
            | {f"input_{measure}": value for measure, value in zip(of_rate["measure"], of_rate["input"], strict=True)}
            | {"images": int(of_rate["images"].iloc[0])}
            for rate, of_rate in quality.groupby("rate")
        }
    origin = result.log.provenance | {
        "data": {"name": result.data.name, "digest": result.data.digest},
        "training_seconds": round(sum(row["seconds"] for row in result.log.epochs), 1),
        "evaluation_seconds": round(time.monotonic() - clock, 1),
    }
    if any(origin[name] != evaluation[name] for name in ("commit", "dirty", "device")):
        origin["evaluation"] = evaluation
    return Record(digest=run.digest, title=run.method.title, run=run.describe(), measured=measured, provenance=origin)


def _nested_scores(scores: pd.DataFrame) -> dict[str, Any]:
    """Return tidy scores as records of format 1 hold them; goes with that format."""
    nested: dict[str, Any] = {}
    for row in scores.to_dict("records"):
        test = "protocol" if row["test"] == "drawn" else f"rate {row['rate']:g}"
        of_protocol = nested.setdefault(test, {}).setdefault(row["protocol"], {"per_rate": {}})
        places = [of_protocol["per_rate"].setdefault(str(row["rate"]), {})] if row["rate"] >= 1 else []
        if row["test"] == "uniform" or not places:
            places.append(of_protocol.setdefault("overall", {}))
        value, deviation = (None if row[name] != row[name] else row[name] for name in ("value", "deviation"))
        for place in places:
            place |= {"queries": row["queries"], "unmatched": row["unmatched"]}
            if not row["metric"].startswith("rank"):
                place[row["metric"]] = value
                continue
            place.setdefault("ranks", {})[row["metric"].removeprefix("rank")] = value
            if row["protocol"] == "single_shot":
                place.setdefault("ranks_deviation", {})[row["metric"].removeprefix("rank")] = deviation
    return nested


def _perceptual_distance(run: Run, workspace: Workspace) -> PerceptualDistance | None:
    """LPIPS by the weights that the run's test names, if it names any."""
    if not run.evaluation.perceptual_weights:
        return None
    file = _given_file(run.evaluation.perceptual_weights, workspace)
    return PerceptualDistance(read_weights(file), origin=file.name, device=workspace.torch_device())


def _locked(run: Run, workspace: Workspace) -> AbstractContextManager[object]:
    """Keeps other trainings of the run away, or waits for them; of processes that train together the first one does."""
    together, folder = processes(), workspace.folder(run)
    if together.rank > 0:
        return nullcontext()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        # the others of a group must not be kept waiting
        return FileLock(f"{folder}.lock").acquire(timeout=-1 if together.count == 1 else 0)
    except Timeout as error:
        raise InputError(f"{folder}: another training of the run is under way; start again when it is done") from error


def _train(run: Run, workspace: Workspace, here: dict[str, Any]) -> TrainedRun:
    """Trains a run as `here` tells, or loads what was trained."""
    folder, device, first = workspace.folder(run), workspace.torch_device(), processes().rank == 0
    if workspace.force and first:
        shutil.rmtree(folder, ignore_errors=True)
    data = prepare(run.data, workspace.data_root, workspace.runs_dir / "pixels")
    pairs = PairDataset(data.train, data.pixels, run.size, run.augmentation, seed=run.seed)
    teacher = None if run.teacher is None else trained(run.teacher, workspace).method

    torch.manual_seed(run.seed)  # initial weights
    method = run.method.build(pairs.identities, teacher)
    weights, title = workspace.weights_file(run), run.method.title
    log = of_first(lambda: TrainingLog.read(folder) if weights.exists() else None)
    if log is not None:
        workspace.say(f"{title}: weights of {run.training_digest} are at hand")
        method.load_trained_state(read_weights(weights))
    else:
        workspace.say(f"{title}: training {run.training_digest} on {data.name}")
        origin = here | {"started": time_stamp()} | _start_from(run, method, workspace)
        epochs = train(
            method,
            pairs,
            run.schedule,
            seed=run.seed,
            device=device,
            folder=folder,
            workers=workspace.workers,
            report=lambda line: workspace.say(f"{title}: {line}"),
        )
        rows = [{str(name): value for name, value in row.items()} for row in epochs.to_dict("records")]
        log = TrainingLog(provenance=origin, epochs=rows)
        if first:
            log.write(folder)
            save_weights(method.trained_state(), weights)
            (folder / "checkpoint.pt").unlink(missing_ok=True)
    method.to(device).eval()
    return TrainedRun(run=run, method=method, data=data, device=device, log=log)


def _start_from(run: Run, method: Method, workspace: Workspace) -> dict[str, str]:
    """Gives the backbone the weights that the run names; what was loaded, as an entry of the provenance."""
    if run.weights == "random":
        return {}
    backbones = method.backbones()
    if not backbones:
        raise InputError(f"{run.method.title} has no backbone for pretrained weights; give it weights='random'")
    if run.weights == "timm":
        origin = run.method.backbone_name
        tensors = load_timm_backbone(origin)
    else:
        file = _given_file(run.weights, workspace)
        origin, tensors = file.name, read_weights(file)
    report = "; ".join(fill_module(backbone, tensors, origin=origin) for backbone in backbones)
    workspace.say(report)
    return {"weights": report}


def _given_file(name: str, workspace: Workspace) -> Path:
    """The file of the workspace that `file <sha256>` means."""
    for file in workspace.weights_files:
        if f"file {digest_of_file(file)}" == name:
            return file
    given = ", ".join(map(str, workspace.weights_files)) or "no file"
    raise InputError(f"the run needs weights with sha256 {name.removeprefix('file ')}; got {given}")


def _trained_parameters(method: Method) -> list[torch.Tensor]:
    return [tensor for player in method.players().values() for group in player.groups for tensor in group["params"]]
