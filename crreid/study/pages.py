"""`results/README.md` and `results/index.html`, built from executed notebooks and readable without a network."""

from __future__ import annotations

import json
import shlex
from html import escape
from importlib.resources import files
from pathlib import Path

import pandas as pd

from crreid.data.datasets import find_dataset
from crreid.files import write_atomically
from crreid.profiles import PROFILE_NAMES
from crreid.rows import ITEMS
from crreid.study.tables import is_words, places

TITLE = "Cross-resolution person re-identification: results"
INTRODUCTION = """Made by `crreid study`; do not edit. Published numbers stand beside measured ones and are never mixed.
Numbers on *synthetic images* were measured on the built-in synthetic pedestrians and say nothing about the published
data sets."""


def write_pages(results_dir: Path) -> list[str]:
    """Write `README.md` and `index.html` from what lies in `results_dir`; return what had to be left out, and why."""
    from mistune import create_markdown  # here: machines that only train have no packages of notebooks

    contents, sections, problems = [], [], []
    for profile in reversed(PROFILE_NAMES):
        for folder in sorted((results_dir / profile).glob("*/")):
            found, place = {}, f"{profile}/{folder.name}"
            for name in (name for name in ITEMS if (folder / f"{name}.ipynb").exists()):
                try:
                    found[name] = _section(folder, place, name)
                except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                    problems.append(f"{place}/{name}.ipynb: left out of the pages ({type(error).__name__}: {error})")
            if found:
                synthetic = " (synthetic images)" * find_dataset(folder.name).built_in
                heading = f"`{profile}` on `{folder.name}`{synthetic}"
                contents += [f"- {heading}", *(f"  - [{ITEMS[name].title}](#{_anchor(place, name)})" for name in found)]
                sections += [f"## {heading}", *found.values()]
    text = "\n".join([f"# {TITLE}\n\n{INTRODUCTION}\n", *contents, "", *sections]).rstrip() + "\n"
    style = files("crreid.study").joinpath("page.css").read_text(encoding="utf8")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f'<title>{TITLE}</title><link rel="icon" href="data:,"><style>\n{style}</style>'
    body = create_markdown(escape=False, plugins=["table"])(text)
    page = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}</body></html>\n'
    write_atomically(results_dir / "README.md", text.encode())
    write_atomically(results_dir / "index.html", page.encode())
    return problems


def _section(folder: Path, place: str, name: str) -> str:
    """Return one executed notebook as Markdown: its conclusions, tables and figures in their order."""
    notebook = json.loads((folder / f"{name}.ipynb").read_text(encoding="utf8"))
    given = notebook["metadata"].get("crreid", {})
    words = ["crreid", "study", name, "--profile", folder.parent.name, "--dataset", folder.name]
    is_built_in = find_dataset(folder.name).built_in
    words += ["--data-root", "PATH"] * (not is_built_in) + ["--rows", *given.get("rows", [])] * bool(given.get("rows"))
    words += ["--weights", given["weights"]] if given.get("weights", "packaged") != "packaged" else []
    words += ["--seeds", *map(str, given["seeds"])] if given.get("seeds", [0]) != [0] else []
    links = [f"[executed notebook]({place}/{name}.ipynb)"]
    parts = []
    for cell in notebook["cells"]:
        # an author's sentences are about the numbers of the built-in study, not about those of other data
        if is_built_in and cell["cell_type"] == "markdown" and "conclusion" in cell["metadata"].get("tags", []):
            parts.append(f"{escape(''.join(cell['source']), quote=False)}\n")
        for output in cell.get("outputs", []):
            if "crreid" in output.get("metadata", {}):
                file, title = output["metadata"]["crreid"]["file"], escape(output["metadata"]["crreid"]["title"])
                parts.append(
                    _figure(folder, file, title, place) if file.endswith(".png") else _table(folder, file, title)
                )
                links += [f"[{file}]({place}/{file})"] * file.endswith(".csv")
    command = f"`{shlex.join(words)}`"
    top = f'<a id="{_anchor(place, name)}"></a>\n\n### {ITEMS[name].title}\n\n{", ".join(links)}; made by {command}\n'
    return "\n".join([top, *parts])


def _figure(folder: Path, name: str, title: str, place: str) -> str:
    if not _beside(folder, name).read_bytes().startswith(b"\x89PNG"):
        raise ValueError(f"{name} is no PNG")
    image = f"{place}/{name}"
    return f'<a href="{image}"><img src="{image}" alt="{title}" width="820"></a>\n\n*{title}*\n'


def _table(folder: Path, name: str, title: str) -> str:
    """Return a CSV file as Markdown: best numbers bold; digests as links; a long list of records folded away."""
    table = pd.read_csv(_beside(folder, name), dtype=str, keep_default_na=False)
    cells = table.map(lambda text: escape(text, quote=False).replace("|", "\\|").replace("\n", " "))
    cells = cells.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}", regex=True)
    rules = ["---" if is_words(table[name]) else "---:" for name in table.columns]
    for name in table.columns:
        best = ["bold" in place for place in places(table, name)]
        cells[name] = [f"**{text}**" if is_best else text for text, is_best in zip(cells[name], best, strict=True)]
    if "record" in table.columns:
        cells["record"] = cells["record"].replace("([0-9a-f]{16})", r"[\1](records/\1.json)", regex=True)
    lines = [[escape(name, quote=False) for name in table.columns], rules, *cells.to_numpy()]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    if "record" in table.columns:
        return f'<details><summary>{title}</summary><div class="scroll">\n\n{text}\n\n</div></details>\n'
    return f'**{title}**\n\n<div class="scroll">\n\n{text}\n\n</div>\n'


def _beside(folder: Path, name: str) -> Path:
    if Path(name).name != name:
        raise ValueError(f"{name!r} does not lie beside the notebook")
    return folder / name


def _anchor(place: str, name: str) -> str:
    return f"{place.replace('/', '-')}-{name}"
