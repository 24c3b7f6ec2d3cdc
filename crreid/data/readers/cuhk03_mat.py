"""The file `cuhk-03.mat` of CUHK03: images and test sets in one MATLAB 7.3 (HDF5) file.

Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification", CVPR 2014. Layout after the
release's readme and the field's public conversions: `labeled` and `detected` are cell arrays with one cell for each of
five camera pairs, a cell array of persons x 10 images (columns 1-5 first view, 6-10 second; a cell may be empty);
`testsets` is a cell array of 20 matrices of 100 rows (pair, person). MATLAB stores columns first, so that HDF5 shows
every array with its axes reversed: an image as (3, width, height).
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from crreid.data.sources import UInt8Image, digest_of_content, file_checksum
from crreid.errors import InputError

__all__ = ["IMAGE_NAME", "Cuhk03Mat", "image_name"]

IMAGE_NAME = re.compile(r"([1-5])_(\d{3,4})_([12])_(\d{2})\.png")
"""Pair, person in the pair, view, image (1 to 10): the names that the images get when they are unpacked."""


def image_name(pair: int, person: int, image: int) -> str:
    """Name of an unpacked image, e.g. `1_001_2_06.png`; all arguments count from 1."""
    return f"{pair}_{person:03d}_{1 if image <= 5 else 2}_{image:02d}.png"


class Cuhk03Mat:
    """Source of the images in `cuhk-03.mat`, under the paths they would have if they were unpacked."""

    def __init__(self, file: Path, kind: str) -> None:
        """Opens lazily.

        Args:
            file: `cuhk-03.mat`.
            kind: `labeled` or `detected`: boxes drawn by hand or by a detector.
        """
        self.file = Path(file)
        self.kind = kind
        self._archive: Any = None
        self._cells: list[Any] = []
        self._process = 0

    @property
    def location(self) -> str:
        """The file."""
        return str(self.file)

    def names(self) -> list[str]:
        """Paths of all images, `images_<kind>/<name>`, sorted."""
        archive, cells = self._open()
        return sorted(
            f"images_{self.kind}/{image_name(pair, person, image)}"
            for pair, persons in enumerate(cells, start=1)
            for person, images in enumerate(persons, start=1)
            for image, reference in enumerate(images, start=1)
            if archive[reference].ndim == 3  # an empty cell is a vector of zeros
        )

    def test_sets(self) -> list[frozenset[tuple[int, int]]]:
        """(pair, person) of the test persons of each split, counted from 1."""
        archive, _ = self._open()
        try:
            sets = [archive[reference][()].T.astype(int).tolist() for reference in archive["testsets"][()].ravel()]
            return [frozenset((pair, person) for pair, person in rows) for rows in sets]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{self.file}: cannot read 'testsets'; expected cells of (pair, person) rows") from error

    def read(self, path: str) -> UInt8Image:
        """Reads one image: (height, width, 3) uint8 RGB."""
        archive, cells = self._open()
        match = IMAGE_NAME.fullmatch(path.rpartition("/")[2])
        try:
            if match is None:
                raise KeyError(path)
            array = archive[cells[int(match[1]) - 1][int(match[2]) - 1, int(match[4]) - 1]][()]
        except (KeyError, IndexError) as error:
            raise InputError(f"{self.file}: no image {path}; expected one of those in {self.kind!r}") from error
        except OSError as error:
            raise InputError(f"{self.file}: {path} is damaged ({error})") from error
        if array.ndim != 3 or array.shape[0] != 3 or array.dtype != np.uint8:
            found = f"{array.dtype} {array.shape}"
            raise InputError(f"{self.file}: {path} is {found}; expected an image, uint8 (3, width, height)")
        return np.ascontiguousarray(array.T)

    def content(self, paths: Iterable[str]) -> str:
        """Return the digest of the paths and of the whole file's CRC-32."""
        checksum = file_checksum(self.file)
        return digest_of_content((path, checksum) for path in paths)

    def _open(self) -> tuple[Any, list[Any]]:
        """The open file, and for each pair an array of references, (persons, 10)."""
        # a file handle must not be shared between forked processes
        if self._archive is None or self._process != os.getpid():
            try:
                h5py: Any = importlib.import_module("h5py")  # an optional extra
            except ImportError as error:
                raise InputError(
                    f"{self.file}: reading this file needs h5py; install the extra: pip install 'crreid[cuhk03]'"
                ) from error
            try:
                archive = h5py.File(self.file, "r")
                self._cells = [archive[reference][()].T for reference in archive[self.kind][()].ravel()]
            except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise InputError(
                    f"{self.file}: expected a complete MATLAB 7.3 file with cells of images in {self.kind!r} ({error})"
                ) from error
            self._archive, self._process = archive, os.getpid()
        return self._archive, self._cells

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the open file behind."""
        return {**self.__dict__, "_archive": None, "_cells": []}
