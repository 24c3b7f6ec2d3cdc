"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from crreid.errors import InputError

__all__ = ["write_atomically"]


def write_atomically(file: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file whole or not at all: a temporary neighbour, flushed to disk, then renamed over it.

    Args:
        file: The target; its folder is made.
        content: The bytes, or a function that writes them to the open file given.

    Raises:
        InputError: The file cannot be written, e.g. because the disk is full; the target keeps its old content.
    """
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(handle, "wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(temporary, file)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if _is_failed_write(error):
            raise InputError(f"{file}: cannot be written ({error}); the previous file, if any, is untouched") from error
        raise


def _is_failed_write(error: BaseException) -> bool:
    """Return whether the disk refused; torch buries what the stream raised, or says only "failed writing"."""
    if isinstance(error, RuntimeError):
        return isinstance(error.__context__, OSError) or "failed writing" in str(error)
    return isinstance(error, OSError)
