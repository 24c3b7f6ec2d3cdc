"""The committed notebooks: clean, thin, complete. They are executed in test_runner.py."""

import ast
from pathlib import Path

import nbformat
import pytest

from crreid.study.items import ITEMS

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PARAMETERS = {"profile", "dataset", "data_root", "device", "seeds", "weights", "results_dir", "force"}
EXTRA = {
    "table1_state_of_the_art": {"rows"},
    "unseen_resolution": {"rows"},
    "table7_sequence_combinations": {"sets"},
    "cad_net": {"systems"},
}  # parameters of one notebook only
CONCLUDED_BEFORE = {"00_start_here"}  # its last table lists again what its figures showed and sentences said


@pytest.fixture(params=NOTEBOOKS, ids=lambda file: file.stem)
def file(request):
    return request.param


@pytest.fixture
def notebook(file):
    return nbformat.read(file, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_is_an_item_of_the_study_and_the_other_way_round():
    assert {file.stem for file in NOTEBOOKS} == {item.name for item in ITEMS}


def test_committed_without_outputs_and_valid(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_cell_ids_are_fixed_and_unique(notebook):
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(identifier[-2:].isdigit() for identifier in ids)


def test_first_code_cell_holds_the_parameters_as_literals_with_comments(file, notebook):
    first, *others = code_cells(notebook)
    assert first.metadata.tags == ["parameters"]
    assert not any("parameters" in cell.metadata.get("tags", []) for cell in others)
    names = set()
    for statement in ast.parse(first.source).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)
        names.add(statement.targets[0].id)
        assert "  # " in first.source.splitlines()[statement.lineno - 1]
    assert names == PARAMETERS | EXTRA.get(file.stem, set())


def called(cell):
    """Names of the functions and methods that a cell calls."""
    calls = [node.func for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


def test_parameters_of_one_notebook_are_those_of_a_notebook_that_exists():
    assert set(EXTRA) | CONCLUDED_BEFORE <= {file.stem for file in NOTEBOOKS}


def test_every_parameter_reaches_the_session_or_the_rows(file, notebook):
    others = code_cells(notebook)[1:]
    used = {
        node.id
        for cell in others
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert PARAMETERS | EXTRA.get(file.stem, set()) <= used


def test_ends_with_conclusions_that_are_computed(file, notebook):
    names = [called(cell) for cell in code_cells(notebook)]
    tables = [place for place, of_cell in enumerate(names) if "save_table" in of_cell]
    conclusions = [
        place for place, of_cell in enumerate(names) if any(name.endswith("_conclusion") for name in of_cell)
    ]
    assert tables
    assert conclusions
    assert conclusions[-1] > tables[-1] or file.stem in CONCLUDED_BEFORE


def test_thin(notebook):
    cells = code_cells(notebook)
    assert len(cells) <= 17
    for cell in cells:
        assert cell.source.count("\n") < 20
        kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
        assert not kinds & {ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Try}


def test_told_as_a_paper_and_ended_by_a_check(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "## How this differs from the paper" in text
    assert "$$" in text
    assert code_cells(notebook)[-1].source == "session.check_artefacts()"
