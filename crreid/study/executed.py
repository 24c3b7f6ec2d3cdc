"""Executed notebooks as they are published: cleaned, small, and as a page that is readable without a network."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from PIL import Image
from pygments.formatters.html import HtmlFormatter

from crreid.files import write_atomically
from crreid.study.page import html_page

__all__ = ["markdown_to_html", "render_executed"]

LARGE_BYTES = 150_000  # of an image in an executed notebook; pictures of people take a megabyte as PNG


def render_executed(executed: Path, hidden: dict[str, str]) -> None:
    """Takes machine paths and papermill's notes out of an executed notebook and writes it as HTML too.

    The page shows the PNG files that lie beside it instead of holding them, and equations as MathML, which browsers
    draw by themselves. In the notebook large PNG images become JPEG; the originals lie beside it.

    Args:
        executed: The notebook; the page is written next to it.
        hidden: Paths of this machine and what stands for them in what is published.
    """
    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = f"injected-{number}"  # papermill draws it at random
    text = nbformat.writes(notebook)
    for path, shown in hidden.items():
        text = text.replace(json.dumps(path)[1:-1], json.dumps(shown)[1:-1])
    notebook = nbformat.reads(text, as_version=4)
    write_atomically(executed.with_suffix(".html"), _page(notebook, executed).encode())
    for output in _images(notebook):
        _make_small(output)
    write_atomically(executed, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())


def markdown_to_html(source: str) -> str:
    """HTML of Markdown as notebooks write it, with its equations as MathML."""
    return str(MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(source))


class _Renderer(IPythonRenderer):
    """Equations as MathML; what cannot be converted stays readable TeX."""

    def block_math(self, body: str) -> str:
        return _mathematics(body, "block")

    def inline_math(self, body: str) -> str:
        return _mathematics(body, "inline")

    def latex_environment(self, name: str, body: str) -> str:
        return _mathematics(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


def _mathematics(tex: str, display: str) -> str:
    try:
        return str(convert(tex.strip(), display=display))
    except Exception:  # the converter raises many types on what it does not know
        return f"<code>{IPythonRenderer().escape_html(tex)}</code>"


def _images(notebook: Any) -> list[Any]:
    """Outputs that hold a PNG."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if "image/png" in output.get("data", {})]


def _page(notebook: Any, executed: Path) -> str:
    notebook = deepcopy(notebook)
    beside = {hashlib.sha256(file.read_bytes()).digest(): file.name for file in sorted(executed.parent.glob("*.png"))}
    for output in _images(notebook):
        content = base64.b64decode(output.data["image/png"])
        name = beside.get(hashlib.sha256(content).digest())
        if name is not None:
            output.metadata["filenames"] = {"image/png": name}
        output.metadata["image/png"] = output.metadata.get("image/png", {}) | {"alt": Path(name or "figure").stem}
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.register_filter("markdown2html", markdown_to_html)
    body, _ = exporter.from_notebook_node(notebook)
    where = f"{executed.parent.parent.name}, {executed.parent.name}"
    top = f'<p class="quiet"><a href="../../index.html">All results</a> · executed notebook · {where}</p>'
    return html_page(_title(notebook, executed.stem), top + body, styles=_code_styles())


def _title(notebook: Any, otherwise: str) -> str:
    """The first heading."""
    lines = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), otherwise)


def _code_styles() -> str:
    """Colours of Python code; the common stylesheet has the background."""
    lines = HtmlFormatter(style="default", nobackground=True).get_style_defs(".highlight").splitlines()
    return "\n".join(line for line in lines if line.startswith(".highlight .")) + "\n"


def _make_small(output: Any) -> None:
    """Stores a large PNG of an output as JPEG."""
    content = base64.b64decode(output.data["image/png"])
    if len(content) <= LARGE_BYTES:
        return
    with Image.open(io.BytesIO(content)) as picture:
        stream = io.BytesIO()
        flat = Image.new("RGB", picture.size, "white")
        flat.paste(picture, mask=picture.getchannel("A") if "A" in picture.getbands() else None)
        flat.save(stream, "JPEG", quality=85)
    shown = output.metadata.pop("image/png", None)
    del output.data["image/png"]
    output.data["image/jpeg"] = base64.b64encode(stream.getvalue()).decode()
    if shown is not None:
        output.metadata["image/jpeg"] = shown
