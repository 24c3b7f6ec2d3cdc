"""A run says everything that a number depends on; its record says what came out and where.

A run that exists as a record is not trained again unless it is forgotten first. Records are small and committed
(`results/records/<digest>.json`); weights and checkpoints lie under `runs/<training digest>/` and are not. Beside the
weights `training.json` says whose they are and who trained them, so that a later evaluation does not claim it did.
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

from crreid.data.pairs import Augmentation, PairDataset
from crreid.data.prepare import DataSettings, PreparedData, content_of, prepare
from crreid.distributed import of_first, processes
from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings, evaluate
from crreid.evaluation.image_quality import PerceptualDistance, restoration_quality
from crreid.methods.method import Method, MethodSettings
from crreid.models.weights import (
    digest_of_file,
    fill_module,
    load_timm_backbone,
    packaged_file,
    packaged_starts,
    read_weights,
    save_weights,
)
from crreid.numerics import effective_precision, one_thread
from crreid.provenance import provenance, time_stamp
from crreid.records import Record, plain_table, read_record, read_sealed, write_sealed
from crreid.settings import canonical, described, digest_of
from crreid.training.loop import TrainingLog, train
from crreid.training.schedule import Schedule


class Busy(InputError):
    """Another process trains the run."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training and its evaluation. The defaults are the paper's size and schedule."""

    tag: ClassVar[str] = "Run"
    data: DataSettings
    method: MethodSettings
    schedule: Schedule = field(default_factory=Schedule)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    size: tuple[int, int] = (256, 128)  # (height, width) of the network's input in pixels
    augmentation: Augmentation = field(default_factory=Augmentation)
    weights: str = "random"  # start of the backbone: `random`, `timm` (by its name) or `file <sha256>`
    teacher: Run | None = None  # the run whose network guides this one
    seed: int = 0  # of weights, batches, augmentation and dropout

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the run."""
        return digest_of(canonical(self))

    @property
    def training_digest(self) -> str:
        """The same without the evaluation: runs that differ only there share their weights."""
        return digest_of(canonical(self._untested()))

    def _untested(self) -> Run:
        teacher = None if self.teacher is None else self.teacher._untested()
        return replace(self, evaluation=EvaluationSettings(), teacher=teacher)


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What belongs to this machine and changes no number."""

    results_dir: Path  # holds `records/`
    runs_dir: Path  # weights, checkpoints and decoded images: one folder for all processes that train together
    data_root: Path | None = None  # folder or file of the data set; None for built-in data
    device: str = "auto"  # `auto` takes a GPU where there is one
    weights_files: tuple[tuple[str, Path], ...] = ()  # by the names `file <sha256>` that runs use
    wait: bool = True  # where another process trains the run, instead of raising Busy
    report: Callable[[str], None] = print
    progress: Callable[[int, int], None] | None = None  # called after every training step: steps done, all steps

    def torch_device(self) -> torch.device:
        """Return the device as torch knows it. Raises InputError for one that is not available."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.zeros(1, device=device).item()  # `meta` has no values
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device {self.device!r} is not available here; use auto, cpu or cuda") from error
        return device

    def say(self, line: str) -> None:
        """Report a line; of several processes the first one only."""
        if processes().rank == 0:
            self.report(line)

    def record_file(self, run: Run) -> Path:
        """Return where the record of a run lies."""
        return self.results_dir / "records" / f"{run.digest}.json"

    def folder(self, run: Run) -> Path:
        """Return where the training of a run lies, whichever of its evaluations asked for it."""
        return self.runs_dir / run.training_digest

    def weights_file(self, run: Run) -> Path:
        """Return where the trained weights of a run lie."""
        return self.folder(run) / "weights.safetensors"

    def training_file(self, run: Run) -> Path:
        """Return where it is written whose weights these are; there once the run is trained."""
        return self.folder(run) / "training.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun:
    """A trained method in evaluation mode on `device`, the data it was trained for, and how that went."""

    run: Run
    method: Method
    data: PreparedData
    device: torch.device
    log: TrainingLog
    start: str  # `random`, or a sentence on the weights that were loaded before the training


def with_teachers(runs: Iterable[Run]) -> list[Run]:
    """Return the distinct runs and those that they depend on, teachers first."""
    found: dict[str, Run] = {}
    for run in runs:
        chain = [run]
        while (teacher := chain[-1].teacher) is not None:
            chain.append(teacher)
        found |= {member.digest: member for member in reversed(chain) if member.digest not in found}
    return list(found.values())


def missing_trainings(run: Run, workspace: Workspace) -> list[Run]:
    """Return what is still to be trained, teachers first; a trained student is built with its teacher, too."""
    return [each for each in with_teachers([run]) if not workspace.training_file(each).exists()]


def find_record(run: Run, workspace: Workspace) -> Record | None:
    """Return the record of a run, None if not measured yet; InputError where it is damaged or of other images."""
    file = workspace.record_file(run)
    if not file.exists():
        return None
    record, available = read_record(file, run.digest), content_of(run.data, workspace.data_root)
    if available is not None and (recorded := record.provenance["data"]["content"]) is not None:
        _expect_images(file, recorded, available)
    return record


def record_data_note(record: Record, run: Run, workspace: Workspace) -> str:
    """Return in a few words for tables whether the images of a record are those that the workspace has."""
    if record.provenance["data"]["content"] is None:
        return "images not recorded"
    available = content_of(run.data, workspace.data_root) is not None
    return "images as recorded" if available else "images not available here"


@one_thread()
def measure(run: Run, workspace: Workspace) -> Record:
    """Return the record of a run: read where it exists, else trained, evaluated and written.

    Two processes that ask for the same run wait for each other; the second finds the record of the first. Processes
    that torchrun has started (see `process_group`) call this together: all train, the first one evaluates and writes.
    """
    if (record := of_first(lambda: find_record(run, workspace))) is not None:
        return record
    with _locked(run, workspace):
        if (record := of_first(lambda: find_record(run, workspace))) is not None:
            return record
        # at the start: the commit may move on while a training of hours runs the code that it was started with
        here = _here(run, workspace)
        perceptual = None
        if name := run.evaluation.perceptual_weights:  # refused before a training of hours, not after it
            file, device = _given_file(name, workspace), workspace.torch_device()
            perceptual = PerceptualDistance(read_weights(file), origin=file.name, device=device)
        result = _trained(run, workspace, here)

        def evaluated() -> Record:
            record = _evaluated(result, here, perceptual)
            record.write(workspace.record_file(run))
            return record

        return of_first(evaluated)


@one_thread()
def trained(run: Run, workspace: Workspace) -> TrainedRun:
    """Return a run's trained method: its weights where this machine has them, else trained now."""
    with _locked(run, workspace):
        return _trained(run, workspace, _here(run, workspace))


def forget(runs: Iterable[Run], workspace: Workspace) -> None:
    """Delete the records and weights of runs and of their teachers: `measure` then trains them anew."""
    for run in with_teachers(runs):
        with _locked(run, workspace):
            if processes().rank == 0:
                workspace.record_file(run).unlink(missing_ok=True)
                shutil.rmtree(workspace.folder(run), ignore_errors=True)
    of_first(lambda: None)  # nobody looks for what the first process has not deleted yet


def _here(run: Run, workspace: Workspace) -> dict[str, Any]:
    """Return what this process is, and in which precision it computes the run."""
    device = workspace.torch_device()
    return provenance(device) | {"precision": effective_precision(run.schedule.precision, device)}


def _evaluated(result: TrainedRun, here: dict[str, Any], perceptual: PerceptualDistance | None) -> Record:
    """Evaluate what was trained, perhaps elsewhere, by the code and on the device that `here` tells."""
    run, clock, started = result.run, time.monotonic(), time_stamp()
    options: dict[str, Any] = {"size": run.size, "device": result.device, "precision": run.schedule.precision}
    rates, restoration = run.evaluation.restoration_rates, None
    scores, persons = evaluate(result.method, result.data, run.evaluation, **options)
    if rates:
        restoration = restoration_quality(result.method, result.data, rates, perceptual=perceptual, **options)
    groups = [group for player in result.method.players().values() for group in player]
    evaluation = {name: here[name] for name in ("commit", "dirty", "device", "precision")} | {"started": started}
    origin = {
        "data": {"name": result.data.name, "table": result.data.digest, "content": result.data.content},
        "start": result.start,
        "training": result.log.stretches,
        "evaluation": evaluation | {"seconds": round(time.monotonic() - clock, 1)},
    }
    return Record(
        digest=run.digest,
        title=run.method.title,
        run=canonical(run),
        settings=described(run),
        scores=scores,
        persons=persons,
        restoration=restoration,
        epochs=result.log.epochs.drop(columns=["pairs_per_second", "seconds"]),
        parameters=sum(tensor.numel() for group in groups for tensor in group["params"]),
        provenance=origin,
    )


def _trained(run: Run, workspace: Workspace, here: dict[str, Any]) -> TrainedRun:
    """Train a run in a process that is what `here` tells, or load what was trained."""
    folder, device, title = workspace.folder(run), workspace.torch_device(), run.method.title
    data = prepare(run.data, workspace.data_root, workspace.runs_dir / "pixels")
    pairs = PairDataset(data.train, data.pixels, run.size, run.augmentation, seed=run.seed)
    teacher = None if run.teacher is None else trained(run.teacher, workspace).method
    torch.manual_seed(run.seed)  # initial weights
    method = run.method.build(pairs.identities, teacher)
    finished = of_first(lambda: _read_training(run, workspace, data.content))
    if finished is not None:
        workspace.say(f"{title}: weights of {run.training_digest} are available")
        log, start = finished
        try:
            method.load_trained_state(read_weights(workspace.weights_file(run)))
        except (KeyError, RuntimeError) as error:
            raise InputError(f"{folder}: weights of another network; delete the folder to train again") from error
    else:
        workspace.say(f"{title}: training {run.training_digest} on {data.name}")
        if processes().rank == 0:
            for half in folder.glob(".*"):  # written by a process that was killed
                half.unlink(missing_ok=True)
        start = _start(run, method, workspace)
        log = train(
            method,
            pairs,
            run.schedule,
            seed=run.seed,
            device=device,
            folder=folder,
            owner=f"run {run.training_digest} on images {data.content}",
            origin=here | {"started": time_stamp()},
            report=lambda line: workspace.say(f"{title}: {line}"),
            progress=workspace.progress,
        )
        if processes().rank == 0:
            save_weights(method.trained_state(), workspace.weights_file(run))
            weights = digest_of_file(workspace.weights_file(run))
            owner = {"training": run.training_digest, "content": data.content, "weights": weights}
            told = {"start": start, "stretches": log.stretches, "epochs": plain_table(log.epochs)}
            write_sealed(workspace.training_file(run), owner | told)
            (folder / "checkpoint.pt").unlink(missing_ok=True)
    return TrainedRun(run=run, method=method.to(device).eval(), data=data, device=device, log=log, start=start)


def _read_training(run: Run, workspace: Workspace, content: str) -> tuple[TrainingLog, str] | None:
    """Return how a run was trained, and its start; None where it was not trained to its end."""
    file, weights = workspace.training_file(run), workspace.weights_file(run)
    if not (file.exists() and weights.exists()):
        return None
    told = read_sealed(file, "training")
    again = f"delete {file.parent} to train again"
    if (found := told.get("training")) != run.training_digest:
        raise InputError(f"{file}: the training of another run, {found}; {again}")
    _expect_images(file, told["content"], content)
    if digest_of_file(weights) != told["weights"]:
        raise InputError(f"{weights}: other weights than those that were trained here; {again}")
    epochs = pd.DataFrame(told["epochs"]["rows"], columns=told["epochs"]["columns"])
    return TrainingLog(epochs=epochs, stretches=told["stretches"]), told["start"]


def _expect_images(file: Path, recorded: str, available: str) -> None:
    if recorded != available:
        told = f"{file}: measured on other images (content {recorded}) than those given here ({available})"
        raise InputError(f"{told}; give the images that it was measured on, or another results folder")


def _start(run: Run, method: Method, workspace: Workspace) -> str:
    """Give the backbones the weights that the run names; return `random`, or a sentence on what was loaded."""
    if run.weights == "random":
        return run.weights
    if run.weights == "timm":
        origin = run.method.backbone_name
        tensors = load_timm_backbone(origin)
    else:
        file = _given_file(run.weights, workspace)
        origin, tensors = file.name, read_weights(file)
    report = "; ".join(str(fill_module(backbone, tensors, origin=origin)) for backbone in method.backbones())
    workspace.say(report)
    return report


def _given_file(name: str, workspace: Workspace) -> Path:
    """Return the file of the workspace or of this package that `file <sha256>` means."""
    files = dict(workspace.weights_files)
    known = {start: packaged_file(backbone) for backbone, start in packaged_starts().items()} | files
    if name in known:
        return known[name]
    given = ", ".join(map(str, files.values())) or "no file"
    raise InputError(f"the run needs weights with sha256 {name.removeprefix('file ')}; got {given}")


def _locked(run: Run, workspace: Workspace) -> AbstractContextManager[object]:
    """Keep other trainings of the run away, or wait for them; of processes that train together the first one does."""
    together, folder = processes(), workspace.folder(run)
    if together.rank > 0:
        return nullcontext()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        # the others of a group must not be kept waiting
        return FileLock(f"{folder}.lock").acquire(timeout=-1 if workspace.wait and together.count == 1 else 0)
    except Timeout as error:
        raise Busy(f"{folder}: another training of the run is under way; start again when it is done") from error
