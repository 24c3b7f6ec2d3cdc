"""Execute one notebook in a process of its own and publish it. Imports little: every such process pays for it."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from crreid.files import write_atomically

POLL_SECONDS = 0.5


def end_with_parent(parent: int) -> None:
    """End this process, within a second or so, when the one that started it has ended, however that came."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def begin(parent: int, log: Path) -> None:
    """End with the process that runs the study; what kernels say outside of their notebooks goes to a file."""
    end_with_parent(parent)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())


def execute(
    source: Path, parameters: Mapping[str, Any], target: Path, failed: Path, hidden: Mapping[str, str]
) -> tuple[float, str]:
    """Execute a notebook and publish it.

    It works in an empty folder: Python looks for modules in a kernel's working directory first. Where a cell fails, the
    notebook goes to `failed` and what was published before stays.

    Returns:
        The seconds it took, and one sentence on what went wrong, or nothing.
    """
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for whatever a cell computes
    started, problem = time.monotonic(), ""
    with tempfile.TemporaryDirectory() as folder:
        executed, empty = Path(folder) / "executed.ipynb", Path(folder) / "empty"
        empty.mkdir()
        options: dict[str, Any] = {"kernel_name": "python3", "progress_bar": False, "start_timeout": 120}
        try:
            execute_notebook(str(source), str(executed), dict(parameters), cwd=str(empty), **options)
        except PapermillExecutionError as error:
            problem = f"failed, {error.ename}: {error.evalue} (see {failed})"
        notebook = json.loads(executed.read_text(encoding="utf8"))
        given = {name: parameters[name] for name in ("rows", "seeds", "weights") if name in parameters}
        publish(notebook, failed if problem else target, hidden=hidden, given=given)
    return time.monotonic() - started, problem


def publish(notebook: dict[str, Any], file: Path, *, hidden: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Write an executed notebook so that only a changed number changes the file.

    Progress bars, times and random names go; figures become links to their PNG files; paths of this machine are
    replaced by what stands for them in `hidden`, as whole paths and in texts only. `given` are the rows, seeds and
    weights that the command line chose, for the pages.
    """
    for number, cell in enumerate(notebook["cells"]):
        tags = cell["metadata"].get("tags", [])
        cell["metadata"] = {"tags": tags} if tags else {}
        if "injected-parameters" in tags:
            cell["id"] = f"injected-{number}"  # papermill draws it at random
        if cell["cell_type"] == "code":
            cell["outputs"] = _outputs(cell["outputs"])
    paths = [
        (re.compile(rf"(?<![\w./~-]){re.escape(path)}(?![\w-])"), shown)
        for path, shown in sorted(hidden.items(), key=lambda entry: -len(entry[0]))
        if len(Path(path).parts) > 1  # "/" is in every text
    ]
    kernel = notebook["metadata"]["kernelspec"]
    published = {
        "cells": _without_paths(notebook["cells"], paths),
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}
        | {"crreid": _without_paths({"rows": [], **given}, paths)},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    write_atomically(file, (json.dumps(published, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def _outputs(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return outputs without progress bars, texts that were printed in pieces as one, figures as links."""
    kept: list[dict[str, Any]] = []
    for output in outputs:
        data, metadata = output.get("data", {}), output.get("metadata", {})
        text = "".join(output.get("text", ""))
        if "application/vnd.jupyter.widget-view+json" in data or "\r" in text:
            continue
        if kept and text and kept[-1].get("name") == output["name"]:
            kept[-1]["text"] += text
            continue
        if text:
            output["text"] = text
        elif "crreid" in metadata and "image/png" in data:
            name, title = metadata["crreid"]["file"], metadata["crreid"]["title"]
            width = metadata["image/png"]["width"]
            image = f'<img src="{escape(name)}" alt="{escape(title)}" width="{width}">'
            output["data"], output["metadata"] = {"text/html": image}, {"crreid": metadata["crreid"]}
        elif "text/html" in data:
            data.pop("text/plain", None)  # it may name an address in memory
        kept.append(output)
    return kept


def _without_paths(value: Any, paths: Sequence[tuple[re.Pattern[str], str]]) -> Any:
    """Return plain JSON with paths replaced in its texts, not in the names of its entries."""
    if isinstance(value, dict):
        return {name: _without_paths(entry, paths) for name, entry in value.items()}
    if isinstance(value, list):
        return [_without_paths(entry, paths) for entry in value]
    for pattern, shown in paths if isinstance(value, str) else ():
        value = pattern.sub(lambda _: shown, value)  # noqa: B023 (used at once)
    return value
