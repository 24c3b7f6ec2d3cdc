"""Published notebooks and the two pages, from notebooks made by hand."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from crreid.study.execute import publish
from crreid.study.pages import write_pages

PNG = b"\x89PNG\r\n\x1a\n"
KERNEL = {
    "kernelspec": {"name": "python3", "display_name": "Python 3"},
    "language_info": {"name": "python", "version": "3.11.7"},
}
NAME = "table2_loss_ablation"


def code(*outputs, tags=(), source="1"):
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=1)
    cell.metadata = {"tags": list(tags), "papermill": {"duration": 1.5}, "execution": {"iopub.status.busy": "now"}}
    return cell


def shown(file, title, **data):
    metadata = {"crreid": {"file": file, "title": title}}
    if "image/png" in data:
        metadata["image/png"] = {"width": 700}
    return nbformat.v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)


def printed(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def notebook(*cells):
    made = nbformat.v4.new_notebook(metadata=KERNEL | {"papermill": {"duration": 3}, "widgets": {}})
    made.cells = list(cells)
    return json.loads(nbformat.writes(made))


def publish_to(folder, *cells, hidden=None, rows=(), **given):
    publish(notebook(*cells), folder / f"{NAME}.ipynb", hidden=hidden or {}, given={"rows": list(rows), **given})
    return nbformat.read(folder / f"{NAME}.ipynb", as_version=4)


@pytest.fixture
def results(tmp_path):
    """One notebook with a conclusion, two tables and a figure."""
    folder = tmp_path / "quick" / "mlr-synthetic"
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text('row,rank-1\n<PS|HRNet>,"57.1 ± 0.4"\nID,41.0\n')
    (folder / "origin.csv").write_text("row,record\nID,0123456789abcdef\n")
    (folder / "curve.png").write_bytes(PNG)
    conclusion = nbformat.v4.new_markdown_cell("It helps: *12 points*, a < b.", metadata={"tags": ["conclusion"]})
    publish_to(
        folder,
        nbformat.v4.new_markdown_cell("# Not for the page"),
        code(shown("table.csv", "Scores & more", **{"text/html": "<table>"})),
        code(shown("curve.png", 'The "curve"', **{"image/png": "aGk="})),
        code(shown("origin.csv", "Where each number comes from", **{"text/html": "<table>"})),
        conclusion,
    )
    return tmp_path


class Reader(HTMLParser):
    """Collects tags with their attributes and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_both_pages_hold_title_tables_figures_and_conclusions(results):
    assert write_pages(results) == []
    readme = (results / "README.md").read_text()
    page = Reader((results / "index.html").read_text())
    for text in (readme, page.text):
        assert "Table II: the losses" in text
        assert "synthetic images" in text
        assert "Not for the page" not in text
    assert "It helps: 12 points, a < b." in page.text
    assert "<PS|HRNet>" in page.text
    assert "| &lt;PS\\|HRNet&gt; | **57.1\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.4** |" in readme
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == ['The "curve"']
    assert images[0]["src"] == "quick/mlr-synthetic/curve.png"
    assert "crreid study table2_loss_ablation --profile quick --dataset mlr-synthetic" in page.text
    assert ("strong", {}) in page.tags


def test_links_are_relative_and_lead_somewhere(results):
    (results / "records").mkdir()
    (results / "records" / "0123456789abcdef.json").write_text("{}")
    write_pages(results)
    page = Reader((results / "index.html").read_text())
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a" and "href" in attributes}
    sources = {attributes["src"] for tag, attributes in page.tags if "src" in attributes}
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert "records/0123456789abcdef.json" in links
    for link in links | sources:
        assert (link[1:] in anchors) if link.startswith("#") else (results / link).is_file()


def test_index_needs_no_network(results):
    write_pages(results)
    text = (results / "index.html").read_text()
    assert not re.search(r"https?://|<script|@import|url\(", text)
    assert 'name="viewport"' in text
    assert "position: sticky" in text


def test_records_are_folded_away(results):
    write_pages(results)
    page = Reader((results / "index.html").read_text())
    assert [tag for tag, _ in page.tags].count("details") == 1
    assert [tag for tag, _ in page.tags].count("table") == 2


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("table.csv", None),
        ("table.csv", b"\xff\xfe\x00"),
        ("table.csv", b""),
        ("curve.png", b"<html>"),
        (f"{NAME}.ipynb", b"{"),
        (f"{NAME}.ipynb", b"[]"),
        (f"{NAME}.ipynb", b'{"cells": [{}], "metadata": {}}'),
    ],
)
def test_what_is_damaged_is_named_and_left_out(results, file, content):
    folder = results / "quick" / "mlr-synthetic"
    good = results / "smoke" / "mlr-synthetic"
    good.mkdir(parents=True)
    for each in list(folder.iterdir()):
        (good / each.name).write_bytes(each.read_bytes())
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    (results / "quick" / "a stray folder").mkdir()
    (results / "quick" / "a stray folder" / f"{NAME}.ipynb").write_text("{}")
    problems = write_pages(results)
    assert len(problems) == 2
    assert any(problem.startswith(f"quick/mlr-synthetic/{NAME}.ipynb: left out") for problem in problems)
    text = (results / "index.html").read_text()
    assert "smoke/mlr-synthetic/curve.png" in text
    assert "quick/mlr-synthetic" not in text


def test_a_table_outside_its_folder_is_not_read(results):
    folder = results / "quick" / "mlr-synthetic"
    (results / "secret.csv").write_text("row,a\nx,1\n")
    publish_to(folder, code(shown("../../secret.csv", "A secret")))
    assert "left out" in write_pages(results)[0]


def test_published_notebooks_have_no_times_bars_or_random_names(tmp_path):
    bar = nbformat.v4.new_output(
        "display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%"}
    )
    cells = [
        code(tags=["injected-parameters"], source='profile = "quick"'),
        code(bar, printed("a\n"), printed("b\n"), printed(" 50%|##\r", "stderr"), printed("careful\n", "stderr")),
    ]
    made = publish_to(tmp_path, *cells, rows=["ID"])
    text = (tmp_path / f"{NAME}.ipynb").read_text()
    for word in ("papermill", "iopub", "widget", "3.11.7", "50%"):
        assert word not in text
    assert made.cells[0].id == "injected-0"
    assert made.cells[0].metadata.tags == ["injected-parameters"]
    assert [(output.name, output.text) for output in made.cells[1].outputs] == [
        ("stdout", "a\nb\n"),
        ("stderr", "careful\n"),
    ]
    assert made.metadata.crreid.rows == ["ID"]
    nbformat.validate(made)


def test_addresses_in_memory_are_left_out(tmp_path):
    made = publish_to(
        tmp_path, code(shown("a.csv", "A", **{"text/html": "<p>1</p>", "text/plain": "<Styler at 0x7f>"}))
    )
    assert made.cells[0].outputs[0].data == {"text/html": "<p>1</p>"}


def test_figures_become_links_to_their_files(tmp_path):
    made = publish_to(tmp_path, code(shown("curve.png", "A <curve>", **{"image/png": "aGk=", "text/plain": "x"})))
    (output,) = made.cells[0].outputs
    assert output.data == {"text/html": '<img src="curve.png" alt="A &lt;curve&gt;" width="700">'}
    assert output.metadata.crreid.title == "A <curve>"


def test_paths_are_hidden_whole_and_in_texts_only(tmp_path):
    home, data = "/home/zoë", "/data/set.zip"
    text = f'{home}/a, ("{home}"), {home}s, x{home}, {data}; 1/2 /'
    cells = [code(printed(text), source=f'root = "{home}/b"')]
    made = publish_to(tmp_path, *cells, hidden={home: "~", data: "<data>", "/": "~"})
    assert made.cells[0].source == 'root = "~/b"'
    assert made.cells[0].outputs[0].text == f'~/a, ("~"), {home}s, x{home}, <data>; 1/2 /'
    assert made.nbformat == 4


def test_longer_paths_are_hidden_first(tmp_path):
    hidden = {"/home/ann": "~", "/home/ann/results": "results", str(Path("/home/ann/crreid")): "."}
    made = publish_to(tmp_path, code(printed("/home/ann/results/x /home/ann/crreid/y /home/ann/z")), hidden=hidden)
    assert made.cells[0].outputs[0].text == "results/x ./y ~/z"


def test_the_command_of_a_section_is_whole(tmp_path):
    """Without rows, seeds and starting weights it would train something else."""
    folder = tmp_path / "quick" / "mlr-synthetic"
    folder.mkdir(parents=True)
    publish_to(folder, code(), rows=["ID"], hidden={"/a/b/r.pth": "r.pth"}, weights="resnet50=/a/b/r.pth", seeds=[0, 1])
    write_pages(tmp_path)
    command = (
        f"crreid study {NAME} --profile quick --dataset mlr-synthetic --rows ID --weights resnet50=r.pth --seeds 0 1"
    )
    assert command in (tmp_path / "README.md").read_text()
