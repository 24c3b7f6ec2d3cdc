"""Reads notebooks and runs them in this process, so that a test can look at what they computed."""

import json
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def cells(name: str) -> list[dict[str, Any]]:
    """The cells of a notebook; `text` joins their lines."""
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf8"))
    return [cell | {"text": "".join(cell["source"])} for cell in notebook["cells"]]


def run_cells(name: str, **parameters: Any) -> dict[str, Any]:
    """Runs the code cells of a notebook with other parameters than its own; returns its variables."""
    shell = InteractiveShell()
    for cell in cells(name):
        if cell["cell_type"] == "code":
            shell.run_cell(cell["text"]).raise_error()
            if "parameters" in cell["metadata"].get("tags", []):
                shell.user_ns.update(parameters)
    return dict(shell.user_ns)
