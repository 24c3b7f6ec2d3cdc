"""Several processes on one CPU: the same training as one process, written down once."""

import json
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from filelock import FileLock
from oracles import equal, triplet_by_loops
from torch import Tensor, distributed

from crreid import runs
from crreid.bench.cost import random_batch
from crreid.data.pairs import PairBatch
from crreid.distributed import (
    Processes,
    averaged,
    gathered,
    of_first,
    process_group,
    processes,
)
from crreid.errors import InputError
from crreid.losses.triplet import batch_hard_triplet
from crreid.methods.cad_net import CADNetSettings
from crreid.methods.lrar import LRARSettings
from crreid.methods.method import Method
from crreid.methods.ps_hrnet import HRNetReIDHighSettings
from crreid.models.cross_resolution_encoder import CrossResolutionEncoderSettings
from crreid.models.discriminators import DiscriminatorSettings
from crreid.models.image_decoder import ImageDecoderSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.profiles import profile_settings
from crreid.rows import loss_ablation_rows
from crreid.runs import Busy, Workspace, forget, measure
from crreid.training.loop import TrainingDiverged, TrainingLog, train
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

CPU = torch.device("cpu")
DEADLINE_SECONDS = 120  # of tests that take seconds, on a machine that does something else

# a fresh process that has read the package already, and has no threads, makes the others
FACTORY = multiprocessing.get_context("forkserver")
FACTORY.set_forkserver_preload(["crreid.rows", "pytest"])


def together(count: int, function: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """What a function of this file returned, or raised, in each of the processes that torchrun would have started."""
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ends, children = [], []
    for rank in range(count):
        here, there = FACTORY.Pipe()
        task = pickle.dumps((function, arguments, options))  # else all would get the same memory
        child = FACTORY.Process(target=_child, args=(there, rank, count, store.port, task))
        child.start()
        there.close()
        ends.append(here)
        children.append(child)
    try:
        for end in ends:
            assert end.poll(DEADLINE_SECONDS), "a process hangs"
        return [pickle.loads(end.recv_bytes()) for end in ends]
    finally:
        for child in children:
            child.kill()
            child.join()


def _child(end: Any, rank: int, count: int, port: int, task: bytes) -> None:
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", TORCHELASTIC_USE_AGENT_STORE="True")
    torch.set_num_threads(1)
    try:
        function, arguments, options = pickle.loads(task)
        outcome = function(*arguments, **options)
    except BaseException as error:
        traceback.print_exc()
        outcome = error
    end.send_bytes(pickle.dumps(outcome))


def own(rows: Tensor) -> Tensor:
    """This process's share of a tensor's rows."""
    mine = processes()
    return rows.chunk(mine.count)[mine.rank]


def assert_close(name: str, found: Tensor, expected: Tensor, **tolerances: float) -> None:
    torch.testing.assert_close(found, expected, msg=lambda text: f"{name}: {text}", **tolerances)


# what is gathered


def triplet_of(embeddings: Tensor, identities: Tensor, margin: float) -> tuple[float, Tensor]:
    """Loss and gradient of this process's share."""
    with process_group("cpu"):
        mine = own(embeddings).requires_grad_()
        loss = batch_hard_triplet(mine, own(identities), margin)
        loss.backward()
        return loss.item(), mine.grad


@pytest.mark.parametrize(("count", "margin"), [(2, 0.3), (3, 2.0)])  # of three, each has one identity: no negative
def test_triplet_is_that_of_the_whole_batch(count: int, margin: float) -> None:
    embeddings = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    identities = torch.arange(2 * count if count == 2 else 3).repeat_interleave(3 if count == 2 else 4)
    shares = together(count, triplet_of, embeddings, identities, margin)
    whole = embeddings.clone().requires_grad_()
    batch_hard_triplet(whole, identities, margin).backward()
    assert np.mean([loss for loss, _ in shares]) == pytest.approx(
        triplet_by_loops(embeddings, identities, margin), rel=1e-12
    )
    # a process differentiates its own mean; DistributedDataParallel takes the mean over processes
    found = torch.cat([gradient for _, gradient in shares]) / count
    torch.testing.assert_close(found, whole.grad, rtol=1e-12, atol=1e-15)


# one step of every kind of method


SMOKE = profile_settings("smoke", "mlr-synthetic")
ROWS = loss_ablation_rows(SMOKE)
SHORT = replace(SMOKE.plain_schedule, epochs=1, identities_per_batch=4)
TEACHER = replace(ROWS["small ResNet-18: HR only"], schedule=SHORT)
STUDENT = replace(
    ROWS["small ResNet-18: ID+PS"],
    schedule=SHORT,
    teacher=TEACHER,
    evaluation=replace(SMOKE.evaluation, draws=1, query_rates=(1,)),
)
NO_DROPOUT = replace(SMOKE.ps_hrnet.network, dropout=0.0)
RESNET = PooledClassifierSettings(backbone="test_resnet", feature_length=16, dropout=0.0)
METHODS: dict[str, Any] = {
    "PS-HRNet": replace(SMOKE.ps_hrnet, network=NO_DROPOUT),
    "CAD-Net": CADNetSettings(
        encoder=CrossResolutionEncoderSettings(backbone="test_resnet"),
        decoder=ImageDecoderSettings(width=2),
        discriminators=DiscriminatorSettings(widths=(4, 4, 4, 4), image_backbone=None),
        labelled_fraction=0.8,
    ),
    "LRAR": LRARSettings(network=RESNET),
}


def steps_of(name: str) -> list[dict[str, Any]]:
    """Losses, gradients and statistics of two steps; of the whole batch in a process that trains alone."""
    with process_group("cpu"):
        torch.manual_seed(0)
        teacher = HRNetReIDHighSettings(network=NO_DROPOUT).build(4) if name == "PS-HRNet" else None
        method = METHODS[name].build(4, teacher).double().train()
        method.start_epoch(0, 4)  # LRAR freezes most of its masks
        step = TrainingStep(method, Schedule(precision="fp32"), CPU)
        found = []
        step.set_learning_rate(1e-3)
        for epoch in (0, 3):
            whole = vars(random_batch(4, 2, (32, 32), CPU)) | {"rates": torch.tensor([2.0, 3, 4, 1, 2, 4, 3, 1])}
            doubles = {key: own(value.double() if key in ("high", "low") else value) for key, value in whole.items()}
            method.start_epoch(epoch, 4)
            step.start_epoch()
            losses = averaged(step(PairBatch(**doubles)))
            gradients = {key: value.grad.clone() for key, value in method.named_parameters() if value.grad is not None}
            found.append({"losses": losses, **gradients, **{k: v.clone() for k, v in method.named_buffers()}})
        return found


@pytest.mark.parametrize("name", METHODS)
def test_gradients_are_those_of_one_process_on_the_whole_batch(name: str) -> None:
    expected, shares = steps_of(name), together(2, steps_of, name)
    for share in shares:
        for found, wanted in zip(share, expected, strict=True):
            assert found.keys() == wanted.keys()
            for key, tensor in wanted.items():
                assert_close(key, found[key], tensor, rtol=1e-6, atol=1e-9)


# whole trainings

SCHEDULE = Schedule(
    epochs=2, identities_per_batch=4, images_per_identity=2, learning_rate=0.05, warmup_epochs=0, precision="fp32"
)


class Tiny(tiny.Tiny):
    """Without dropout unless wanted, and with a loss that compares images of all processes."""

    def __init__(self, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(dropout=dropout, identities=8, **options)

    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        features = self.network(batch.low)
        return super().losses(batch, player) | {"triplet": batch_hard_triplet(features, batch.labels)}


class DivergesInOne(Tiny):
    """No number, in the second process only."""

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        losses = super().losses(batch, player)
        return losses | {"ce": losses["ce"] * math.nan} if self.steps == 3 and processes().rank == 1 else losses


class FailsInOne(Tiny):
    """An error in the second process only."""

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        if self.steps == 3 and processes().rank == 1:
            raise InputError("this process has had enough")
        return super().losses(batch, player)


def trained_in(folder: Path, method: Method, schedule: Schedule = SCHEDULE, *, apart: bool = False) -> dict[str, Any]:
    """Weights, log, files and progress of a training of 4 batches an epoch; processes share a folder or stay apart."""
    dataset, lines = tiny.pictures(8, folder.parent / "pixels"), list[str]()
    with process_group("cpu") as mine:
        place = folder / str(mine.rank) if apart else folder
        log = train(method, dataset, schedule, seed=0, device=CPU, folder=place, report=lines.append).epochs
    files = sorted(file.name for file in place.iterdir()) if place.exists() else []
    return {"weights": method.state_dict(), "log": log.drop(columns=tiny.TIMINGS), "files": files, "lines": lines}


def test_two_processes_train_what_one_does_and_only_the_first_writes(tmp_path: Path) -> None:
    alone = trained_in(tmp_path / "alone", Tiny())
    first, second = together(2, trained_in, tmp_path / "both", Tiny(), apart=True)
    assert equal(first["weights"], second["weights"])
    assert not equal(first["weights"], Tiny().state_dict())
    for name, weights in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], weights, rtol=1e-4, atol=1e-5)
    pd.testing.assert_frame_equal(first["log"], second["log"])
    pd.testing.assert_frame_equal(first["log"], alone["log"], rtol=1e-4)
    assert first["files"] == alone["files"] == ["checkpoint.pt", "epochs.csv"]
    assert second["files"] == []
    assert first["lines"][0] == "2 processes share every batch"
    assert second["lines"] == []


def test_a_training_that_was_killed_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, _ = together(2, trained_in, tmp_path / "whole", Tiny(dropout=0.3))
    stopped = together(2, trained_in, tmp_path / "run", Tiny(dropout=0.3, stop=6))
    assert [type(outcome) for outcome in stopped] == [KeyboardInterrupt, KeyboardInterrupt]
    first, second = together(2, trained_in, tmp_path / "run", Tiny(dropout=0.3))
    assert first["lines"][1] == "resumed after epoch 1 of 2"
    assert equal(first["weights"], whole["weights"])
    assert equal(second["weights"], whole["weights"])
    pd.testing.assert_frame_equal(first["log"], whole["log"])


def test_a_checkpoint_that_only_the_first_sees_is_refused(tmp_path: Path) -> None:
    together(2, trained_in, tmp_path / "both", Tiny(), apart=True)
    _, second = together(2, trained_in, tmp_path / "both", Tiny(), apart=True)
    assert isinstance(second, InputError)
    assert str(second).endswith("checkpoint.pt: process 1 cannot see what the first one wrote; share the folder")


def test_all_stop_where_one_diverges(tmp_path: Path) -> None:
    outcomes = together(2, trained_in, tmp_path / "run", DivergesInOne())
    for outcome in outcomes:
        assert isinstance(outcome, TrainingDiverged)
        assert "epoch 1, step 3: the loss term 'ce' is nan" in str(outcome)


def test_nobody_waits_for_a_process_that_failed(tmp_path: Path) -> None:
    first, second = together(2, trained_in, tmp_path / "run", FailsInOne())
    assert isinstance(second, InputError)
    assert isinstance(first, RuntimeError)  # the connection is closed; torchrun would have ended it by now


def test_batches_that_cannot_be_shared_are_refused(tmp_path: Path) -> None:
    schedule = replace(SCHEDULE, identities_per_batch=3)
    for outcome in together(2, trained_in, tmp_path / "run", Tiny(), schedule):
        assert isinstance(outcome, InputError)
        assert str(outcome).startswith("2 processes cannot share batches of 3 identities equally; choose ")


# runs, records and the command line


def measured_in(folder: Path) -> tuple[dict[str, Any], list[str], int]:
    """A run's record by as many processes as there are; what was said, and how many trainings were started."""
    lines, trainings, really = list[str](), [], runs.train

    def counted(*arguments: Any, **options: Any) -> TrainingLog:
        trainings.append(options["seed"])
        return really(*arguments, **options)

    runs.train = counted
    workspace = Workspace(results_dir=folder / "results", runs_dir=folder / "runs", device="cpu", report=lines.append)
    with process_group("cpu"):
        return measure(STUDENT, workspace).plain(), lines, len(trainings)


def forgotten_in(folder: Path) -> None:
    with process_group("cpu"):
        forget([STUDENT], Workspace(results_dir=folder / "results", runs_dir=folder / "runs"))


def test_one_record_by_all_processes(tmp_path: Path) -> None:
    (record, lines, _), (same, silence, trainings) = together(2, measured_in, tmp_path)
    assert (silence, trainings) == ([], 2)  # teacher and student
    assert same == record
    assert len([line for line in lines if "training" in line]) == 2
    (stretch,) = record["provenance"]["training"]
    assert (stretch["processes"], stretch["epochs"]) == (2, 1)
    files = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file())
    kept = [name for name in files if not name.startswith("runs/pixels/") and not name.endswith(".lock")]
    folders = [run.training_digest for run in (STUDENT.teacher, STUDENT)]
    written = [
        f"runs/{name}/{file}" for name in folders for file in ("epochs.csv", "training.json", "weights.safetensors")
    ]
    assert sorted(kept) == sorted([f"results/records/{STUDENT.digest}.json", *written])

    assert together(2, measured_in, tmp_path) == [(record, [], 0), (record, [], 0)]  # on record
    together(2, forgotten_in, tmp_path)
    assert not any((tmp_path / name).exists() for name in kept)


def test_a_group_does_not_wait_for_another_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(results_dir=tmp_path, runs_dir=tmp_path)
    monkeypatch.setattr(runs, "processes", lambda: Processes(rank=0, count=2))
    with FileLock(f"{workspace.folder(STUDENT)}.lock"):
        with pytest.raises(Busy, match="another training of the run is under way; start again when it is done"):
            runs._locked(STUDENT, workspace)
        monkeypatch.setattr(runs, "processes", lambda: Processes(rank=1, count=2))
        with runs._locked(STUDENT, workspace):
            pass
    monkeypatch.setattr(runs, "processes", lambda: Processes(rank=0, count=2))
    with runs._locked(STUDENT, workspace):
        pass


def test_without_torchrun_there_is_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group() as mine:
        assert mine == processes() == Processes(rank=0, count=1)
    rows = torch.ones(2, 3, requires_grad=True)
    assert gathered(rows) is rows
    assert averaged(rows) is rows
    assert of_first(lambda: 5) == 5


def torchrun(count: int, results: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    row = ("table2_loss_ablation", "--rows", "small ResNet-18: ID+PS", "--profile", "smoke")
    arguments = ["-m", "crreid", "run", *row]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CRREID_DEVICE": "cpu", "CRREID_RESULTS": str(results)}
    return subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, timeout=400)


@pytest.mark.slow
def test_torchrun_writes_one_record(tmp_path: Path) -> None:
    done = torchrun(3, tmp_path)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "records").iterdir()
    assert json.loads(file.read_text())["provenance"]["training"][0]["processes"] == 3


@pytest.mark.slow
def test_torchrun_says_once_what_is_wrong(tmp_path: Path) -> None:
    done = torchrun(2, tmp_path)
    assert done.returncode == 1  # torchrun's own
    assert done.stderr.count("crreid: 2 processes cannot share batches of 3 identities equally") == 1
    assert "exitcode  : 2" in done.stderr
    assert not (tmp_path / "records").exists()
