import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from crreid import provenance as module
from crreid.provenance import provenance

CPU = torch.device("cpu")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `crreid` of a code that lies in no checkout; its `provenance.py` is the one that asks."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    folder = tmp_path / "crreid"
    folder.mkdir()
    (folder / "provenance.py").write_text("1\n")
    monkeypatch.setattr(module, "__file__", str(folder / "provenance.py"))
    return folder


def origin() -> tuple[Any, Any]:
    found = provenance(CPU)
    return found["commit"], found["dirty"]


def test_a_checkout_says_its_commit_and_whether_the_code_differs(package: Path) -> None:
    root = package.parent
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    commit = git(root, "rev-parse", "HEAD")
    assert origin() == (commit, False)
    (root / "results.txt").write_text("no code\n")
    assert origin() == (commit, False)
    (package / "provenance.py").write_text("2\n")
    assert origin() == (commit, True)


def test_without_git_nothing_is_claimed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert origin() == ("", None)  # no checkout

    def absent(*arguments: Any, **options: Any) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert origin() == ("", None)


def test_the_checkout_of_something_else_is_not_the_codes(package: Path) -> None:
    root = package.parent
    git(root, "init", "-q")
    (root / "theirs.txt").write_text("theirs\n")
    git(root, "add", "theirs.txt")
    git(root, "commit", "-q", "-m", "theirs")
    assert origin() == ("", None)
