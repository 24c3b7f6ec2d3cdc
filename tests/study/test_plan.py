"""What a study would cost: counted once, from records where there are any, else from measured steps."""

import json
from dataclasses import replace

import pytest
import torch

from crreid.provenance import device_name
from crreid.runs import missing_trainings, with_teachers
from crreid.study import plan
from crreid.study.items import StudyItem
from crreid.study.plan import named_runs, plan_study
from crreid.study.rows import loss_ablation_rows
from crreid.study.session import open_session
from crreid.study.speed import Speed, measured_speed

DEVICE = device_name(torch.device("cpu"))


def full_rows(profile, *, seed, weights):
    return {"SR+ID+PS": loss_ablation_rows(profile, seed=seed, weights=weights)["SR+ID+PS"]}


FULL = StudyItem(name="full", paper="one row", rows=full_rows, tables=("full",))
TABLE = StudyItem(name="table2", paper="four rows", rows=loss_ablation_rows, tables=("table2",), pictures=("faces",))


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setattr(
        plan, "measured_speed", lambda run, device: Speed(seconds_per_pair=2, seconds_per_image=1, basis="b")
    )
    session = open_session("study", profile="smoke", results_dir=str(tmp_path), device="cpu")
    return replace(session, workspace=replace(session.workspace, report=lambda line: None))


def write_record(session, run, *, seconds=60.0, device=DEVICE, threads=None):
    origin = {"device": device, "threads": threads or torch.get_num_threads()}
    origin |= {"training_seconds": seconds, "evaluation_seconds": 9.0}
    file = session.workspace.record_file(run)
    file.parent.mkdir(parents=True, exist_ok=True)
    epochs = [{}] * run.schedule.epochs
    file.write_text(json.dumps({"run": run.describe(), "measured": {"epochs": epochs}, "provenance": origin}))


def leave_weights(session, run):
    session.workspace.folder(run).mkdir(parents=True)
    session.workspace.weights_file(run).touch()


def test_teachers_come_first_and_once(session):
    runs = [entry.run for entry in named_runs((TABLE, FULL), session)]
    assert len(runs) == 5
    ordered = with_teachers(runs[::-1])
    assert len(ordered) == 4
    assert ordered[0] == runs[0]  # the teacher of the last row
    assert with_teachers([]) == []


def test_what_has_weights_is_not_trained_but_a_teacher_without_them_is(session):
    (student,) = (entry.run for entry in named_runs((FULL,), session))
    teacher = student.teacher
    assert missing_trainings(student, session.workspace) == [teacher, student]
    leave_weights(session, student)
    assert missing_trainings(student, session.workspace) == [teacher]
    assert [run for run, _ in plan_study((FULL,), session).teachers.values()] == [teacher]
    leave_weights(session, teacher)
    assert missing_trainings(student, session.workspace) == []
    assert plan_study((FULL,), session).teachers == {}


def test_shared_runs_are_counted_once_and_a_teacher_that_is_no_row_counts(session):
    alone = plan_study((FULL,), session)
    assert len(alone.missing) == 1
    (teacher, cost), *others = alone.teachers.values()
    assert others == []
    assert teacher.method.title == "HRNet-ReID-H alone"
    assert cost.training > 0
    assert cost.evaluation == 0
    both = plan_study((FULL, TABLE), session)
    assert len(both.named) == 5
    assert len(both.missing) == 4
    assert both.teachers == {}
    text = both.report()
    assert "the tables name 5 runs, 4 of them distinct; 0 are on record, 4 are missing" in text
    assert text.count("counted at full") == 1


def test_pairs_and_images_are_those_of_the_data(session):
    run = full_rows(session.profile, seed=0, weights=session.weights)["SR+ID+PS"]
    cost = plan_study((FULL,), session).missing[run.digest]
    data = session.data()
    schedule = run.schedule
    per_batch = schedule.identities_per_batch * schedule.images_per_identity
    assert cost.training % (2 * per_batch * schedule.epochs) == 0
    assert 0.5 < cost.training / (2 * len(data.train) * schedule.epochs) < 1.5
    assert cost.evaluation == (1 + len(run.evaluation.query_rates)) * len(data.query) + len(data.gallery)


def test_a_record_of_another_seed_gives_the_seconds(session):
    run = full_rows(session.profile, seed=7, weights=session.weights)["SR+ID+PS"]
    for seed, seconds in ((1, 60.0), (2, 80.0), (3, 400.0)):
        write_record(session, replace(run, seed=seed), seconds=seconds)
    write_record(session, replace(run, seed=4), seconds=1.0, device="another machine")
    write_record(session, replace(run, seed=5), seconds=1.0, threads=torch.get_num_threads() + 1)
    cost = plan_study((FULL,), replace(session, seeds=(7,))).missing[run.digest]
    assert (cost.training, cost.evaluation) == pytest.approx((80, 9))
    assert cost.basis == "from 3 records of the same method"
    longer = replace(session.profile, schedule=replace(run.schedule, epochs=3 * run.schedule.epochs, learning_rate=1))
    plan = plan_study((FULL,), replace(session, seeds=(7,), profile=longer))
    assert next(iter(plan.missing.values())).training == pytest.approx(240)


def test_what_is_on_record_costs_nothing_but_its_weights_may_be_needed(session):
    rows = loss_ablation_rows(session.profile, seed=0, weights=session.weights)
    for run in rows.values():
        write_record(session, run)
    done = plan_study((TABLE,), session)
    assert done.missing == {}
    assert "4 are on record, 0 are missing" in done.report()
    assert "takes about 0.0 min" in done.report()
    assert "table2 may train again" in done.report()  # pictures need weights
    session.workspace.record_file(rows["SR+ID+PS"]).unlink()
    again = plan_study((TABLE,), session)
    assert [run.digest for run, _ in again.teachers.values()] == [rows["HRNet-ReID-H alone"].digest]
    leave_weights(session, rows["HRNet-ReID-H alone"])
    assert plan_study((TABLE,), session).teachers == {}
    leave_weights(session, rows["SR+ID+PS"])
    (cost,) = plan_study((TABLE,), session).missing.values()
    assert cost.training == 0
    assert cost.evaluation > 0
    assert "weights at hand" in cost.basis


def test_a_training_that_was_interrupted_costs_what_is_left(session):
    run = loss_ablation_rows(session.profile, seed=0, weights=session.weights)["ID"]
    whole = plan_study((TABLE,), session).missing[run.digest]
    folder = session.workspace.folder(run)
    folder.mkdir(parents=True)
    (folder / "epochs.csv").write_text("epoch,total\n0,1.0\n")
    (folder / "checkpoint.pt").touch()
    left = plan_study((TABLE,), session).missing[run.digest]
    assert left.training == pytest.approx(whole.training * (run.schedule.epochs - 1) / run.schedule.epochs)


def test_runs_that_differ_in_their_test_only_are_trained_once(session):
    def rows(profile, *, seed, weights):
        run = full_rows(profile, seed=seed, weights=weights)["SR+ID+PS"]
        return {"a": run, "b": replace(run, evaluation=replace(run.evaluation, flip=True))}

    first, second = plan_study((replace(FULL, rows=rows),), session).missing.values()
    assert first.training > 0
    assert second.training == 0


def test_without_the_data_the_cost_is_unknown_but_records_count(tmp_path, session):
    market = open_session("study", profile="smoke", dataset="mlr-market-1501", results_dir=str(tmp_path), device="cpu")
    text = plan_study((FULL,), market).report()
    assert "unknown: the data are not here (--data-root)" in text
    assert "2 more could not be estimated" in text
    run = full_rows(market.profile, seed=1, weights=market.weights)["SR+ID+PS"]
    write_record(market, run, seconds=120)
    assert "2.1 min (from 1 record of the same method)" in plan_study((FULL,), market).report()


def test_measured_speed_of_a_method_with_a_teacher(session):
    run = full_rows(session.profile, seed=0, weights=session.weights)["SR+ID+PS"]
    state = torch.get_rng_state()
    speed = measured_speed(run, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)
    assert 0 < speed.seconds_per_image < speed.seconds_per_pair < 10
    assert speed.basis == "from 2 measured steps of 12 random pairs"
