"""`results/index.html`: the results as a page that a browser shows without a network, beside the executed notebooks."""

from __future__ import annotations

from html import escape
from pathlib import Path

from crreid.errors import InputError
from crreid.files import write_atomically
from crreid.study.executed import markdown_to_html
from crreid.study.index import INTRODUCTION, Rendering, find_renderings, heading, reductions
from crreid.study.page import html_page
from crreid.study.styles import read_markdown_table, styled

__all__ = ["write_site"]

TITLE = "Cross-resolution person re-identification: results"
WORDS = ("device", "commit")  # columns of records that are no numbers


def write_site(results_dir: Path) -> None:
    """Writes the page from what lies in `results_dir`; links are relative, so the folder may be moved whole."""
    found = find_renderings(results_dir)
    parts = [f"<h1>{TITLE}</h1>", markdown_to_html(INTRODUCTION), _contents(found)]
    for renderings in found:
        parts.append(f'<h2 id="{_group(renderings[0])}">{_heading(renderings[0])}</h2>')
        settings = markdown_to_html(reductions(renderings[0]))
        parts.append(f"<details><summary>How the settings differ from the paper's</summary>{settings}</details>")
        parts += [_section(rendering) for rendering in renderings]
    write_atomically(results_dir / "index.html", html_page(TITLE, "\n".join(parts)).encode())


def _group(rendering: Rendering) -> str:
    return f"{rendering.profile}-{rendering.dataset}"


def _heading(rendering: Rendering) -> str:
    text = heading(rendering).removesuffix(" (synthetic images)").replace("`", "")
    return escape(text) + (' <span class="badge">synthetic images</span>' if rendering.synthetic else "")


def _contents(found: list[list[Rendering]]) -> str:
    lines = ['<nav class="contents">']
    for renderings in found:
        lines.append(f'<p><a href="#{_group(renderings[0])}">{_heading(renderings[0])}</a></p><ul>')
        lines += [
            f'<li><a href="#{rendering.anchor}">{escape(rendering.item.paper)}</a></li>' for rendering in renderings
        ]
        lines.append("</ul>")
    return "\n".join([*lines, "</nav>"])


def _section(rendering: Rendering) -> str:
    item, here = rendering.item, rendering.here
    links = [f'<a href="{here}/{item.name}.html">executed notebook</a>']
    links += [
        f'<a href="{here}/{name}.csv">{name}.csv</a>'
        for name in rendering.tables()
        if (rendering.folder / f"{name}.csv").exists()
    ]
    parts = [f'<h3 id="{rendering.anchor}">{escape(item.paper)}</h3>']
    parts.append(f'<ul class="links">{"".join(f"<li>{link}</li>" for link in links)}</ul>')
    if missing := rendering.missing():
        parts.append(f"<p><strong>Not rendered: {escape(', '.join(missing))}.</strong></p>")
    parts += [_table(rendering, name) for name in rendering.tables()]
    parts += [_figure(rendering, name) for name in rendering.figures()]
    parts += [_records(rendering), f'<p class="quiet">Again: <code>{escape(rendering.command)}</code></p>']
    return "\n".join(parts)


def _table(rendering: Rendering, name: str) -> str:
    text = (rendering.folder / f"{name}.md").read_text(encoding="utf8")
    try:
        # equal tables of two items must not share their cells' names
        shown = styled(read_markdown_table(text)).set_uuid(f"{rendering.anchor}-{name}").to_html()
    except InputError:  # other Markdown than one table
        shown = markdown_to_html(text)
    caption = f'<p class="quiet">{name}</p>' if len(rendering.tables()) > 1 else ""
    return f'{caption}<div class="scroll">{shown}</div>'


def _figure(rendering: Rendering, name: str) -> str:
    vector = (rendering.folder / f"{name}.svg").exists()
    image = f'<img src="{rendering.here}/{name}.png" alt="{name}" loading="lazy">'
    linked = f'<a href="{rendering.here}/{name}.svg">{image}</a>' if vector else image
    return f"<figure>{linked}<figcaption>{name}</figcaption></figure>"


def _records(rendering: Rendering) -> str:
    table = rendering.records()
    if table.empty:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = []
    for line in table.to_dict("records"):
        cells = [_record_cell(str(name), str(value)) for name, value in line.items()]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    summary = f"Record{'s' * (len(table) > 1)} behind these numbers ({len(table)})"
    return (
        f'<details><summary>{summary}</summary><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _record_cell(name: str, value: str) -> str:
    if name == "record":
        return f'<td><a class="mono" href="records/{value}.json">{value}</a></td>'
    kind = ' class="words"' if name in WORDS else ""
    return f"<td{kind}>{escape(value)}</td>"
