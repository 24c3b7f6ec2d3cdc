"""Working through missing runs: the plan's order, the minutes that are left, and a run that fails."""

import json
from dataclasses import replace

import pytest
import torch

from crreid.cli import main
from crreid.errors import InputError
from crreid.runs import with_teachers
from crreid.study import plan, worklist
from crreid.study.items import StudyItem
from crreid.study.plan import Cost, named_runs, plan_study
from crreid.study.rows import loss_ablation_rows
from crreid.study.session import open_session
from crreid.study.speed import Speed
from crreid.study.worklist import work_through

TABLE = StudyItem(name="table2", paper="four rows", rows=loss_ablation_rows, tables=("table2",))


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setattr(
        plan, "measured_speed", lambda run, device: Speed(seconds_per_pair=2, seconds_per_image=1, basis="b")
    )
    session = open_session("measure", profile="smoke", results_dir=str(tmp_path), device="cpu")
    return replace(session, workspace=replace(session.workspace, report=lambda line: None))


@pytest.fixture
def measured(monkeypatch):
    """Instead of training, notes the methods in turn and leaves the weights of each and of its teachers."""
    titles = []

    class Record:
        def score(self, metric):
            return 50.0

    def measure(run, workspace):
        for each in with_teachers([run]):
            workspace.folder(each).mkdir(parents=True, exist_ok=True)
            workspace.weights_file(each).touch()
        titles.append(run.method.title)
        return Record()

    monkeypatch.setattr(worklist, "measure", measure)
    return titles


def costs(planned, *, training, evaluation=0.0):
    cost = Cost(training=training, evaluation=evaluation, basis="given")
    return replace(
        planned,
        missing=dict.fromkeys(planned.missing, cost),
        teachers={digest: (run, cost) for digest, (run, _) in planned.teachers.items()},
    )


def test_works_in_the_plans_order(session, measured):
    done = work_through(plan_study([TABLE], session))
    assert measured == ["HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS"]
    assert done.measured == [f"{row} (seed 0)" for row in measured]
    assert str(done) == "4 runs measured, 0 failed, 0 left"


def test_begins_no_run_that_would_end_too_late(session, measured):
    planned = costs(plan_study([TABLE], session), training=100, evaluation=10)
    assert work_through(planned, minutes=100 / 60).left == [
        f"{row} (seed 0)" for row in ("HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS")
    ]
    assert measured == []
    assert len(work_through(planned, minutes=110 / 60, clock=lambda: 0.0).measured) == 4


def test_time_that_has_passed_counts(session, measured):
    ticks = iter(range(0, 10_000, 100))
    planned = costs(plan_study([TABLE], session), training=100)
    done = work_through(planned, minutes=250 / 60, clock=lambda: next(ticks))
    assert (len(done.measured), len(done.left)) == (1, 3)
    assert "left: ID (seed 0), SR+ID (seed 0), SR+ID+PS (seed 0)" in str(done)


def test_a_teacher_that_is_not_trained_counts_for_its_student(session, measured):
    planned = costs(plan_study([TABLE], session, ["SR+ID+PS"]), training=100)
    assert work_through(planned, minutes=199 / 60).left == ["SR+ID+PS (seed 0)"]
    assert work_through(planned, minutes=200 / 60, clock=lambda: 0.0).measured == ["SR+ID+PS (seed 0)"]


def test_a_failure_leaves_the_others_their_turn(session, measured, monkeypatch):
    works = worklist.measure

    def fails_once(run, workspace):
        if run.method.title == "ID":
            raise torch.cuda.OutOfMemoryError("no room")
        return works(run, workspace)

    monkeypatch.setattr(worklist, "measure", fails_once)
    done = work_through(plan_study([TABLE], session))
    assert done.failed == {"ID (seed 0)": "no room"}
    assert measured == ["HRNet-ReID-H alone", "SR+ID", "SR+ID+PS"]


def test_rows_are_chosen_by_name(session):
    assert [entry.row for entry in named_runs([TABLE], session, ["ID"])] == ["ID"]
    with pytest.raises(InputError, match="no row 'id'; expected some of HRNet-ReID-H alone, ID"):
        named_runs([TABLE], session, ["id"])


def test_the_command_measures_and_then_finds_the_record(tmp_path, capsys):
    arguments = ["measure", "--only", "table2_loss_ablation", "--rows", "HRNet-ReID-H alone", "--profile", "smoke"]
    arguments += ["--device", "cpu", "--results-dir", str(tmp_path)]
    main(arguments)
    assert "1 runs measured, 0 failed, 0 left" in capsys.readouterr().out
    (file,) = (tmp_path / "records").glob("*.json")
    assert json.loads(file.read_text())["measured"]["epochs"]
    main(arguments)
    assert "0 runs measured, 0 failed, 0 left" in capsys.readouterr().out
