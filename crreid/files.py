"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from crreid.errors import InputError


def write_atomically(file: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file whole or not at all: a temporary neighbour, flushed to disk, then renamed over it.

    `content` is the bytes, or a function that writes them to the open file given. The file's folder is made.

    Raises:
        InputError: The file cannot be written, e.g. because the disk is full; the target keeps its old content.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if _is_failed_write(error):
            raise InputError(f"{file}: cannot be written ({error}); the previous file, if any, is untouched") from error
        raise


def _is_failed_write(error: BaseException) -> bool:
    """Return whether the disk refused; torch buries what the stream raised, or says only "failed writing"."""
    if isinstance(error, RuntimeError):
        return isinstance(error.__context__, OSError) or "failed writing" in str(error)
    return isinstance(error, OSError)
