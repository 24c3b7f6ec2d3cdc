"""The study's runner, on the smoke profile and on notebooks that go wrong."""

import json
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.study import runner
from crreid.study.items import ITEMS, StudyItem, find_items
from crreid.study.rows import start_here_rows
from crreid.study.runner import check_parameters, notebooks_dir, run_study

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
    outcomes = run_study(ITEMS, {"profile": "smoke", "results_dir": str(tmp_path)})
    assert [outcome.problem for outcome in outcomes] == [""] * len(ITEMS)
    folder = tmp_path / "smoke" / "mlr-synthetic"
    for entry in ITEMS:
        for name in [*entry.artefacts(synthetic=True), f"{entry.name}.html", f"{entry.name}.ipynb"]:
            assert (folder / name).stat().st_size > 0
    table = pd.read_csv(folder / "table2_loss_ablation.csv")
    assert set(table["row"]) == {"HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS"}
    assert table["value"].between(0, 100).all()
    records = list((tmp_path / "records").glob("*.json"))
    assert {record.stem for record in records} == set(table["record"])  # the start notebook's runs are among them
    index = (tmp_path / "README.md").read_text()
    for link in ("table2_loss_ablation.svg", "00_start_here.html", f"records/{records[0].stem}.json"):
        assert link in index
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
    broken, silent, good = run_study(items, {"profile": "smoke", "results_dir": str(tmp_path / "out")})
    assert "ValueError: on purpose" in broken.problem
    assert silent.problem == "ended without writing silent.csv, silent.md"
    assert good.problem == ""
    executed = json.loads((tmp_path / "out" / "smoke" / "mlr-synthetic" / "broken.ipynb").read_text())
    assert "papermill" not in executed["metadata"]


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
