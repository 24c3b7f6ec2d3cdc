"""Several trainings at a time: their order, and that they are what they would be one after the other."""

import sys
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from crreid.data import pixels
from crreid.data.prepare import DataSettings
from crreid.errors import InputError
from crreid.methods.method import Method
from crreid.models.weights import digest_of_file
from crreid.profiles import profile_settings
from crreid.rows import loss_ablation_rows
from crreid.runs import Workspace, measure
from crreid.starting_weights import StartingWeights
from crreid.study import parallel
from crreid.study.parallel import in_turn, measure_all

ROWS = loss_ablation_rows(profile_settings("smoke", "mlr-synthetic"), seed=0, weights=StartingWeights())
STUDENT, TEACHER = ROWS["SR+ID+PS"], ROWS["HRNet-ReID-H alone"]
SHORT = replace(TEACHER, schedule=replace(TEACHER.schedule, epochs=1, identities_per_batch=4))


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def workspace(tmp_path):
    return workspace_in(tmp_path)


def workspace_in(folder, **options):
    return Workspace(results_dir=folder / "results", runs_dir=folder / "runs", device="cpu", **options)


def turns(needed, at_once, monkeypatch):
    """How tasks start (+) and end (-) where the oldest always ends first, its trainings then lacking nobody."""
    monkeypatch.setattr(parallel, "PROGRESS_SECONDS", 0.01)
    events, running = [], dict[str, Future[str]]()

    def start(name):
        events.append(f"+{name}")
        assert len(running) < at_once
        running[name] = Future()
        return running[name]

    def end_oldest():
        if running:
            name = next(iter(running))
            trained = set(needed[name])
            for lacking in needed.values():
                lacking -= trained
            running.pop(name).set_result(name.upper())

    for name, future in in_turn(list(needed), start, needed.__getitem__, at_once=at_once, meanwhile=end_oldest):
        assert future.result() == name.upper()
        events.append(f"-{name}")
    return events


def test_tasks_that_share_no_training_start_first(monkeypatch):
    needed = {"a": {"1", "2"}, "b": {"1", "2"}, "c": {"2"}, "d": {"3"}}
    assert turns(needed, 2, monkeypatch)[:2] == ["+a", "+d"]


def test_of_equals_that_which_needs_most_starts_first(monkeypatch):
    needed = {"a": {"1"}, "b": {"2", "3"}, "c": set(), "d": {"4"}}
    assert turns(needed, 1, monkeypatch) == ["+b", "-b", "+a", "-a", "+d", "-d", "+c", "-c"]


def test_what_is_trained_meanwhile_is_no_longer_needed(monkeypatch):
    needed = {"a": {"1"}, "b": {"1", "2"}, "c": {"3"}}
    assert turns(needed, 1, monkeypatch) == ["+b", "-b", "+c", "-c", "+a", "-a"]


def test_each_task_ends_once_and_places_are_taken_again(monkeypatch):
    events = turns({name: {name} for name in "abcde"}, 3, monkeypatch)
    assert events[:3] == ["+a", "+b", "+c"]
    assert sorted(events) == sorted(sign + name for name in "abcde" for sign in "+-")
    assert turns({}, 3, monkeypatch) == []


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([], 0),
        ([STUDENT], 1),
        ([TEACHER, STUDENT], 1),  # one needs the other
        ([STUDENT, SHORT], 2),
        ([SHORT, replace(SHORT, evaluation=replace(SHORT.evaluation, flip=not SHORT.evaluation.flip))], 1),
        ([replace(SHORT, seed=seed) for seed in range(9)], 9),
    ],
)
def test_trainings_that_no_other_one_needs(missing, expected):
    assert parallel._independent(missing) == expected


@pytest.mark.parametrize(
    ("threads", "seeds", "at_once", "share"),
    [(1, 1, 1, 1), (1, 3, 1, 1), (2, 1, 1, 1), (2, 3, 2, 1), (3, 2, 2, 1), (8, 1, 1, 2), (8, 3, 3, 2), (16, 9, 4, 4)],
)
def test_a_training_has_its_share_of_the_threads_however_many_run(
    threads, seeds, at_once, share, workspace, monkeypatch
):
    used, number = [], [threads]
    monkeypatch.setattr(torch, "get_num_threads", lambda: number[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: number.__setitem__(0, threads))
    monkeypatch.setattr(parallel, "measure", lambda run, workspace: used.append((1, number[0])))
    monkeypatch.setattr(
        parallel,
        "_measure_side_by_side",
        lambda missing, workspace, at_once: used.append((at_once, number[0])) or {},
    )
    runs = [replace(SHORT, seed=seed) for seed in range(seeds)]
    measure_all(runs, workspace)
    assert set(used) == {(at_once, share)}
    assert number == [threads]
    used.clear()
    monkeypatch.setattr(Workspace, "torch_device", lambda self: torch.device("cuda"))
    measure_all(runs, workspace)
    assert used == [(1, threads)] * seeds


def test_side_by_side_trains_what_one_after_the_other_would(tmp_path, two_threads):
    lines, alone = [], workspace_in(tmp_path / "alone", report=lambda line: None)
    both = workspace_in(tmp_path / "both", report=lines.append)
    records = measure_all([TEACHER, STUDENT, SHORT, STUDENT], both)
    assert set(records) == {run.digest for run in (TEACHER, STUDENT, SHORT)}
    torch.set_num_threads(1)  # as each of two has of two
    for run in (TEACHER, STUDENT, SHORT):
        expected = measure(run, alone)
        assert records[run.digest].measured == expected.measured
        assert records[run.digest].provenance["threads"] == 1
        assert digest_of_file(both.weights_file(run)) == digest_of_file(alone.weights_file(run))
    assert sum(": training " in line for line in lines) == 3

    kept = {run: both.weights_file(run).stat().st_mtime_ns for run in (TEACHER, SHORT)}
    assert measure_all([TEACHER, SHORT], both) == {run.digest: records[run.digest] for run in (TEACHER, SHORT)}
    forced = measure_all([TEACHER, SHORT], replace(both, force=True))
    assert all(both.weights_file(run).stat().st_mtime_ns > kept[run] for run in kept)
    assert {digest: record.measured for digest, record in forced.items()} == {
        run.digest: records[run.digest].measured for run in (TEACHER, SHORT)
    }


def test_a_cold_cache_of_many_images_is_decoded_before_the_workers_start(tmp_path, two_threads):
    generator, root = np.random.default_rng(0), tmp_path / "images"
    rows = [("train", f"t{identity}", number) for identity in range(6) for number in range(4)]
    rows += [("query", "p0", 0), ("query", "p1", 0)] + [("gallery", f"p{number % 2}", number) for number in range(500)]
    for role, identity, number in rows:
        file = root / role / identity / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (16, 8, 3), dtype=np.uint8)).save(file)
    run = replace(SHORT, data=DataSettings(dataset="own", version="noise"), size=(32, 32))
    workspace = workspace_in(tmp_path, data_root=root, report=lambda line: None)
    records = measure_all([run, replace(run, seed=1)], workspace)
    assert len(rows) > pixels.FEW_IMAGES
    assert all(
        record.measured["scores"]["protocol"]["multi_shot"]["overall"]["queries"] == 2 for record in records.values()
    )


@dataclass(frozen=True)
class Own:
    """Settings such as a user writes into a notebook: other processes cannot import them."""

    name: str
    title = "own"

    def build(self, identities: int, teacher: Method | None = None) -> Method:
        raise InputError(f"{self.name} has no networks for {identities} identities")


def test_a_run_that_fails_is_told_as_it_would_be_here(workspace, two_threads, monkeypatch):
    monkeypatch.setattr(Own, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Own", Own, raising=False)
    runs = [replace(SHORT, method=Own("mine")), SHORT]
    with pytest.raises(InputError, match="mine has no networks for 6 identities"):
        measure_all(runs, replace(workspace, report=lambda line: None))
    assert torch.get_num_threads() == 2


def test_a_training_ends_with_the_process_that_wants_it(tmp_path, monkeypatch):
    codes = []
    monkeypatch.setattr(parallel.os, "_exit", codes.append)
    parallel._report(tmp_path / "lines", parallel.os.getppid(), "epoch 1")
    assert (codes, (tmp_path / "lines").read_text()) == ([], "epoch 1\n")
    parallel._report(tmp_path / "lines", parallel.os.getpid(), "epoch 2")
    assert codes == [1]
