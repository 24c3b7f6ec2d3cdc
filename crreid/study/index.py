"""`results/README.md`: one page with every rendered table, its figures and the records behind it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from crreid.files import write_atomically
from crreid.profiles import PROFILE_NAMES, profile_settings
from crreid.study.items import ITEMS, StudyItem

__all__ = ["write_index"]

HEADER = """# Results

Made by `crreid study`; do not edit. Published numbers stand beside measured ones and are never mixed. Numbers on
`synthetic` data were measured on the built-in synthetic pedestrians and say nothing about the published data sets.
"""


def write_index(results_dir: Path) -> None:
    """Writes the page from what lies in `results_dir`: rendered items by profile and data set, and records."""
    folders = [
        folder
        for profile in reversed(PROFILE_NAMES)
        for folder in sorted((results_dir / profile).glob("*"))
        if any((folder / f"{item.name}.html").exists() for item in ITEMS)
    ]
    lines = [
        HEADER,
        "| paper | notebook | profile | data | table | figures | command |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_overview(item, folder) for folder in folders for item in ITEMS if _rendered(item, folder)]
    for folder in folders:
        lines.append(f"\n## `{folder.parent.name}` on `{folder.name}`{_warning(folder)}\n")
        lines.append(_reductions(folder))
        lines += [_section(item, folder, results_dir) for item in ITEMS if _rendered(item, folder)]
    write_atomically(results_dir / "README.md", ("\n".join(lines).rstrip() + "\n").encode())


def _rendered(item: StudyItem, folder: Path) -> bool:
    return (folder / f"{item.name}.html").exists()


def _warning(folder: Path) -> str:
    return " (synthetic images)" if folder.name.endswith("synthetic") else ""


def _reductions(folder: Path) -> str:
    """One sentence naming every setting that differs from the paper's."""
    table = profile_settings(folder.parent.name, folder.name).reductions()
    if table.empty:
        return "All settings are the paper's.\n"
    parts = [f"{setting} {here} (paper: {paper})" for setting, paper, here in table.itertuples(index=False)]
    return f"Differs from the paper in {', '.join(parts)}.\n"


def _figures(item: StudyItem, folder: Path) -> list[str]:
    return [name for name in (*item.figures, *item.pictures) if (folder / f"{name}.png").exists()]


def _overview(item: StudyItem, folder: Path) -> str:
    profile, data = folder.parent.name, folder.name
    here = f"{profile}/{data}"
    tables = " ".join(f"[csv]({here}/{name}.csv) [md]({here}/{name}.md)" for name in item.tables)
    figures = " ".join(f"[{name}]({here}/{name}.svg)" for name in _figures(item, folder))
    command = f"crreid study --profile {profile} --dataset {data} --only {item.name}"
    if data.removeprefix("mlr-") != "synthetic":
        command += " --data-root PATH"
    cells = (
        item.paper,
        f"[{item.name}](../notebooks/{item.name}.ipynb) ([executed]({here}/{item.name}.html))",
        profile,
        data,
        tables,
        figures,
        f"`{command}`",
    )
    return f"| {' | '.join(cells)} |"


def _section(item: StudyItem, folder: Path, results_dir: Path) -> str:
    here = f"{folder.parent.name}/{folder.name}"
    parts = [f"### {item.paper}\n"]
    parts += [(folder / f"{name}.md").read_text(encoding="utf8") for name in item.tables]
    parts += [f'<img src="{here}/{name}.png" alt="{name}" width="820">\n' for name in _figures(item, folder)]
    records = _records(item, folder, results_dir)
    if records:
        parts.append("Records: " + "; ".join(records) + ".\n")
    return "\n".join(parts)


def _records(item: StudyItem, folder: Path, results_dir: Path) -> list[str]:
    """A phrase for each record that the item's tables name in their column `record`."""
    digests: dict[str, str] = {}
    for name in item.tables:
        table = pd.read_csv(folder / f"{name}.csv")
        if "record" in table.columns:
            digests |= dict(zip(table["record"], table["row"], strict=True))
    phrases = []
    for digest, row in digests.items():
        file = results_dir / "records" / f"{digest}.json"
        if file.exists():
            origin = json.loads(file.read_text(encoding="utf8"))["provenance"]
            minutes = origin["training_seconds"] / 60
            phrases.append(
                f"{row} [{digest}](records/{digest}.json) ({origin['device']}, {minutes:.1f} minutes of training, "
                f"{origin['started'][:10]}, commit {origin['commit'][:10] or 'unknown'}"
                f"{' with changes' if origin['dirty'] else ''})"
            )
    return phrases
