"""Where pixels come from: a folder, a zip as downloaded, or anything that reads an image by its path.

A source is small and picklable, so that worker processes can take one along; files are opened lazily in each process.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crreid.errors import InputError

__all__ = [
    "FolderSource",
    "ImageSource",
    "UInt8Image",
    "ZipSource",
    "decode",
    "digest_of_content",
    "file_checksum",
    "read_images",
]

UInt8Image = NDArray[np.uint8]  # (height, width, 3), RGB, 0..255


# RuntimeError: the member is encrypted, or compressed by a method that Python does not know
_DAMAGED = (OSError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError)


class ImageSource(Protocol):
    """Reads images by the paths of an image table."""

    @property
    def location(self) -> str:
        """What to call the source in messages: the folder, the file, or `built-in`."""
        ...

    def read(self, path: str) -> UInt8Image:
        """The image at `path`: (height, width, 3) uint8 RGB. Raises InputError naming a file that is no image."""
        ...

    def content(self, paths: Iterable[str]) -> str:
        """Return 16 hexadecimal digits that name `paths` and the bytes behind them; nothing is decoded.

        A folder and its zip agree. Raises InputError naming a file that is missing.
        """
        ...


def decode(data: bytes, name: str) -> UInt8Image:
    """Decodes an encoded image to (height, width, 3) uint8 RGB.

    Args:
        data: The bytes of a file in any format that Pillow reads.
        name: The file's name for the message.

    Raises:
        InputError: The bytes are no image, or a truncated one.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises many types on broken files
        raise InputError(f"{name}: not a readable image ({error})") from error


def digest_of_content(checksums: Iterable[tuple[str, int]]) -> str:
    """Return 16 hexadecimal digits that name files by (path, CRC-32 of the bytes)."""
    digest = hashlib.sha256()
    for path, checksum in checksums:
        digest.update(f"{path}\0{checksum:08x}\n".encode())
    return digest.hexdigest()[:16]


def file_checksum(file: Path) -> int:
    """Return the CRC-32 of a file's bytes; in one process a file is read again only if its size or time changes.

    Raises:
        InputError: The file cannot be read.
    """
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


def read_images(source: ImageSource, paths: list[str]) -> list[UInt8Image]:
    """Read several images in order; a module-level function, so that worker processes can call it."""
    return [source.read(path) for path in paths]


def _header_size(file: Path | IO[bytes], name: str) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except Exception as error:  # as in decode
        raise InputError(f"{name}: not a readable image ({error})") from error


class FolderSource:
    """Images below one folder; paths are relative to it, with forward slashes."""

    def __init__(self, root: Path) -> None:
        """Args: root: An existing folder."""
        self.root = Path(root)

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.root)

    def read(self, path: str) -> UInt8Image:
        """Reads one file: (height, width, 3) uint8 RGB."""
        file = self.root / path
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error
        return decode(data, str(file))

    def names(self, below: str = "") -> list[str]:
        """All files in the folder `below` and deeper, relative to the root, sorted."""
        files = (Path(folder, file) for folder, _, names in os.walk(self.root / below) for file in names)
        return sorted(file.relative_to(self.root).as_posix() for file in files)

    def size(self, path: str) -> tuple[int, int]:
        """(height, width) of an image in pixels, from its header; nothing is decoded. Raises InputError as `read`."""
        return _header_size(self.root / path, str(self.root / path))

    def content(self, paths: Iterable[str]) -> str:
        """Return the digest of the paths and of the CRC-32 of each file."""
        return digest_of_content((path, file_checksum(self.root / path)) for path in paths)


class ZipSource:
    """Images inside a zip, read without unpacking; paths are members' names below `prefix`."""

    def __init__(self, file: Path, prefix: str = "") -> None:
        """Opens lazily.

        Args:
            file: The zip.
            prefix: Folder inside the zip that paths are relative to, with a trailing slash, or empty.
        """
        self.file = Path(file)
        self.prefix = prefix
        self._archive: zipfile.ZipFile | None = None
        self._process = 0

    @property
    def location(self) -> str:
        """The zip."""
        return str(self.file)

    def _open(self) -> zipfile.ZipFile:
        # a file handle must not be shared between forked processes
        if self._archive is None or self._process != os.getpid():
            try:
                self._archive = zipfile.ZipFile(self.file)
            except (OSError, zipfile.BadZipFile) as error:
                raise InputError(f"{self.file}: not a complete zip file ({error})") from error
            self._process = os.getpid()
        return self._archive

    def names(self, below: str = "") -> list[str]:
        """All members in the folder `below` and deeper, relative to the prefix, sorted."""
        start = self.prefix + (f"{below.rstrip('/')}/" if below else "")
        names = (name for name in self._open().namelist() if name.startswith(start) and not name.endswith("/"))
        return sorted(name.removeprefix(self.prefix) for name in names)

    def size(self, path: str) -> tuple[int, int]:
        """(height, width) of an image in pixels, from its header; nothing is decoded. Raises InputError as `read`."""
        name = f"{self.file}:{self.prefix}{path}"
        try:
            with self._open().open(self.prefix + path) as member:
                return _header_size(member, name)
        except KeyError as error:
            raise InputError(f"{name}: no such file in the zip") from error
        except _DAMAGED as error:
            raise InputError(f"{name}: damaged in the zip ({error})") from error

    def read(self, path: str) -> UInt8Image:
        """Reads one member: (height, width, 3) uint8 RGB."""
        name = f"{self.file}:{self.prefix}{path}"
        try:
            data = self._open().read(self.prefix + path)
        except KeyError as error:
            raise InputError(f"{name}: no such file in the zip") from error
        except _DAMAGED as error:
            raise InputError(f"{name}: damaged in the zip ({error})") from error
        return decode(data, name)

    def content(self, paths: Iterable[str]) -> str:
        """Return the digest of the paths and of the CRC-32 that the zip keeps of each member."""
        archive = self._open()
        try:
            return digest_of_content((path, archive.getinfo(self.prefix + path).CRC) for path in paths)
        except KeyError as error:
            raise InputError(f"{self.file}: {error.args[0]}") from error

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the open archive behind."""
        return {**self.__dict__, "_archive": None}
