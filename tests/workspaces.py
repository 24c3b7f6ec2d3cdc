"""Where runs are measured in tests."""

from pathlib import Path
from typing import Any

from crreid.runs import Workspace


def open_workspace(folder: Path, pixels: Path, **options: Any) -> Workspace:
    """A quiet workspace on the CPU; decoded images lie in `pixels`."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    if not (folder / "runs" / "pixels").exists():
        (folder / "runs" / "pixels").symlink_to(pixels)
    options = {"device": "cpu", "report": lambda line: None} | options
    return Workspace(results_dir=folder / "results", runs_dir=folder / "runs", **options)
