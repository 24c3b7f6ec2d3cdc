"""What every notebook has in common: clean sources, one parameters cell of literals, one line to open."""

import ast
import json

import pytest
from notebook_runner import NOTEBOOKS, cells

from crreid.rows import ITEMS

NAMES = sorted(file.stem for file in NOTEBOOKS.glob("*.ipynb"))
PARAMETERS = ["profile", "dataset", "data_root", "seeds", "weights", "rows", "changes", "force"]


def test_the_study_is_made_of_these_notebooks():
    assert sorted(ITEMS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_sources_are_clean(name):
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    identifiers = [cell["id"] for cell in notebook["cells"]]
    assert len(set(identifiers)) == len(identifiers)
    for cell in cells(name):
        assert not cell.get("outputs")
        if cell["cell_type"] == "code":
            assert len(cell["text"].splitlines()) <= 25, cell["text"]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_same_literals_everywhere(name):
    tagged = [cell["text"] for cell in cells(name) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assigned = {}
    for line in ast.parse(tagged[0]).body:
        assert isinstance(line, ast.Assign), ast.unparse(line)
        assigned[line.targets[0].id] = ast.literal_eval(line.value)
    assert list(assigned)[: len(PARAMETERS)] == PARAMETERS
    assert assigned["profile"] == "quick"


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_in_one_line_and_ends_by_checking(name):
    code = [cell["text"] for cell in cells(name) if cell["cell_type"] == "code"]
    assert any(f'open_study("{name}"' in "".join(text.split()) for text in code)
    assert code[-1].strip() == "study.check()"
    prose = "\n".join(cell["text"] for cell in cells(name) if cell["cell_type"] == "markdown")
    assert "## How this differs from the paper" in prose
