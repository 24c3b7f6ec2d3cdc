"""The study's runner, on the smoke profile and on notebooks that go wrong."""

import json
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from filelock import FileLock

from crreid.errors import InputError
from crreid.runs import with_teachers
from crreid.study import runner
from crreid.study.items import ITEMS, StudyItem, find_items
from crreid.study.plan import NamedRun, named_runs
from crreid.study.rows import start_here_rows
from crreid.study.runner import check_parameters, notebooks_dir, run_study
from crreid.study.session import open_session

PARAMETER_CELL = 'profile = "smoke"\ndataset = "mlr-synthetic"\nresults_dir = ""\n'
METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}


def write_notebook(folder: Path, name: str, code: str) -> None:
    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    notebook.cells = [nbformat.v4.new_code_cell(PARAMETER_CELL), nbformat.v4.new_code_cell(code)]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, folder / f"{name}.ipynb")


def item(name: str, *tables: str) -> StudyItem:
    return StudyItem(name=name, paper="a table", rows=start_here_rows, tables=tables)


def test_the_smoke_study_renders_every_item_and_the_index(tmp_path):
    summary = run_study(ITEMS, {"profile": "smoke", "results_dir": str(tmp_path)}, jobs=2)
    assert [outcome.item for outcome in summary.outcomes] == list(ITEMS)
    assert [outcome.problem for outcome in summary.outcomes] == [""] * len(ITEMS)
    folder = tmp_path / "smoke" / "mlr-synthetic"
    for entry in ITEMS:
        for name in [*entry.artefacts(synthetic=True), f"{entry.name}.html", f"{entry.name}.ipynb"]:
            assert (folder / name).stat().st_size > 0
    table = pd.read_csv(folder / "table2_loss_ablation.csv")
    assert set(table["row"]) == {"HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS"}
    assert table["value"].between(0, 100).all()
    records = list((tmp_path / "records").glob("*.json"))
    session = open_session("study", profile="smoke", results_dir=str(tmp_path))
    named = named_runs(ITEMS, session)
    assert {record.stem for record in records} == {entry.run.digest for entry in named}
    assert set(table["record"]) == {entry.run.digest for entry in named if entry.item.name == "table2_loss_ablation"}
    assert (summary.named, summary.distinct) == (len(named), len(records))
    index = (tmp_path / "README.md").read_text()
    for link in ("table2_loss_ablation.svg", "00_start_here.html", f"records/{records[0].stem}.json"):
        assert link in index
    assert "table2_loss_ablation.html" in (tmp_path / "index.html").read_text()
    weights = {file.parent.name for file in (tmp_path / "runs").glob("*/weights.safetensors")}
    assert summary.trained == len(weights) <= summary.distinct <= summary.named
    for file in (*folder.glob("*.ipynb"), *folder.glob("*.html"), tmp_path / "README.md", *records):
        assert str(tmp_path) not in file.read_text()
        assert str(notebooks_dir().parent) not in file.read_text()


def test_one_failure_does_not_stop_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "notebooks_dir", lambda: tmp_path)
    folder = "pathlib.Path(results_dir) / 'smoke' / 'mlr-synthetic'"
    write_notebook(tmp_path, "broken", "raise ValueError('on purpose')")
    write_notebook(tmp_path, "silent", "print('done')")
    write_notebook(
        tmp_path,
        "good",
        f"import pathlib\nfor s in ('csv', 'md'):\n    ({folder} / f'good.{{s}}').write_text('value\\n1\\n')",
    )
    items = (item("broken", "broken"), item("silent", "silent"), item("good", "good"))
    summary = run_study(items, {"profile": "smoke", "results_dir": str(tmp_path / "out")}, jobs=2)
    broken, silent, good = summary.outcomes
    assert "ValueError: on purpose" in broken.problem
    assert silent.problem == "ended without writing silent.csv, silent.md"
    assert good.problem == ""
    executed = json.loads((tmp_path / "out" / "smoke" / "mlr-synthetic" / "broken.ipynb").read_text())
    assert "papermill" not in executed["metadata"]
    assert (summary.named, summary.distinct, summary.trained) == (6, 2, 0)
    assert str(summary) == "the tables name 6 runs, 2 of them distinct; trained now: 0"


def test_unknown_parameters_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match="has no parameter 'epochs'; it takes profile, dataset"):
        check_parameters(notebooks_dir() / "table2_loss_ablation.ipynb", {"profile": "smoke", "epochs": 3})
    with pytest.raises(InputError, match="no parameter 'epochs'"):
        run_study(ITEMS, {"epochs": 3, "results_dir": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_items_by_name():
    assert find_items(()) == ITEMS
    assert [entry.name for entry in find_items(("table2_loss_ablation",))] == ["table2_loss_ablation"]
    with pytest.raises(InputError, match="the study has no notebook 'table9'"):
        find_items(("table9",))


def test_pictures_of_people_are_expected_for_synthetic_data_only():
    start = replace(ITEMS[0], figures=("a",), pictures=("b",))
    assert "b.png" in start.artefacts(synthetic=True)
    assert "b.png" not in start.artefacts(synthetic=False)


@pytest.fixture
def session(tmp_path):
    return open_session("study", profile="smoke", results_dir=str(tmp_path), device="cpu")


def leave_weights_and_record(session, run):
    folder = session.workspace.folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    session.workspace.weights_file(run).touch()
    session.workspace.record_file(run).parent.mkdir(parents=True, exist_ok=True)
    session.workspace.record_file(run).touch()


def test_force_forgets_teachers_that_are_no_rows(session):
    student = start_here_rows(session.profile, seed=0, weights=session.weights)["SR+ID+PS"]
    other = replace(student.teacher, seed=5)
    for run in (student, student.teacher, other):
        leave_weights_and_record(session, run)
    runner._forget(with_teachers([student]), session)
    kept = [file.parent.name for file in session.workspace.runs_dir.glob("*/weights.safetensors")]
    assert kept == [other.training_digest]
    assert [file.stem for file in (session.workspace.results_dir / "records").iterdir()] == [other.digest]


def test_force_leaves_everything_where_another_process_trains(session):
    student = start_here_rows(session.profile, seed=0, weights=session.weights)["SR+ID+PS"]
    leave_weights_and_record(session, student)
    lock = FileLock(f"{session.workspace.folder(student.teacher)}.lock", is_singleton=False)
    with lock, pytest.raises(InputError, match=f"another process is training run {student.teacher.training_digest}"):
        runner._forget(with_teachers([student]), session)
    assert session.workspace.record_file(student).exists()
    assert session.workspace.folder(student).exists()


def test_outcomes_come_in_the_order_of_the_items_however_they_were_started(tmp_path, monkeypatch, session):
    def execute(entry, notebook, *_):
        started.append(notebook.name)
        return runner.Outcome(item=entry, seconds=0, problem="")

    runs, started = start_here_rows(session.profile, seed=0, weights=session.weights), []
    student, other = runs["SR+ID+PS"], replace(runs["SR+ID+PS"].teacher, seed=5)
    items = tuple(item(name) for name in "abc")
    of_items = {"a": [], "b": [other], "c": [other, student]}
    named = [NamedRun(item=entry, row="a row", run=run) for entry in items for run in of_items[entry.name]]
    monkeypatch.setattr(runner, "_execute", execute)
    outcomes = runner._execute_all(items, tmp_path, {}, session, named, jobs=1)
    assert [outcome.item.name for outcome in outcomes] == list("abc")
    assert started == ["c.ipynb", "b.ipynb", "a.ipynb"]  # by what they need


def test_a_training_is_needed_until_its_weights_or_the_record_are_there(session):
    student = start_here_rows(session.profile, seed=0, weights=session.weights)["SR+ID+PS"]
    assert runner._needed([student], session) == {student.training_digest, student.teacher.training_digest}
    leave_weights_and_record(session, student.teacher)
    assert runner._needed([student], session) == {student.training_digest}
    leave_weights_and_record(session, student)
    session.workspace.weights_file(student).unlink()
    assert runner._needed([student], session) == set()


def test_jobs_share_the_cores(monkeypatch):
    monkeypatch.setattr(runner.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert runner._environment(3)["OMP_NUM_THREADS"] == "2"
    assert runner._environment(20)["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in runner._environment(1)
    with pytest.raises(InputError, match="jobs must be at least 1, not 0"):
        run_study(ITEMS, {}, jobs=0)


def test_a_page_that_cannot_be_rendered_is_the_problem_of_its_notebook(tmp_path, monkeypatch, session):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(runner, "_problem_of", fail)
    outcome = runner._execute(item("a"), tmp_path, {}, session, {})
    assert outcome.problem == "could not be rendered (OSError: disk full)"


def test_paths_of_weights_are_hidden(tmp_path):
    session = open_session("study", profile="smoke", results_dir=str(tmp_path), device="cpu")
    secret = tmp_path / "secret" / "weights.pth"
    session = replace(session, workspace=replace(session.workspace, weights_files=(secret,)))
    assert next(iter(runner._hidden_paths(session).items())) == (str(secret), "weights.pth")
