"""Where pixels come from: a folder, a zip as downloaded, or anything that reads an image by its path.

A source is small and picklable, so that loader workers can take one along; files are opened lazily in each process.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crreid.errors import InputError

__all__ = ["FolderSource", "ImageSource", "UInt8Image", "ZipSource", "decode"]

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

    def fingerprint(self, paths: Iterable[str]) -> str:
        """Changes when the bytes behind `paths` may have changed; names the cache of decoded images."""
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

    def fingerprint(self, paths: Iterable[str]) -> str:
        """Digest of names, sizes and modification times."""
        digest = hashlib.sha256()
        for path in paths:
            try:
                status = os.stat(self.root / path)
            except OSError as error:
                raise InputError(f"{self.root / path}: cannot be read ({error.strerror})") from error
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()


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
        # a file handle must not be shared between forked loader workers
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

    def fingerprint(self, paths: Iterable[str]) -> str:
        """Digest of names and the checksums that the zip keeps of its members."""
        archive, digest = self._open(), hashlib.sha256()
        for path in paths:
            try:
                digest.update(f"{path}\0{archive.getinfo(self.prefix + path).CRC}\n".encode())
            except KeyError as error:
                raise InputError(f"{self.file}:{self.prefix}{path}: no such file in the zip") from error
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the open archive behind."""
        return {**self.__dict__, "_archive": None}
