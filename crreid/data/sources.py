"""Where pixels come from: a folder, a zip as downloaded, or anything that reads an image by its path.

A source is small and picklable, so that worker processes can take one along; files are opened lazily in each process.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crreid.errors import InputError

UInt8Image = NDArray[np.uint8]  # (height, width, 3), RGB, 0..255

# RuntimeError: the member is encrypted, or compressed by a method that Python does not know
_DAMAGED = (OSError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError)


class ImageSource(Protocol):
    """Reads images by the paths of an image table."""

    @property
    def location(self) -> str:
        """Name of the source in messages: the folder, the file, or `built-in`."""
        ...

    def read(self, path: str) -> UInt8Image:
        """Return the image at `path`: (height, width, 3) uint8 RGB. Raise InputError naming a file that is no image."""
        ...

    def content(self, paths: Iterable[str]) -> str:
        """Return 16 hexadecimal digits that name `paths` and the bytes behind them; nothing is decoded.

        A folder and its zip agree. Raise InputError naming a file that is missing.
        """
        ...


def read_images(source: ImageSource, paths: list[str]) -> list[UInt8Image]:
    """Read several images in order; a module's function, so that worker processes can call it."""
    return [source.read(path) for path in paths]


def digest_of_content(checksums: Iterable[tuple[str, int]]) -> str:
    """Return the digest of files by (path, CRC-32 of the bytes), see `ImageSource.content`."""
    digest = hashlib.sha256()
    for path, checksum in checksums:
        digest.update(f"{path}\0{checksum:08x}\n".encode())
    return digest.hexdigest()[:16]


def file_checksum(file: Path) -> int:
    """Return the CRC-32 of a file's bytes; a process reads it again only if its size or time has changed."""
    try:
        status = os.stat(file)
        return _checksum(os.fspath(file), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


@cache
def _checksum(file: str, size: int, modified: int) -> int:
    checksum = 0
    with open(file, "rb") as stream:
        while block := stream.read(2**20):
            checksum = zlib.crc32(block, checksum)
    return checksum


class _Files:
    """What a folder and a zip of images have in common."""

    def read(self, path: str) -> UInt8Image:
        """Read one image: (height, width, 3) uint8 RGB."""
        with self._opened(path) as image:
            return np.asarray(image.convert("RGB"))

    def size(self, path: str) -> tuple[int, int]:
        """Return (height, width) of an image in pixels from its header; nothing is decoded."""
        with self._opened(path) as image:
            return image.height, image.width

    @contextmanager
    def _opened(self, path: str) -> Iterator[Image.Image]:
        name, data = self._bytes(path)
        try:
            with Image.open(io.BytesIO(data)) as image:
                yield image
        except Exception as error:  # Pillow raises many types on broken files
            raise InputError(f"{name}: not a readable image ({error})") from error

    def _bytes(self, path: str) -> tuple[str, bytes]:
        """Return the file's name for messages, and its bytes."""
        raise NotImplementedError


class FolderSource(_Files):
    """Images below one folder; paths are relative to it, with forward slashes."""

    def __init__(self, root: Path) -> None:
        self.root, self.location = Path(root), str(root)

    def names(self, below: str = "") -> list[str]:
        """Return the paths of all files in the folder `below` and deeper, relative to the root, sorted."""
        files = (Path(folder, file) for folder, _, names in os.walk(self.root / below) for file in names)
        return sorted(file.relative_to(self.root).as_posix() for file in files)

    def content(self, paths: Iterable[str]) -> str:
        """Return the digest of the paths and of the CRC-32 of each file."""
        return digest_of_content((path, file_checksum(self.root / path)) for path in paths)

    def _bytes(self, path: str) -> tuple[str, bytes]:
        file = self.root / path
        try:
            return str(file), file.read_bytes()
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error


class ZipSource(_Files):
    """Images inside a zip, read without unpacking; paths are members' names below `prefix`."""

    def __init__(self, file: Path, prefix: str = "") -> None:
        """Open lazily; `prefix` is the folder that paths are relative to, with a trailing slash, or empty."""
        self.file, self.location, self.prefix = Path(file), str(file), prefix
        self._archive: zipfile.ZipFile | None = None
        self._process = 0

    def names(self, below: str = "") -> list[str]:
        """Return the paths of all members in the folder `below` and deeper, relative to the prefix, sorted."""
        start = self.prefix + (f"{below.rstrip('/')}/" if below else "")
        names = (name for name in self._open().namelist() if name.startswith(start) and not name.endswith("/"))
        return sorted(name.removeprefix(self.prefix) for name in names)

    def content(self, paths: Iterable[str]) -> str:
        """Return the digest of the paths and of the CRC-32 that the zip keeps of each member."""
        return digest_of_content((path, self._member(path).CRC) for path in paths)

    def _bytes(self, path: str) -> tuple[str, bytes]:
        name, member = f"{self.file}:{self.prefix}{path}", self._member(path)
        try:
            return name, self._open().read(member)
        except _DAMAGED as error:
            raise InputError(f"{name}: damaged in the zip ({error})") from error

    def _member(self, path: str) -> zipfile.ZipInfo:
        try:
            return self._open().getinfo(self.prefix + path)
        except KeyError as error:
            raise InputError(f"{self.file}:{self.prefix}{path}: no such file in the zip") from error

    def _open(self) -> zipfile.ZipFile:
        # a file handle must not be shared between forked processes
        if self._archive is None or self._process != os.getpid():
            try:
                self._archive = zipfile.ZipFile(self.file)
            except (OSError, zipfile.BadZipFile) as error:
                raise InputError(f"{self.file}: not a complete zip file ({error})") from error
            self._process = os.getpid()
        return self._archive

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open archive behind."""
        return {**self.__dict__, "_archive": None}
