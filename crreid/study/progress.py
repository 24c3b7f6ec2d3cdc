"""Progress of a training: in a notebook one line that changes, and a file for whoever waits outside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

__all__ = ["ProgressLine", "ProgressTail", "append_line", "progress_file"]


def progress_file(runs_dir: Path) -> Path:
    """Where a study's lines of progress are appended."""
    return runs_dir / "progress.log"


def append_line(file: Path, line: str) -> None:
    """Appends a line to a file, making it and its folder where they are missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf8") as stream:
        stream.write(line + "\n")


class ProgressTail:
    """Gives what other processes append to a file from now on."""

    def __init__(self, file: Path) -> None:
        """Args: file: It need not be there yet."""
        self._file = file
        self._read = file.stat().st_size if file.exists() else 0

    def lines(self) -> list[str]:
        """The whole lines that are new."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode("utf8").splitlines()


class ProgressLine:
    """Takes lines of progress; in a notebook each replaces the one before, elsewhere they are printed."""

    def __init__(self, file: Path) -> None:
        """Args: file: Lines are appended to it; made when the first one comes."""
        self._file = file
        self._handle: Any = None

    def __call__(self, line: str) -> None:
        """Shows one line."""
        append_line(self._file, line)
        if not _in_notebook():
            print(line, flush=True)
        elif self._handle is None:
            from IPython.display import display

            self._handle = display(_Text(line), display_id=True)
        else:
            self._handle.update(_Text(line))


def _in_notebook() -> bool:
    """Whether IPython runs this; on machines without it, or where nobody has imported it, it does not."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


class _Text:
    """Plain text whose display is the text itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text
