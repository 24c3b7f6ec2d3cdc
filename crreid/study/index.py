"""`results/README.md`: one page with every rendered table, its figures and the records behind it."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from crreid.files import write_atomically
from crreid.profiles import PROFILE_NAMES, profile_settings
from crreid.study.items import ITEMS, StudyItem

__all__ = ["INTRODUCTION", "Rendering", "find_renderings", "write_index"]

INTRODUCTION = """Made by `crreid study`; do not edit. Published numbers stand beside measured ones and are never mixed.
Numbers on `synthetic` data were measured on the built-in synthetic pedestrians and say nothing about the published
data sets."""
MANY_RECORDS = 10


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """One item of the study as it was rendered on one data set at one size.

    Attributes:
        item: Which.
        folder: `results/<profile>/<dataset>`.
    """

    item: StudyItem
    folder: Path

    @property
    def profile(self) -> str:
        """The profile's name."""
        return self.folder.parent.name

    @property
    def dataset(self) -> str:
        """E.g. `mlr-market-1501`."""
        return self.folder.name

    @property
    def synthetic(self) -> bool:
        """Whether the images are the built-in ones."""
        return self.dataset.removeprefix("mlr-") == "synthetic"

    @property
    def here(self) -> str:
        """The folder as links of `results/` write it."""
        return f"{self.profile}/{self.dataset}"

    @property
    def anchor(self) -> str:
        """Names the section on both pages."""
        return f"{self.profile}-{self.dataset}-{self.item.name}"

    @property
    def command(self) -> str:
        """What renders it again, with the parameters that its executed notebook was given."""
        words = ["crreid", "study", "--profile", self.profile, "--dataset", self.dataset, "--only", self.item.name]
        given = self._given()
        for name in ("rows", "seeds"):
            if given.get(name):
                words += [f"--{name}", *map(str, given[name])]
        if given.get("weights", "random") != "random":
            words += ["--weights", given["weights"]]
        return shlex.join(words if self.synthetic else [*words, "--data-root", "PATH"])

    def _given(self) -> dict[str, Any]:
        """Parameters of the executed notebook; none where it is not there."""
        file = self.folder / f"{self.item.name}.ipynb"
        cells = nbformat.read(file, as_version=4).cells if file.exists() else []
        sources = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
        assigned = [node for node in ast.parse("\n".join(sources)).body if isinstance(node, ast.Assign)]
        return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in assigned}

    def tables(self) -> list[str]:
        """Names of its tables that are there."""
        return [name for name in self.item.tables if (self.folder / f"{name}.md").exists()]

    def figures(self) -> list[str]:
        """Names of its figures that are there; those that show people exist for built-in images only."""
        names = self.item.figures + (self.item.pictures if self.synthetic else ())
        return [name for name in names if (self.folder / f"{name}.png").exists()]

    def missing(self) -> list[str]:
        """Names of what the item promises and has not left, as after a notebook that failed."""
        return [name for name in self.item.artefacts(synthetic=self.synthetic) if not (self.folder / name).exists()]

    def records(self) -> pd.DataFrame:
        """The records behind its numbers, one a line, named as its tables' column `record` names them.

        Returns:
            Columns row, seed, record (digest), device, training minutes, measured (date), commit; perhaps no line.
        """
        named: dict[str, str] = {}
        for name in self.item.tables:
            file = self.folder / f"{name}.csv"
            table = pd.read_csv(file, dtype=str, keep_default_na=False) if file.exists() else pd.DataFrame()
            if {"record", "row"} <= set(table.columns):
                named |= {digest: row for digest, row in zip(table["record"], table["row"], strict=True) if digest}
        lines = [self._record(digest, row) for digest, row in named.items()]
        return pd.DataFrame([line for line in lines if line])

    def _record(self, digest: str, row: str) -> dict[str, str]:
        file = self.folder.parents[1] / "records" / f"{digest}.json"
        if not file.exists():
            return {}
        record = json.loads(file.read_text(encoding="utf8"))
        origin = record["provenance"]
        commit = origin["commit"][:10] or "unknown"
        return {
            "row": row,
            "seed": str(record["run"]["seed"]),
            "record": digest,
            "device": origin["device"],
            "training minutes": f"{origin['training_seconds'] / 60:.1f}",
            "measured": origin["started"][:10],
            "commit": commit + (" with changes" if origin["dirty"] else ""),
        }


def find_renderings(results_dir: Path) -> list[list[Rendering]]:
    """What was rendered, by folder: larger profiles first, data sets by name, items in the order of the study."""
    folders = [folder for profile in reversed(PROFILE_NAMES) for folder in sorted((results_dir / profile).glob("*"))]
    found = [
        [Rendering(item=item, folder=folder) for item in ITEMS if (folder / f"{item.name}.html").exists()]
        for folder in folders
    ]
    return [renderings for renderings in found if renderings]


def write_index(results_dir: Path) -> None:
    """Writes the page from what lies in `results_dir`: rendered items by profile and data set, and records."""
    found = find_renderings(results_dir)
    lines = [f"# Results\n\n{INTRODUCTION}\n\n## Contents\n"]
    for renderings in found:
        lines.append(f"- {heading(renderings[0])}")
        lines += [f"  - [{rendering.item.paper}](#{rendering.anchor})" for rendering in renderings]
    for renderings in found:
        lines.append(f"\n## {heading(renderings[0])}\n\n{reductions(renderings[0])}\n")
        lines += [_section(rendering) for rendering in renderings]
    write_atomically(results_dir / "README.md", ("\n".join(lines).rstrip() + "\n").encode())


def heading(rendering: Rendering) -> str:
    """Of all that was rendered in one folder, as Markdown."""
    warning = " (synthetic images)" if rendering.synthetic else ""
    return f"`{rendering.profile}` on `{rendering.dataset}`{warning}"


def reductions(rendering: Rendering) -> str:
    """One sentence naming every setting that differs from the paper's, as Markdown."""
    table = profile_settings(rendering.profile, rendering.dataset).reductions()
    if table.empty:
        return "All settings are the paper's."
    parts = [f"{setting} {here} (paper: {paper})" for setting, paper, here in table.itertuples(index=False)]
    return f"Differs from the paper in {', '.join(parts)}."


def _section(rendering: Rendering) -> str:
    item, here = rendering.item, rendering.here
    parts = [
        f'<a id="{rendering.anchor}"></a>\n\n### {item.paper}\n',
        f"Notebook [{item.name}](../notebooks/{item.name}.ipynb), executed [here]({here}/{item.name}.ipynb) "
        f"([as a page]({here}/{item.name}.html)) by `{rendering.command}`\n",
    ]
    if missing := rendering.missing():
        parts.append(f"**Not rendered: {', '.join(missing)}.**\n")
    tables = rendering.tables()
    for name in tables:
        title = f"**{name}** " if len(tables) > 1 else ""
        numbers = f"([numbers]({here}/{name}.csv))\n" if (rendering.folder / f"{name}.csv").exists() else "\n"
        parts += [(rendering.folder / f"{name}.md").read_text(encoding="utf8"), title + numbers]
    for name in rendering.figures():
        image = f'<img src="{here}/{name}.png" alt="{name}" width="820">'
        vector = f"{here}/{name}.svg"
        linked = (rendering.folder / f"{name}.svg").exists()
        parts.append(f'<a href="{vector}">{image}</a>\n' if linked else f"{image}\n")
    return "\n".join([*parts, _records(rendering)])


def _records(rendering: Rendering) -> str:
    """A table of records with links; folded away where there are many."""
    table = rendering.records()
    if table.empty:
        return ""
    table["record"] = [f"[{digest}](records/{digest}.json)" for digest in table["record"]]
    shown = table.to_markdown(index=False, disable_numparse=True)
    if len(table) <= MANY_RECORDS:
        return f"The records behind these numbers:\n\n{shown}\n"
    return f"<details><summary>The {len(table)} records behind these numbers</summary>\n\n{shown}\n\n</details>\n"
