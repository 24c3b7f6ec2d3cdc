import multiprocessing
import os
import re
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from filelock import FileLock
from oracles import equal
from torch import Tensor
from workspaces import open_workspace

from crreid import numerics, runs
from crreid.data.pairs import PairBatch
from crreid.data.prepare import PreparedData, content_of
from crreid.errors import InputError
from crreid.methods.method import Method, ParameterGroup
from crreid.models.weights import digest_of_file
from crreid.profiles import profile_settings
from crreid.records import Record, read_sealed, write_sealed
from crreid.rows import loss_ablation_rows
from crreid.runs import Busy, Run, Workspace, find_record, forget, measure, record_data_note, trained
from crreid.settings import canonical, described
from crreid.training import loop

ROWS = loss_ablation_rows(profile_settings("smoke", "mlr-synthetic"))
TEACHER = ROWS["small ResNet-18: HR only"]
FULL = replace(ROWS["small ResNet-18: SR+ID+PS"], teacher=TEACHER)
QUICK = replace(TEACHER, schedule=replace(TEACHER.schedule, epochs=1, identities_per_batch=4))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, pixels: Path) -> tuple[Record, Workspace]:
    """A guided method and its teacher, trained without a break; tests must not change this workspace."""
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


def comparable(record: Record) -> dict[str, Any]:
    """What must not depend on when and where a run was measured."""
    plain = record.plain()
    return plain | {"provenance": {name: plain["provenance"][name] for name in ("data", "start")}}


def test_a_record_says_what_was_measured(measured: tuple[Record, Workspace]) -> None:
    record, workspace = measured
    assert (record.digest, record.title, record.seed) == (FULL.digest, "VDSR-CA + small ResNet-18 + PS", 0)
    assert (record.run, record.settings) == (canonical(FULL), described(FULL))
    scores = record.scores
    assert set(scores["test"]) == {"drawn", "uniform"}
    assert scores[scores["test"] == "uniform"]["rate"].unique().tolist() == [1, 4]
    assert record.persons is not None
    assert record.persons["queries"].sum() == scores["queries"][0] - scores["unmatched"][0]
    assert list(record.epochs) == ["epoch", "learning_rate", "sr", "sr_input", "ce", "triplet", "ps", "total"]
    assert record.epochs["epoch"].tolist() == [0, 1]
    student, teacher = (trained(run, workspace).method for run in (FULL, TEACHER))
    assert equal(student.teacher.state_dict(), teacher.network.state_dict())
    assert not torch.equal(student.network.classifier.weight, teacher.network.classifier.weight)
    trainable = [p for name, p in student.named_parameters() if not name.startswith("teacher.")]
    assert record.parameters == sum(parameter.numel() for parameter in trainable)
    for metric in ("rank1", "rank5", "rank10", "map_hit", "map_trapezoid"):
        assert 0 < record.score(metric) <= 100
    uniform = scores.query("test == 'uniform' and protocol == 'single_shot' and rate == 4 and metric == 'rank5'")
    assert record.score("rank5", test="uniform", protocol="single_shot", rate=4) == 100 * uniform["value"].item()
    origin = record.provenance
    assert (origin["data"]["name"], origin["start"]) == ("mlr-synthetic", "random")
    (stretch,) = origin["training"]
    assert (stretch["epochs"], stretch["threads"], stretch["processes"]) == (2, 1, 1)
    assert record.training_seconds == stretch["seconds"] > 0
    assert origin["evaluation"]["commit"] == stretch["commit"]


def test_a_record_on_disk_is_the_record_and_knows_no_path(measured: tuple[Record, Workspace]) -> None:
    record, workspace = measured
    file = workspace.results_dir / "records" / f"{FULL.digest}.json"
    assert workspace.record_file(FULL) == file
    assert [path.name for path in file.parent.iterdir()] == [file.name]  # the teacher was not asked for
    for run in (FULL, TEACHER):
        names = sorted(path.name for path in workspace.folder(run).iterdir())
        assert names == ["epochs.csv", "training.json", "weights.safetensors"]
    assert comparable(find_record(FULL, workspace)) == comparable(record)
    text = file.read_text()
    assert text.endswith("}\n")
    for private in (str(workspace.runs_dir), str(Path.home()), os.getcwd(), os.environ.get("HOSTNAME") or "\0"):
        assert private not in text
    assert not re.search('"[/~]', text)


def test_what_is_on_record_needs_neither_training_nor_data(
    quick: tuple[Record, Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(runs, "prepare")
    monkeypatch.delattr(runs, "train")
    monkeypatch.setattr(runs, "content_of", lambda settings, root: None)
    read_only = replace(quick[1], runs_dir=tmp_path / "nowhere")
    assert comparable(measure(QUICK, read_only)) == comparable(quick[0])
    assert not (tmp_path / "nowhere").exists()
    assert record_data_note(quick[0], QUICK, read_only) == "images not available here"


def test_a_number_is_shown_only_for_the_images_it_was_measured_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, trainings: list[int]
) -> None:
    record = measure(QUICK, workspace)
    assert record.provenance["data"]["content"] == content_of(QUICK.data, None)
    assert record_data_note(record, QUICK, workspace) == "images as recorded"
    with monkeypatch.context() as patch:
        patch.setattr(runs, "content_of", lambda settings, root: "0" * 16)
        with pytest.raises(InputError, match=r"\.json: measured on other images \(content \w+\) than"):
            measure(QUICK, workspace)
    not_recorded = record.plain()
    not_recorded["provenance"]["data"]["content"] = None
    write_sealed(workspace.record_file(QUICK), not_recorded)
    assert record_data_note(measure(QUICK, workspace), QUICK, workspace) == "images not recorded"
    assert trainings == []


def test_weights_are_used_only_for_the_run_and_the_images_that_they_were_trained_on(
    workspace: Workspace, trainings: list[int]
) -> None:
    file = workspace.training_file(QUICK)
    told = read_sealed(file, "training")
    assert (told["training"], told["content"]) == (QUICK.training_digest, content_of(QUICK.data, None))
    for change, problem in (
        ({"content": "0" * 16}, "measured on other images"),
        ({"training": "0" * 16}, "the training of another run, 0000000000000000; delete .* to train again"),
        ({"weights": "0" * 64}, "other weights than those that were trained here; delete"),
    ):
        write_sealed(file, told | change)
        with pytest.raises(InputError, match=problem):
            trained(QUICK, workspace)
    write_sealed(file, told)
    shutil.copy(file, workspace.folder(replace(QUICK, seed=1)).with_suffix(".json"))
    trained(QUICK, workspace)
    assert trainings == []


def test_a_checkpoint_of_other_images_is_refused(tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = open_workspace(tmp_path, pixels)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "save_weights", stop)
        with pytest.raises(KeyboardInterrupt):
            measure(QUICK, workspace)
    monkeypatch.setattr(PreparedData, "content", "0" * 16)
    with pytest.raises(InputError, match=r"checkpoint\.pt: belongs to another training \(run \w+ on images"):
        measure(QUICK, workspace)


def stop(*arguments: Any) -> None:
    raise KeyboardInterrupt


def test_what_is_forgotten_is_trained_again_and_found_the_same(
    tmp_path: Path, pixels: Path, trainings: list[int]
) -> None:
    workspace = open_workspace(tmp_path, pixels)
    student = replace(FULL, schedule=QUICK.schedule, teacher=QUICK)
    first = measure(student, workspace)
    measure(student, workspace)
    assert trainings == [0, 0]
    forget([student], workspace)
    assert find_record(student, workspace) is None
    assert not any(path.is_dir() for path in workspace.runs_dir.iterdir() if path.name != "pixels")
    again = measure(student, workspace)
    assert trainings == [0] * 4
    assert comparable(again) == comparable(first)


def test_another_test_of_the_same_training_uses_its_weights(workspace: Workspace, trainings: list[int]) -> None:
    flipped = replace(QUICK, evaluation=replace(QUICK.evaluation, flip=True))
    record = measure(flipped, workspace)
    assert trainings == []
    assert record.digest == flipped.digest != QUICK.digest
    before = find_record(QUICK, workspace)
    pd.testing.assert_frame_equal(record.epochs, before.epochs)
    assert not record.scores["value"].equals(before.scores["value"])


def test_trained_loads_the_weights_or_trains_again(workspace: Workspace, trainings: list[int]) -> None:
    first = trained(QUICK, workspace)
    assert trainings == []
    assert not first.method.training
    shutil.rmtree(workspace.folder(QUICK))
    second = trained(QUICK, workspace)
    assert trainings == [0]
    assert not second.method.training
    assert equal(first.method.state_dict(), second.method.state_dict())
    assert (second.run, second.data.name, second.device.type) == (QUICK, "mlr-synthetic", "cpu")


def come_from(monkeypatch: pytest.MonkeyPatch, **origin: Any) -> None:
    """Lets what is done from now on say that it was done there."""
    here = runs.provenance(torch.device("cpu")) | {"commit": "a", "dirty": False, "device": "cpu"} | origin
    monkeypatch.setattr(runs, "provenance", lambda device: here)


def test_provenance_is_that_of_the_start(tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    come_from(monkeypatch, commit="at the start")
    really = runs.train

    def train(*arguments: Any, **options: Any) -> Any:
        come_from(monkeypatch, commit="later")
        return really(*arguments, **options)

    monkeypatch.setattr(runs, "train", train)
    origin = measure(QUICK, open_workspace(tmp_path, pixels)).provenance
    assert origin["training"][0]["commit"] == origin["evaluation"]["commit"] == "at the start"


def test_a_processor_without_bf16_computes_in_fp32_and_says_so(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "_computes_bf16", lambda device: False)
    halved = replace(QUICK, schedule=replace(QUICK.schedule, precision="bf16"))
    emulated, full = (
        measure(run, open_workspace(tmp_path / name, pixels)) for name, run in (("bf16", halved), ("fp32", QUICK))
    )
    assert emulated.scores.equals(full.scores)
    assert emulated.epochs.equals(full.epochs)
    assert emulated.digest != full.digest
    origin = emulated.provenance
    assert [each["precision"] for each in (origin["evaluation"], *origin["training"])] == ["fp32", "fp32"]


def test_a_later_evaluation_names_who_trained(
    tmp_path: Path, pixels: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[int]
) -> None:
    workspace = open_workspace(tmp_path, pixels)
    stamps = iter(f"2026-01-0{day}" for day in range(1, 9))
    monkeypatch.setattr(runs, "time_stamp", lambda: next(stamps))
    come_from(monkeypatch)
    first = measure(QUICK, workspace).provenance  # takes two stamps: training and evaluation
    come_from(monkeypatch, threads=7, commit="b", dirty=None, device="GPU")
    again = measure(replace(QUICK, evaluation=replace(QUICK.evaluation, flip=True)), workspace).provenance
    assert trainings == [0]
    assert again["training"] == first["training"]
    assert first["training"][0]["started"] == "2026-01-01"
    for origin, expected in ((first, ("a", False, "cpu", "2026-01-02")), (again, ("b", None, "GPU", "2026-01-03"))):
        assert tuple(origin["evaluation"][name] for name in ("commit", "dirty", "device", "started")) == expected


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 2}', '{"epochs": [], "provenance": {}}'])
def test_a_damaged_log_of_a_training_is_named(workspace: Workspace, content: str) -> None:
    workspace.training_file(QUICK).write_text(content)
    with pytest.raises(InputError, match=r"training\.json: not a training of crreid .*; delete it"):
        trained(QUICK, workspace)


def test_log_or_weights_alone_are_no_training(workspace: Workspace, trainings: list[int]) -> None:
    for name in ("training.json", "weights.safetensors"):
        (workspace.folder(QUICK) / name).unlink()
        (workspace.folder(QUICK) / ".checkpoint.pt.5f").touch()  # left by a process that was killed
        trained(QUICK, workspace)
        assert not list(workspace.folder(QUICK).glob(".*"))
    assert trainings == [0, 0]


def test_a_run_that_another_process_trains_is_waited_for_or_left_to_it(workspace: Workspace) -> None:
    other = replace(QUICK, seed=1)
    with FileLock(f"{workspace.folder(other)}.lock"), pytest.raises(Busy, match="another training of the run is under"):
        measure(other, replace(workspace, wait=False))


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


class Colours(Method):
    """Describes an image by its mean colour in 4 x 2 fields."""

    def players(self) -> dict[str, list[ParameterGroup]]:
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
    assert (len(record.epochs), record.parameters, record.training_seconds) == (0, 0, 0)
    assert record.provenance["training"] == []
    assert 0 < record.score("rank1") <= 100
    files = sorted(path.name for path in workspace.folder(run).iterdir())
    assert files == ["training.json", "weights.safetensors"]
    assert comparable(find_record(run, workspace)) == comparable(record)
    lines: list[str] = []
    trained(run, replace(workspace, report=lines.append))
    assert lines == [f"colours: weights of {run.training_digest} are available"]


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
    loop.PROGRESS_SECONDS = -1.0  # a line per step

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

    measure_until("small ResNet-18: epoch 2/2 step 3/")
    assert sorted(path.name for path in teacher.iterdir()) == ["checkpoint.pt", "epochs.csv"]
    assert not student.exists()

    lines = measure_until(f"{FULL.method.title}: epoch 2/2 step 3/")
    assert lines.count("small ResNet-18: resumed after epoch 1 of 2") == 1
    assert (teacher / "weights.safetensors").exists()
    assert sorted(path.name for path in student.iterdir()) == ["checkpoint.pt", "epochs.csv"]

    lines = measure_until("")
    assert lines[0].startswith("small ResNet-18: weights of ")
    assert lines.count(f"{FULL.method.title}: resumed after epoch 1 of 2") == 1
    record = find_record(FULL, workspace)
    assert comparable(record) == comparable(uninterrupted)
    # the student was trained by two processes, one epoch each
    assert [stretch["epochs"] for stretch in record.provenance["training"]] == [1, 1]
    for run in (TEACHER, FULL):
        same = [space.folder(run) / "weights.safetensors" for space in (workspace, finished)]
        assert digest_of_file(same[0]) == digest_of_file(same[1])
