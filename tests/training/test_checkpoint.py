import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from crreid.errors import InputError
from crreid.training.checkpoint import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")
GOOD = {"method": {"weight": torch.arange(6.0)}, "rows": [{"epoch": 0, "total": 1.5}], "note": "fine"}


def big() -> dict[str, Any]:
    return {"method": {"weight": torch.zeros(1000, 100)}, "rows": []}


def check_good(file: Path) -> None:
    state = load_checkpoint(file, CPU)
    assert torch.equal(state["method"]["weight"], GOOD["method"]["weight"])
    assert (state["rows"], state["note"]) == (GOOD["rows"], GOOD["note"])
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good checkpoint in a folder of its own."""
    file = tmp_path / "run" / "checkpoint.pt"
    save_checkpoint(file, GOOD)
    return file


class FullDisk:
    """A file on a disk that has room for so many bytes."""

    def __init__(self, stream: BinaryIO, room: int) -> None:
        self.stream, self.room = stream, room

    def write(self, data: bytes) -> int:
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return self.stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *arguments: object) -> None:
        self.stream.close()


# on the way torch turns the stream's OSError into a RuntimeError, at the very end of the file it does not
@pytest.mark.parametrize("room", [0, 100, 10_000, 400_100, 401_000])
def test_a_full_disk_leaves_the_old_checkpoint(file: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    really = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *arguments: FullDisk(really(*arguments), room))
    with pytest.raises(InputError, match=r"checkpoint\.pt: cannot be written .* the previous file, if any"):
        save_checkpoint(file, big())
    check_good(file)


def test_the_users_mask_of_permissions_is_kept(file: Path) -> None:
    before = os.umask(0o077)
    save_checkpoint(file, GOOD)
    os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_appears_only_when_it_is_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really, seen = os.replace, []

    def replace(source: str, target: Path) -> None:
        seen.append(load_checkpoint(Path(source), CPU))
        assert load_checkpoint(file, CPU)["note"] == "fine"
        really(source, target)

    monkeypatch.setattr(os, "replace", replace)
    save_checkpoint(file, {"note": "newer"})
    assert seen == [{"note": "newer"}]
    assert load_checkpoint(file, CPU) == {"note": "newer"}


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 neither", None])
def test_a_broken_file_is_named(file: Path, content: bytes | None) -> None:
    file.write_bytes(file.read_bytes()[:-200] if content is None else content)
    with pytest.raises(InputError, match=r"checkpoint\.pt: not a checkpoint of crreid .*; delete it") as caught:
        load_checkpoint(file, CPU)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


class Trap:
    sprung = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return spring, ()


def spring() -> None:
    Trap.sprung = True


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    assert load_checkpoint(file, CPU) is None
    torch.save([1, 2], file)
    with pytest.raises(InputError, match=r"not a checkpoint of crreid .*list"):
        load_checkpoint(file, CPU)
    torch.save({"method": Trap()}, file)
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(file, CPU)
    file.write_bytes(pickle.dumps({"method": Trap()}, protocol=2))
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(file, CPU)
    assert not Trap.sprung
