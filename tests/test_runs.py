import json
import math
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from crreid import runs
from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.methods.method import Method, Player
from crreid.models.weights import digest_of_file
from crreid.profiles import profile_settings
from crreid.records import Record
from crreid.rows import loss_ablation_rows
from crreid.runs import Run, Workspace, find_record, measure, trained
from crreid.starting_weights import StartingWeights
from crreid.training import loop

ROWS = loss_ablation_rows(profile_settings("smoke", "mlr-synthetic"), seed=0, weights=StartingWeights())
FULL, TEACHER = ROWS["SR+ID+PS"], ROWS["HRNet-ReID-H alone"]
QUICK = replace(TEACHER, schedule=replace(TEACHER.schedule, epochs=1, identities_per_batch=4))


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded images that all tests of this file share."""
    return tmp_path_factory.mktemp("pixels")


def open_workspace(folder: Path, pixels: Path, **options: Any) -> Workspace:
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    if not (folder / "runs" / "pixels").exists():
        (folder / "runs" / "pixels").symlink_to(pixels)
    options = {"device": "cpu", "report": lambda line: None} | options
    return Workspace(results_dir=folder / "results", runs_dir=folder / "runs", **options)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, pixels: Path) -> tuple[Record, Workspace]:
    """SR+ID+PS and its teacher, trained without a break; tests must not change this workspace."""
    workspace = open_workspace(tmp_path_factory.mktemp("measured"), pixels)
    return measure(FULL, workspace), workspace


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, pixels: Path) -> tuple[Record, Workspace]:
    """One epoch of the teacher; tests must not change this workspace."""
    workspace = open_workspace(tmp_path_factory.mktemp("quick"), pixels)
    return measure(QUICK, workspace), workspace


@pytest.fixture
def workspace(tmp_path: Path, pixels: Path, quick: tuple[Record, Workspace]) -> Workspace:
    """A copy of `quick` that a test may change."""
    for part in ("results", "runs"):
        shutil.copytree(quick[1].results_dir.parent / part, tmp_path / part, symlinks=True)
    return open_workspace(tmp_path, pixels)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the trainings that were started."""
    seeds: list[int] = []
    really = runs.train

    def train(*arguments: Any, **options: Any) -> Any:
        seeds.append(options["seed"])
        return really(*arguments, **options)

    monkeypatch.setattr(runs, "train", train)
    return seeds


def comparable(record: Record) -> tuple[Any, ...]:
    """What must not depend on when and where a run was measured."""
    return record.digest, record.title, record.run, record.measured, record.provenance["data"]


def test_a_record_says_what_was_measured(measured: tuple[Record, Workspace]) -> None:
    record, workspace = measured
    assert (record.digest, record.title, record.run) == (FULL.digest, "SR+ID+PS", FULL.describe())
    assert list(record.measured["scores"]) == ["protocol", "rate 1", "rate 4"]
    assert [row["epoch"] for row in record.measured["epochs"]] == [0, 1]
    assert set(record.measured["epochs"][0]) == {"epoch", "learning_rate", "ce", "triplet", "sr", "ps", "total"}
    student = trained(FULL, workspace).method
    trainable = [p for name, p in student.named_parameters() if not name.startswith("teacher.")]
    assert record.measured["parameters"] == sum(parameter.numel() for parameter in trainable)
    for metric in ("rank1", "rank5", "rank10", "map_hit", "map_trapezoid"):
        assert 0 < record.score(metric) <= 100
    protocol = record.measured["scores"]["rate 4"]["single_shot"]["overall"]
    assert record.score("rank5", test="rate 4", protocol="single_shot") == 100 * protocol["ranks"]["5"]
    assert record.provenance["data"]["name"] == "mlr-synthetic"
    assert record.provenance["training_seconds"] > 0
    keys = {"commit", "dirty", "packages", "python", "device", "threads", "started"}
    assert set(record.provenance) == keys | {"data", "training_seconds", "evaluation_seconds"}


def test_a_record_on_disk_is_the_record_and_knows_no_path(measured: tuple[Record, Workspace]) -> None:
    record, workspace = measured
    file = workspace.results_dir / "records" / f"{FULL.digest}.json"
    assert workspace.record_file(FULL) == file
    assert [path.name for path in file.parent.iterdir()] == [file.name]  # the teacher was not asked for
    assert comparable(find_record(FULL, workspace)) == comparable(record)
    text = file.read_text()
    assert text.endswith("}\n")
    for private in (str(workspace.runs_dir), str(Path.home()), os.getcwd(), os.environ.get("HOSTNAME") or "\0"):
        assert private not in text
    assert not [leaf for leaf in leaves(json.loads(text)) if isinstance(leaf, str) and leaf.startswith(("/", "~"))]


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


def test_finished_runs_leave_weights_and_log_and_no_checkpoint(measured: tuple[Record, Workspace]) -> None:
    workspace = measured[1]
    for run in (FULL, TEACHER):
        files = sorted(path.name for path in workspace.folder(run).iterdir())
        assert files == ["epochs.csv", "training.json", "weights.safetensors"]


def test_what_is_on_record_needs_neither_training_nor_data(
    quick: tuple[Record, Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(runs, "prepare")
    monkeypatch.delattr(runs, "train")
    read_only = replace(quick[1], runs_dir=tmp_path / "nowhere", data_root=tmp_path / "gone")
    assert comparable(measure(QUICK, read_only)) == comparable(quick[0])
    assert not (tmp_path / "nowhere").exists()


def test_force_trains_again_and_finds_the_same(
    workspace: Workspace, quick: tuple[Record, Workspace], trainings: list[int]
) -> None:
    measure(QUICK, workspace)
    assert trainings == []
    record = measure(QUICK, replace(workspace, force=True))
    assert trainings == [0]
    assert comparable(record) == comparable(quick[0])


def test_another_test_of_the_same_training_uses_its_weights(workspace: Workspace, trainings: list[int]) -> None:
    flipped = replace(QUICK, evaluation=replace(QUICK.evaluation, flip=True))
    record = measure(flipped, workspace)
    assert trainings == []
    assert record.digest == flipped.digest != QUICK.digest
    assert record.measured["epochs"] == find_record(QUICK, workspace).measured["epochs"]
    assert record.measured["scores"] != find_record(QUICK, workspace).measured["scores"]


def test_another_seed_is_another_run(workspace: Workspace, trainings: list[int]) -> None:
    record = measure(replace(QUICK, seed=1), workspace)
    assert trainings == [1]
    assert record.measured["epochs"] != find_record(QUICK, workspace).measured["epochs"]


def test_trained_loads_the_weights_or_trains_again(workspace: Workspace, trainings: list[int]) -> None:
    first = trained(QUICK, workspace)
    assert trainings == []
    assert not first.method.training
    shutil.rmtree(workspace.folder(QUICK))
    second = trained(QUICK, workspace)
    assert trainings == [0]
    assert not second.method.training
    one, other = first.method.state_dict(), second.method.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (second.run, second.data.name, second.device.type) == (QUICK, "mlr-synthetic", "cpu")


def test_trained_does_not_force(workspace: Workspace, trainings: list[int]) -> None:
    trained(QUICK, replace(workspace, force=True))
    assert trainings == []


def test_the_student_gets_the_teacher_of_its_run(measured: tuple[Record, Workspace]) -> None:
    student = trained(FULL, measured[1]).method
    teacher = trained(TEACHER, measured[1]).method
    one, other = student.teacher.state_dict(), teacher.network.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(student.network.classifier.weight, teacher.network.classifier.weight)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"digest": "x"}', '{"unknown": 1}', "\xff"])
def test_a_corrupt_record_is_named(workspace: Workspace, content: str) -> None:
    workspace.record_file(QUICK).write_bytes(content.encode("latin1"))
    with pytest.raises(InputError, match=rf"{QUICK.digest}\.json: not a record of crreid .*; delete it"):
        measure(QUICK, workspace)


def test_the_record_of_another_run_is_refused(workspace: Workspace) -> None:
    other = replace(QUICK, seed=1)
    shutil.copy(workspace.record_file(QUICK), workspace.record_file(other))
    expected = rf"{other.digest}\.json: the record of another run, {QUICK.digest}; delete it to measure the run again"
    for look in (find_record, measure):
        with pytest.raises(InputError, match=expected):
            look(other, workspace)


def test_a_score_that_is_not_there_is_named(measured: tuple[Record, Workspace]) -> None:
    record = measured[0]
    metrics = "rank1, .*rank10, .*map_hit, map_trapezoid"
    with pytest.raises(InputError, match=rf"record {FULL.digest} has no metric 'map'; it has {metrics}$"):
        record.score("map")
    with pytest.raises(InputError, match="has no metric 'rank7'"):
        record.score("rank7")
    with pytest.raises(InputError, match="has no metric 'map_hit'; it has rank1"):
        record.score("map_hit", protocol="single_shot")
    with pytest.raises(InputError, match=r"has no test 'rate 3'; it has protocol, rate 1, rate 4$"):
        record.score("rank1", test="rate 3")
    with pytest.raises(InputError, match=r"has no protocol 'two_shot'; it has multi_shot, single_shot$"):
        record.score("rank1", protocol="two_shot")


def test_a_score_of_no_query_is_not_a_number() -> None:
    overall = {"ranks": {"1": None}, "map_hit": 0.5}
    measured = {"scores": {"protocol": {"multi_shot": {"overall": overall}}}}
    record = Record(digest="0" * 16, title="", run={}, measured=measured, provenance={})
    assert math.isnan(record.score("rank1"))
    assert record.score("map_hit") == 50


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[1] / "results" / "records").glob("*.json")), ids=str)
def test_committed_records_can_be_read(file: Path) -> None:
    record = Record(**json.loads(file.read_text()))
    assert record.digest == file.stem
    assert 0 <= record.score("rank1") <= 100


def test_no_record_is_none(tmp_path: Path, pixels: Path) -> None:
    assert find_record(QUICK, open_workspace(tmp_path, pixels)) is None


def test_a_failed_training_leaves_no_record_and_no_lock(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch, quick: tuple[Record, Workspace]
) -> None:
    workspace = open_workspace(tmp_path, pixels)

    def fail(*arguments: Any, **options: Any) -> None:
        raise loop.TrainingDiverged("epoch 1, step 1")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", fail)
        with pytest.raises(loop.TrainingDiverged):
            measure(QUICK, workspace)
    assert find_record(QUICK, workspace) is None
    assert comparable(measure(QUICK, workspace)) == comparable(quick[0])


def test_provenance_is_that_of_the_start(tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    come_from(monkeypatch, commit="at the start")
    really = runs.train

    def train(*arguments: Any, **options: Any) -> Any:
        come_from(monkeypatch, commit="later")
        return really(*arguments, **options)

    monkeypatch.setattr(runs, "train", train)
    origin = measure(QUICK, open_workspace(tmp_path, pixels)).provenance
    assert origin["commit"] == "at the start"
    assert "evaluation" not in origin


def come_from(monkeypatch: pytest.MonkeyPatch, **origin: Any) -> None:
    """Lets what is done from now on say that it was done there."""
    here = {"commit": "a", "dirty": False, "device": "cpu", "threads": 1} | origin
    monkeypatch.setattr(runs, "provenance", lambda device: here)


@pytest.mark.parametrize("difference", [{"commit": "b"}, {"dirty": True}, {"dirty": None}, {"device": "GPU"}, {}])
def test_a_later_test_names_who_trained(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch, difference: dict[str, Any], trainings: list[int]
) -> None:
    workspace = open_workspace(tmp_path, pixels)
    stamps = iter(f"2026-01-0{day}" for day in range(1, 9))
    monkeypatch.setattr(runs, "time_stamp", lambda: next(stamps))
    come_from(monkeypatch)
    first = measure(QUICK, workspace).provenance  # takes two stamps: training and test
    come_from(monkeypatch, threads=7, **difference)
    again = measure(replace(QUICK, evaluation=replace(QUICK.evaluation, flip=True)), workspace).provenance
    assert trainings == [0]
    assert first["started"] == "2026-01-01"
    assert "evaluation" not in first
    tested = {"commit": "a", "dirty": False, "device": "cpu", "started": "2026-01-03"} | difference
    assert again.pop("evaluation", None) == (tested if difference else None)
    assert again | {"evaluation_seconds": 0} == first | {"evaluation_seconds": 0}


def test_a_students_record_tells_of_its_own_training(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = open_workspace(tmp_path, pixels)
    schedule = QUICK.schedule
    come_from(monkeypatch, commit="teacher's")
    trained(replace(TEACHER, schedule=schedule), workspace)
    come_from(monkeypatch, commit="student's")
    student = replace(FULL, schedule=schedule, teacher=replace(TEACHER, schedule=schedule))
    assert measure(student, workspace).provenance["commit"] == "student's"


def test_weights_from_before_provenance_was_kept_are_of_unknown_origin(
    workspace: Workspace, trainings: list[int], quick: tuple[Record, Workspace]
) -> None:
    folder = workspace.folder(QUICK)
    log = json.loads((folder / "training.json").read_text())
    (folder / "epochs.json").write_text(json.dumps(log["epochs"]))
    (folder / "training.json").unlink()
    workspace.record_file(QUICK).unlink()
    record = measure(QUICK, workspace)
    assert trainings == []
    assert record.measured == quick[0].measured
    origin = record.provenance
    assert (origin["commit"], origin["dirty"], origin["device"], origin["started"]) == ("", None, "unknown", "unknown")
    assert origin["evaluation"]["device"] == quick[0].provenance["device"]
    assert origin["training_seconds"] == quick[0].provenance["training_seconds"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"epochs": []}', '{"epochs": [], "provenance": {}, "more": 1}'])
def test_a_damaged_log_of_a_training_is_named(workspace: Workspace, content: str) -> None:
    (workspace.folder(QUICK) / "training.json").write_text(content)
    with pytest.raises(InputError, match=r"training\.json: not the log of a training; delete its folder"):
        trained(QUICK, workspace)


def test_log_or_weights_alone_are_no_training(workspace: Workspace, trainings: list[int]) -> None:
    for name in ("training.json", "weights.safetensors"):
        (workspace.folder(QUICK) / name).unlink()
        trained(QUICK, workspace)
    assert trainings == [0, 0]


def test_force_keeps_a_trained_teacher(
    tmp_path: Path, pixels: Path, quick: tuple[Record, Workspace], trainings: list[int]
) -> None:
    workspace = open_workspace(tmp_path, pixels)
    shutil.copytree(quick[1].folder(QUICK), workspace.folder(QUICK))
    file = workspace.folder(QUICK) / "weights.safetensors"
    before = file.stat().st_mtime_ns
    student = replace(FULL, schedule=QUICK.schedule, teacher=QUICK)
    measure(student, replace(workspace, force=True))
    assert trainings == [0]
    assert file.stat().st_mtime_ns == before


def test_a_full_disk_leaves_no_record_and_nothing_half_written(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch, quick: tuple[Record, Workspace]
) -> None:
    workspace = open_workspace(tmp_path, pixels)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(InputError, match=r"checkpoint\.pt: cannot be written .*No space left on device"):
            measure(QUICK, workspace)
    assert [path.name for path in workspace.folder(QUICK).iterdir()] == ["epochs.csv"]
    assert find_record(QUICK, workspace) is None
    assert comparable(measure(QUICK, workspace)) == comparable(quick[0])


# --- methods that have nothing to learn ----------------------------------------------------------------------------


class Colours(Method):
    """Describes an image by its mean colour in 4 x 2 fields."""

    def players(self) -> dict[str, Player]:
        return {}

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        raise AssertionError("nothing is trained")

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, (4, 2)).flatten(1)


@dataclass(frozen=True, kw_only=True)
class ColourSettings:
    title: str = "colours"
    backbone_name: str = ""

    def build(self, identities: int, teacher: Method | None = None) -> Colours:
        return Colours()


def test_a_method_without_parameters_is_measured_untrained(tmp_path: Path, pixels: Path) -> None:
    workspace = open_workspace(tmp_path, pixels)
    run = replace(QUICK, method=ColourSettings(), schedule=replace(QUICK.schedule, epochs=0))
    record = measure(run, workspace)
    assert record.measured["epochs"] == []
    assert record.measured["parameters"] == 0
    assert record.provenance["training_seconds"] == 0
    assert 0 < record.score("rank1") <= 100
    files = sorted(path.name for path in workspace.folder(run).iterdir())
    assert files == ["training.json", "weights.safetensors"]
    assert comparable(find_record(run, workspace)) == comparable(record)
    lines: list[str] = []
    trained(run, replace(workspace, report=lines.append))
    assert lines == [f"colours: weights of {run.training_digest} are at hand"]


def test_a_network_can_be_measured_untrained(tmp_path: Path, pixels: Path) -> None:
    run = replace(QUICK, schedule=replace(QUICK.schedule, epochs=0))
    record = measure(run, open_workspace(tmp_path, pixels))
    assert record.measured["epochs"] == []
    assert record.measured["parameters"] > 0
    assert comparable(measure(run, open_workspace(tmp_path / "again", pixels))) == comparable(record)


def test_a_device_that_is_not_there_is_named(quick: tuple[Record, Workspace]) -> None:
    for device in ("abacus", "cuda:99"):
        with pytest.raises(InputError, match=f"device '{device}' is not available here; use auto, cpu or cuda"):
            replace(quick[1], device=device).torch_device()
    assert replace(quick[1], device="auto").torch_device().type in ("cpu", "cuda")


# --- several processes, and the end of one ------------------------------------------------------------------------

# its server has torch imported and no thread started, so that a child begins at once and may train
CHILDREN = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def preloaded() -> None:
    CHILDREN.set_forkserver_preload(["crreid.runs", "torch._dynamo"])


def work(run: Run, folder: Path, pixels: Path, kill_at: str = "", barrier: Any = None) -> None:
    """Measures a run in a process of its own; the line that begins with `kill_at` ends it as `kill -9` does.

    What is reported is appended to `log.txt`.
    """
    torch.set_num_threads(1)
    loop.PROGRESS_SECONDS = -1.0  # a line a step

    def report(line: str) -> None:
        with (folder / "log.txt").open("a") as stream:
            stream.write(f"{line}\n")
        if kill_at and line.startswith(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)

    workspace = open_workspace(folder, pixels, report=report)
    if barrier is not None:
        barrier.wait()
    measure(run, workspace)


def start(*arguments: Any, **options: Any) -> Any:
    process = CHILDREN.Process(target=work, args=arguments, kwargs=options)
    process.start()
    return process


def finish(process: Any) -> int:
    process.join(120)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


def test_two_processes_that_ask_at_once_train_once(
    tmp_path: Path, pixels: Path, quick: tuple[Record, Workspace]
) -> None:
    workspace, barrier = open_workspace(tmp_path, pixels), CHILDREN.Barrier(2)
    processes = [start(QUICK, tmp_path, pixels, barrier=barrier) for _ in range(2)]
    assert [finish(process) for process in processes] == [0, 0]
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert sum(": training " in line for line in lines) == 1
    steps = [line.split(": ")[1] for line in lines if ": epoch " in line]
    assert len(steps) == len(set(steps)) > 0
    assert comparable(find_record(QUICK, workspace)) == comparable(quick[0])


def test_killed_in_either_phase_and_started_again_it_measures_the_same(
    tmp_path: Path, pixels: Path, measured: tuple[Record, Workspace]
) -> None:
    uninterrupted, finished = measured
    workspace = open_workspace(tmp_path, pixels)
    teacher, student = workspace.folder(TEACHER), workspace.folder(FULL)

    def measure_until(kill_at: str) -> list[str]:
        (tmp_path / "log.txt").unlink(missing_ok=True)
        code = finish(start(FULL, tmp_path, pixels, kill_at=kill_at))
        assert code == (0 if not kill_at else -signal.SIGKILL)
        assert (find_record(FULL, workspace) is None) == bool(kill_at)
        return (tmp_path / "log.txt").read_text().splitlines()

    measure_until("HRNet-ReID-H alone: epoch 2/2 step 3/")
    assert sorted(path.name for path in teacher.iterdir()) == ["checkpoint.pt", "epochs.csv"]
    assert not student.exists()

    lines = measure_until("SR+ID+PS: epoch 2/2 step 3/")
    assert lines.count("HRNet-ReID-H alone: resumed after epoch 1 of 2") == 1
    assert (teacher / "weights.safetensors").exists()
    assert sorted(path.name for path in student.iterdir()) == ["checkpoint.pt", "epochs.csv"]

    lines = measure_until("")
    assert lines[0].startswith("HRNet-ReID-H alone: weights of ")
    assert lines.count("SR+ID+PS: resumed after epoch 1 of 2") == 1
    assert comparable(find_record(FULL, workspace)) == comparable(uninterrupted)
    for run in (TEACHER, FULL):
        same = [space.folder(run) / "weights.safetensors" for space in (workspace, finished)]
        assert digest_of_file(same[0]) == digest_of_file(same[1])
