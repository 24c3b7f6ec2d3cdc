"""Many runs at once: what they become, in which order, and that they are what they would be one after the other."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from crreid.data import pixels
from crreid.data.prepare import DataSettings
from crreid.errors import InputError
from crreid.methods.method import Method
from crreid.models.weights import digest_of_file
from crreid.profiles import profile_settings
from crreid.records import Record
from crreid.rows import loss_ablation_rows
from crreid.runs import Busy, Workspace, find_record, measure
from crreid.study import measure as module
from crreid.study.measure import Durations, measure_all

ROWS = loss_ablation_rows(profile_settings("smoke", "mlr-synthetic"))
TEACHER, STUDENT = ROWS["small ResNet-18: HR only"], ROWS["small ResNet-18: ID+PS"]
OTHER = ROWS["SR+ID+PS"]  # another method
SHORT = replace(TEACHER, schedule=replace(TEACHER.schedule, epochs=1, identities_per_batch=4))


def say_nothing(line):
    """Other processes can import it."""


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "cpu_count", lambda: 2)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def workspace_in(folder, **options):
    options = {"device": "cpu", "report": say_nothing} | options
    return Workspace(results_dir=folder / "results", runs_dir=folder / "runs", **options)


@pytest.fixture
def workspace(tmp_path):
    return workspace_in(tmp_path)


@pytest.fixture
def started(monkeypatch, two_cores):
    """Runs are started but not trained: what happens is listed; they end in the order of their starts."""
    events: list[str] = []
    outcomes: dict[str, Exception] = {}

    def start(run, workspace):
        events.append(f"{run.seed}{'' if not workspace.wait else ' waiting'}")
        future: Future[Record] = Future()
        error = outcomes.get(run.digest) if not workspace.wait else None
        future.set_exception(error) if error else future.set_result(f"record of {run.seed}")
        return future

    @contextmanager
    def workers(at_once) -> Iterator[object]:
        yield start

    monkeypatch.setattr(module, "_workers", workers)
    monkeypatch.setattr(module, "prepare", lambda *_: None)
    return events, outcomes


def test_every_run_is_measured_in_order_and_told(workspace, started):
    runs, told = [replace(SHORT, seed=seed) for seed in (3, 1, 2)], []
    work = measure_all([*runs, runs[0]], workspace, tell=lambda *each: told.append(each))
    assert started[0] == ["3", "1", "2"]
    assert work.measured == runs
    assert work.records == {run.digest: f"record of {run.seed}" for run in runs}
    assert sorted((run.seed, result, seconds) for run, result, _, seconds in told)[0] == (1, "record of 1", None)
    assert told[-1][2] == 0


def test_a_run_that_fails_does_not_stop_the_others(workspace, started):
    runs = [replace(SHORT, seed=seed) for seed in range(3)]
    started[1][runs[0].digest] = error = RuntimeError("diverged")
    work = measure_all(runs, workspace)
    assert work.failed == {runs[0].digest: error}
    assert work.measured == runs[1:]


@pytest.mark.parametrize("wait", [False, True])
def test_runs_of_another_process_are_left_to_it_or_come_last(workspace, started, wait):
    runs = [replace(SHORT, seed=seed) for seed in range(3)]
    started[1][runs[1].digest] = Busy("another process trains it")
    work = measure_all(runs, workspace, wait_for_others=wait)
    assert started[0] == ["0", "1", "2", *["1 waiting"] * wait]
    assert [run.seed for run in work.measured] == [0, 2, *[1] * wait]
    assert work.elsewhere == ([] if wait else [runs[1]])
    assert work.failed == {}


def test_runs_that_share_a_training_wait_for_each_other(workspace, monkeypatch):
    tested_otherwise = replace(SHORT, evaluation=replace(SHORT.evaluation, flip=True))
    waiting = [STUDENT, tested_otherwise, replace(SHORT, seed=4)]
    assert module._next_free(waiting, [TEACHER, SHORT], workspace).seed == 4
    assert waiting == [STUDENT, tested_otherwise]
    assert module._next_free(waiting, [TEACHER, SHORT], workspace) is None
    workspace.training_file(TEACHER).parent.mkdir(parents=True)
    workspace.training_file(TEACHER).write_text("{}")
    other = replace(TEACHER, seed=7)
    assert module._next_free(waiting, [other], workspace) == STUDENT


def test_nothing_is_started_that_would_end_too_late(workspace, started, monkeypatch):
    runs = [replace(SHORT, seed=seed) for seed in range(3)]
    seconds = {0: 30.0, 1: 90.0, 2: None}  # nothing is known of the last one
    monkeypatch.setattr(Durations, "seconds", lambda self, run: seconds[run.seed])
    work = measure_all(runs, workspace, minutes=1)
    assert work.left == [runs[1]]
    assert work.measured == [runs[0], runs[2]]


def test_durations_are_those_of_the_most_similar_record(workspace, record_of):
    for seed, seconds, epochs in ((0, 60.0, 2), (1, 90.0, 3)):
        run = replace(TEACHER, seed=seed, schedule=replace(TEACHER.schedule, epochs=epochs))
        record_of(run, seconds=seconds, workspace=workspace)
    record_of(OTHER, seconds=200.0, workspace=workspace, device="another machine")
    (workspace.results_dir / "records" / f"{'0' * 16}.json").write_text("damaged")
    durations = Durations(workspace)
    longer = replace(TEACHER, seed=9, schedule=replace(TEACHER.schedule, epochs=4))
    assert durations.seconds(longer) == 10 + 4 * 30
    assert durations.seconds(OTHER) is None
    assert durations.seconds(replace(TEACHER, size=(128, 64))) is None
    assert durations.recorded(replace(TEACHER, seed=0).digest) == 70
    assert durations.recorded(OTHER.digest) is None
    assert durations.total([longer, longer], 2) == 130
    assert durations.total([longer, OTHER], 2) is None
    workspace.training_file(longer).parent.mkdir(parents=True)
    workspace.training_file(longer).write_text("{}")
    assert durations.seconds(longer) == 10  # its weights are here


def test_a_cpu_trains_as_many_as_it_has_cores_for_and_a_gpu_one(workspace, two_cores, monkeypatch):
    assert module._places(workspace) == 2
    for threads, cores, places in ((2, 2, 1), (2, 5, 2), (4, 2, 1), (1, 99, module.MOST_AT_ONCE)):
        with monkeypatch.context() as patch:
            patch.setenv("OMP_NUM_THREADS", str(threads))
            patch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            patch.setattr(module, "cpu_count", lambda cores=cores: cores)
            assert module._places(workspace) == places
    monkeypatch.setattr(Workspace, "torch_device", lambda self: torch.device("cuda"))
    assert module._places(workspace) == 1


@dataclass(frozen=True)
class Own:
    """Settings such as a user writes into a notebook: other processes cannot import them."""

    name: str
    title = "own"

    def build(self, identities: int, teacher: Method | None = None) -> Method:
        raise InputError(f"{self.name} has no networks for {identities} identities")


def test_side_by_side_trains_what_one_after_the_other_would(tmp_path, two_cores, monkeypatch):
    """Workers find a cold cache decoded, and know the classes of a notebook."""
    monkeypatch.setattr(Own, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Own", Own, raising=False)
    generator, root = np.random.default_rng(0), tmp_path / "images"
    images = [("train", f"t{identity}", number) for identity in range(6) for number in range(4)]
    images += [("query", "p0", 0), ("query", "p1", 0)]
    images += [("gallery", f"p{number % 2}", number) for number in range(pixels.FEW_IMAGES)]
    for role, identity, number in images:
        file = root / role / identity / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (16, 8, 3), dtype=np.uint8)).save(file)
    changes = {"data": DataSettings(dataset="own", version="noise"), "size": (32, 16)}
    teacher, short = (replace(run, **changes) for run in (TEACHER, SHORT))
    student = replace(STUDENT, **changes, teacher=teacher)
    own = replace(short, method=Own("mine"))

    both, alone = (workspace_in(tmp_path / name, data_root=root) for name in ("both", "alone"))
    work = measure_all([own, teacher, student, short, student], both)
    assert str(work.failed[own.digest]) == "mine has no networks for 6 identities"
    assert set(work.records) == {run.digest for run in (teacher, student, short)}
    assert len(work.measured) == 3
    assert torch.get_num_threads() == 2
    for run in (teacher, student, short):
        expected = measure(run, alone)
        record = work.records[run.digest]
        assert record.scores.equals(expected.scores)
        assert record.scores["queries"].max() == 2
        assert record.epochs.equals(expected.epochs)
        assert record.provenance["training"][0]["threads"] == 1
        assert digest_of_file(both.weights_file(run)) == digest_of_file(alone.weights_file(run))
    again = measure_all([teacher, short], both)
    assert again.measured == []
    assert {digest: record.plain() for digest, record in again.records.items()} == {
        run.digest: find_record(run, both).plain() for run in (teacher, short)
    }


def test_a_run_that_is_trained_elsewhere_is_not_waited_for(workspace):
    workspace.runs_dir.mkdir(parents=True)
    with FileLock(f"{workspace.folder(SHORT)}.lock", is_singleton=False):
        work = measure_all([SHORT], workspace, wait_for_others=False)
    assert work.elsewhere == [SHORT]
    assert not work.records


def test_a_process_ends_with_the_one_that_started_it(tmp_path, is_running, wait_until):
    child = "import os, time; from crreid.study.execute import end_with_parent; end_with_parent(os.getppid()); "
    child += f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    process = subprocess.Popen([sys.executable, "-c", parent])
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 60)
        orphan = int((tmp_path / "pid").read_text())
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not is_running(orphan), 10)


def test_the_bar_counts_epochs_from_the_logs_of_trainings(workspace, monkeypatch, wait_until):
    bars = []

    class Bar:
        def __init__(self, *, total, initial, **words):
            self.total, self.n, self.words = total, initial, words
            bars.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, more):
            self.n += more

    monkeypatch.setattr(module, "tqdm", Bar)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    with module._bar([STUDENT], workspace):
        folder = workspace.folder(TEACHER)
        folder.mkdir(parents=True)
        (folder / "epochs.csv").write_text("epoch,total\n0,1.0\n1,0.9\n")
        wait_until(lambda: bars[0].n == 2, 10)
    (bar,) = bars
    assert (bar.total, bar.words["desc"], bar.words["leave"]) == (4, "training 2 networks", False)
