"""The page of results and the executed notebooks: complete, linked, readable without a network."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from PIL import Image

from crreid.study import index
from crreid.study.executed import LARGE_BYTES, markdown_to_html, render_executed
from crreid.study.index import write_index
from crreid.study.items import StudyItem
from crreid.study.rows import start_here_rows
from crreid.study.site import write_site

TABLE = (
    "| row | published rank-1 | rank-1 |\n|:--|:--|:--|\n| ID | 84.7 | 50.0 ± 1.0 |\n| SR+ID | 87.6 | 61.0 ± 2.0 |\n"
)
RECORD = """{"digest": "0123456789abcdef", "run": {"seed": 3}, "provenance": {"device": "a <fast> machine",
 "training_seconds": 90, "started": "2026-01-01T00:00", "commit": "abcdef0123456789", "dirty": true}}"""


class Links(HTMLParser):
    """Every href and src, and every id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.targets += [value for name, value in attrs if name in ("href", "src")]
        self.ids += [value for name, value in attrs if name == "id"]


def png(size: int = 8, *, noise: bool = False) -> bytes:
    pixels = np.full((size, size, 3), 200, np.uint8)
    if noise:
        pixels = np.random.default_rng(0).integers(0, 256, pixels.shape, dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def executed_notebook(file: Path, *images: bytes) -> None:
    notebook = nbformat.v4.new_notebook()
    text = "# A title\n\nWith $x^2$ and\n\n$$\\mathcal{L} = \\sum_i \\lVert C_h^{(i)} \\rVert_1$$"
    code = nbformat.v4.new_code_cell(f"print('{file.parent}')")
    code.outputs = [nbformat.v4.new_output("stream", text=f"in {file.parent}\n")]
    for image in images:
        data = {"image/png": base64.b64encode(image).decode(), "text/plain": "<Image>"}
        code.outputs.append(nbformat.v4.new_output("display_data", data, metadata={"image/png": {"width": 500}}))
    notebook.cells = [nbformat.v4.new_markdown_cell(text), code]
    nbformat.write(notebook, file)


def item(name: str, paper: str, **names: tuple[str, ...]) -> StudyItem:
    return StudyItem(name=name, paper=paper, rows=start_here_rows, **({"tables": ()} | names))


ITEMS = (
    item("table8", "Table VIII: <two> tables", tables=("table8", "table8_more"), figures=("table8",)),
    item("figure9", "Figure 9: pictures only", pictures=("figure9_people",)),
    item("table10", "Table X: never run", tables=("table10",)),
)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two items on two data sets; the second item failed on the second data set."""
    monkeypatch.setattr(index, "ITEMS", ITEMS)
    folder = tmp_path / "checkout" / "results"
    (folder / "records").mkdir(parents=True)
    (folder / "records" / "0123456789abcdef.json").write_text(RECORD)
    (folder.parent / "notebooks").mkdir()
    for entry in ITEMS:
        (folder.parent / "notebooks" / f"{entry.name}.ipynb").touch()
    for place in ("quick/mlr-synthetic", "reduced/mlr-market-1501"):
        here = folder / place
        here.mkdir(parents=True)
        for name in ("table8", "table8_more"):
            (here / f"{name}.md").write_text(TABLE)
            (here / f"{name}.csv").write_text("row,record,value\nID,0123456789abcdef,50\nSR+ID,ffffffffffffffff,61\n")
        for name in ("table8", "figure9_people"):
            (here / f"{name}.png").write_bytes(png())
            (here / f"{name}.svg").write_text("<svg/>")
        for entry in ITEMS[:2]:
            executed_notebook(here / f"{entry.name}.ipynb", png())
            render_executed(here / f"{entry.name}.ipynb", {str(tmp_path): "somewhere"})
    (folder / "reduced/mlr-market-1501/table8_more.md").unlink()
    write_index(folder)
    write_site(folder)
    return folder


def check_links(file: Path) -> None:
    links = Links(file.read_text(encoding="utf8"))
    assert len(links.ids) == len(set(links.ids))
    for target in links.targets:
        address, _, anchor = target.partition("#")
        if address.startswith(("data:", "https://arxiv.org/")):
            continue
        assert not re.match(r"\w+:", address), target
        assert not address or (file.parent / unquote(address)).exists(), target
        assert not anchor or anchor in links.ids, target


def test_every_link_of_the_site_resolves_and_nothing_comes_from_elsewhere(results):
    pages = [results / "index.html", *results.glob("*/*/*.html")]
    assert len(pages) == 5
    for page in pages:
        check_links(page)
        text = page.read_text()
        assert "<script" not in text
        assert "@import" not in text
        assert 'name="viewport"' in text


def test_every_link_of_the_readme_resolves(results):
    text = (results / "README.md").read_text()
    anchors = re.findall(r'<a id="([^"]+)"', text)
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(anchors) == len(set(anchors)) == 4
    assert len(targets) > 20
    for target in targets:
        assert target[1:] in anchors if target.startswith("#") else (results / target).exists(), target


@pytest.mark.parametrize("page", ["README.md", "index.html"])
def test_a_page_holds_tables_figures_records_and_says_what_is_missing(results, page):
    text = (results / page).read_text()
    for words in ("50.0", "table8.png", "figure9_people.png", "0123456789abcdef", "1.5", "abcdef0123 with changes"):
        assert words in text
    assert "Not rendered: table8_more.md." in text
    assert "Table X" not in text
    assert "ffffffffffffffff" not in text  # no such record
    assert "reduced/mlr-market-1501/figure9_people" not in text  # shows people of a data set with terms of use
    assert text.index("mlr-market-1501") < text.index("quick")  # larger profiles first


def test_numbers_on_the_site_are_styled_and_in_the_readme_plain(results):
    assert "61.0 <small>± 2.0</small>" in (results / "index.html").read_text()
    assert "61.0 ± 2.0 |" in (results / "README.md").read_text()
    assert "&lt;two&gt;" in (results / "index.html").read_text()


def test_the_pages_follow_from_the_files_alone(results):
    before = [(results / name).read_bytes() for name in ("README.md", "index.html")]
    write_index(results)
    write_site(results)
    assert [(results / name).read_bytes() for name in ("README.md", "index.html")] == before


def test_an_empty_folder_gives_empty_pages(tmp_path):
    write_index(tmp_path)
    write_site(tmp_path)
    assert "# Results" in (tmp_path / "README.md").read_text()
    assert "<h1>" in (tmp_path / "index.html").read_text()


def test_an_executed_page_links_the_images_beside_it(tmp_path):
    large = png(300, noise=True)
    assert len(large) > LARGE_BYTES
    (tmp_path / "beside.png").write_bytes(large)
    executed_notebook(tmp_path / "a.ipynb", large, png(9))
    render_executed(tmp_path / "a.ipynb", {str(tmp_path): "<hidden>"})
    text = (tmp_path / "a.html").read_text()
    assert re.search(r'<img alt="beside"[^>]* src="beside.png"[^>]* width="500"', text)
    assert text.count("data:image/png") == 1  # the small one lies nowhere
    assert str(tmp_path) not in text
    notebook = nbformat.read(tmp_path / "a.ipynb", as_version=4)
    nbformat.validate(notebook)
    stream, first, second = notebook.cells[1].outputs
    assert stream.text == "in <hidden>\n"
    assert "image/jpeg" in first.data
    assert first.metadata["image/jpeg"]["width"] == 500
    assert base64.b64decode(second.data["image/png"]) == png(9)
    assert (tmp_path / "a.ipynb").stat().st_size < len(large)


def test_equations_become_mathml_and_unknown_ones_stay_readable():
    html = markdown_to_html("Let $\\lambda_{SR} < 1$:\n\n$$\\underbrace{a + b}_{ID}$$\n\n**bold** costs 5\\$")
    assert html.count("<math ") == 2
    assert 'display="block"' in html
    assert "<munder>" in html
    assert "<strong>bold</strong>" in html
    assert "$\\" not in html
    broken = markdown_to_html("$a^b^<c>$")
    assert "<math" not in broken
    assert "a^b^&lt;c&gt;" in broken
