"""What the pages of results are made from; the pages themselves are tested in test_site.py."""

import json

import nbformat
import pytest

from crreid.study import index
from crreid.study.index import find_renderings, write_index
from crreid.study.items import StudyItem
from crreid.study.rows import start_here_rows

ITEM = StudyItem(name="table8", paper="Table VIII", rows=start_here_rows, tables=("table8", "more"), figures=("curve",))


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "ITEMS", (ITEM,))
    for place in ("quick/caviar", "quick/mlr-synthetic", "paper/mlr-viper", "quick/viper", "elsewhere/viper"):
        (tmp_path / place).mkdir(parents=True)
        if place != "quick/viper":
            (tmp_path / place / "table8.html").touch()
    return tmp_path


def leave_records(results, count):
    (results / "records").mkdir()
    origin = {"device": "cpu", "training_seconds": 30, "started": "2026-01-01T00:00", "commit": "", "dirty": None}
    lines = ["row,record,value"]
    for number in range(count):
        digest = f"{number:016x}"
        (results / "records" / f"{digest}.json").write_text(json.dumps({"run": {"seed": 0}, "provenance": origin}))
        lines += [f"row {number},{digest},1.0"] * 2
    (results / "quick/caviar/table8.csv").write_text("\n".join(lines))


def test_renderings_are_found_by_their_pages(results):
    found = [[rendering.here for rendering in group] for group in find_renderings(results)]
    assert found == [["paper/mlr-viper"], ["quick/caviar"], ["quick/mlr-synthetic"]]


def test_a_rendering_says_what_it_left_and_how_to_make_it_again(results):
    caviar = find_renderings(results)[1][0]
    (caviar.folder / "more.md").touch()
    (caviar.folder / "curve.png").touch()
    assert caviar.tables() == ["more"]
    assert caviar.figures() == ["curve"]
    assert caviar.missing() == ["table8.csv", "table8.md", "more.csv", "curve.svg"]
    assert caviar.command == "crreid study --profile quick --dataset caviar --only table8 --data-root PATH"
    assert find_renderings(results)[2][0].command.endswith("--only table8")
    assert caviar.records().empty


def test_the_command_repeats_what_the_notebook_was_given(results):
    source = 'rows = ["PS-HRNet", "CAD-Net, f alone"]\nseeds = [0, 1]\nweights = "resnet50=r.safetensors"\nforce = True'
    cells = [nbformat.v4.new_code_cell("rows = []"), nbformat.v4.new_code_cell(source)]
    cells[1].metadata["tags"] = ["injected-parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), results / "quick/caviar/table8.ipynb")
    assert find_renderings(results)[1][0].command == (
        "crreid study --profile quick --dataset caviar --only table8 --rows PS-HRNet 'CAD-Net, f alone' "
        "--seeds 0 1 --weights resnet50=r.safetensors --data-root PATH"
    )


@pytest.mark.parametrize(("count", "folded"), [(3, False), (12, True)])
def test_records_are_listed_once_and_folded_where_there_are_many(results, count, folded):
    leave_records(results, count)
    table = find_renderings(results)[1][0].records()
    assert table["row"].tolist() == [f"row {number}" for number in range(count)]
    assert table["training minutes"].unique() == ["0.5"]
    assert table["commit"].unique() == ["unknown"]
    write_index(results)
    text = (results / "README.md").read_text()
    assert text.count("(records/") == count
    assert ("<details>" in text) is folded


def test_tables_without_a_column_of_records_are_taken(results):
    (results / "quick/caviar/table8.csv").write_text("set,rank-1\na,5\n")
    assert find_renderings(results)[1][0].records().empty
