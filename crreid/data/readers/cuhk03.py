"""CUHK03: 1,467 persons, five pairs of cameras, boxes of a detector.

Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification", CVPR 2014 (classic protocol, 20
test sets of 100 persons); Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017
(new protocol, 767 persons to train, 700 to test). Two layouts are read: `cuhk-03.mat` as released, and its images
unpacked to `images_detected` as torchreid does, `1_001_1_01.png` = pair 1, person 1, view 1, image 1. The new protocol
comes as `cuhk03_new_protocol_config_detected.mat`, published with the second paper (filelist, labels, camId, train_idx,
query_idx, gallery_idx; indices from 1). Boxes drawn by hand, `labeled` in both, are not read.

Layout of `cuhk-03.mat` (MATLAB 7.3, that is HDF5) after the release's readme and the field's public conversions:
`detected` is a cell array with one cell per camera pair, a cell array of persons x 10 images (columns 1-5 first view,
6-10 second; a cell may be empty); `testsets` is a cell array of 20 matrices of 100 rows (pair, person).
MATLAB stores columns first, so that HDF5 shows every array with its axes reversed: an image as (3, width, height).
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from crreid.data.readers.layout import count_notes, draw_test_identities, find_path, parse_folder
from crreid.data.sources import FolderSource, ImageSource, UInt8Image, digest_of_content, file_checksum
from crreid.data.table import COLUMNS, ImageTable
from crreid.errors import InputError

NAME = re.compile(r"([1-5])_(\d{3,4})_([12])_(\d{2})\.png")  # pair, person in the pair, view, image (1 to 10)
PERSONS, TEST_PERSONS = 1_467, 100
OFFICIAL_NEW = {"train": (7_365, 767), "query": (1_400, 700), "gallery": (5_332, 700)}  # images and identities


def cuhk03(root: Path, *, split: int = 0, protocol: Literal["classic", "new"] = "classic") -> ImageTable:
    """Read CUHK03 without decoding an image.

    Args:
        root: The folder that holds `cuhk-03.mat` or `images_detected`, a parent of it, or the file `cuhk-03.mat`.
            Unpacked images are preferred. The test sets come from `cuhk-03.mat`; without it they are drawn with the
            seeds 0 to 19, and a note says so.
        split: Which of the 20 splits of the classic protocol; 0 for the new one.
        protocol: `classic`: of 100 test persons the first view is query, the second gallery. `new`: as its file says.

    Returns:
        Cameras 1 to 10: view v of pair p is camera 2 (p - 1) + v. Identities are 1000 x pair + person in the
        classic protocol and the file's labels in the new one. Rate 1. Reading the .mat file needs h5py.
    """
    root = Path(root)
    folder = root.parent if root.is_file() and root.suffix == ".mat" else root
    if not folder.is_dir():
        raise InputError(f"{root}: no such folder; expected cuhk-03.mat or images_detected there (unpack a zip first)")
    source, images = _images(folder)
    classic = protocol == "classic"
    name = "cuhk03" if classic else "cuhk03-new"
    rows, notes = _classic(folder, split, images) if classic else _new(folder, images)
    return ImageTable(name=name, rows=rows, source=source, notes=("detected boxes", *notes))


def _images(folder: Path) -> tuple[ImageSource, pd.DataFrame]:
    """Return all images with pair, person, view and camera, and their source."""
    unpacked, mat = find_path(folder, "images_detected"), find_path(folder, "cuhk-03.mat")
    source: ImageSource
    if unpacked is not None:
        source = FolderSource(unpacked.parent)
        paths = [path for path, _ in parse_folder(source, unpacked.name, NAME, "1_001_1_01.png")]
    elif mat is not None:
        source = _MatSource(mat)
        paths = source.names()
    else:
        raise InputError(
            f"{folder}: expected cuhk-03.mat or the folder images_detected, there or up to two folders deeper"
        )
    images = pd.DataFrame([_numbers(path)[:3] for path in paths], columns=["pair", "person", "view"])
    camera = 2 * (images["pair"] - 1) + images["view"]
    identity = 1000 * images["pair"] + images["person"]
    return source, images.assign(path=paths, camera=camera, identity=identity, rate=1.0)


def _numbers(path: str) -> tuple[int, ...]:
    """Return pair, person, view and image by the name of an image; empty for another name."""
    match = NAME.fullmatch(path.rpartition("/")[2])
    return tuple(int(group) for group in match.groups()) if match else ()


def _classic(folder: Path, split: int, images: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the classic protocol, and notes."""
    views = images.groupby("identity")["view"].nunique()
    complete = [int(identity) for identity in views.index[views == 2]]
    test, note = _test_identities(folder, split, complete)
    tested = images["identity"].isin(test)
    if not tested.any():
        of_split = f"the {len(test)} test persons of split {split}"
        raise InputError(f"{folder}: none of {of_split} has images in images_detected")
    role = images["view"].map({1: "query", 2: "gallery"}).where(tested, "train")
    # some persons were seen by one camera only: such a query could find nothing
    hopeless = (role == "query") & ~images["identity"].isin(complete)
    rows = images.assign(role=role)[~hopeless]
    notes = [note]
    if hopeless.any():
        notes.append(f"{int(hopeless.sum())} images of test persons whom the second camera did not see are left out")
    if len(views) != PERSONS or len(test) != TEST_PERSONS:
        notes.append(
            f"{len(views):,} persons, {len(test)} of them to test, "
            f"where the official data set has {PERSONS:,} and {TEST_PERSONS}"
        )
    return rows[list(COLUMNS)], notes


def _test_identities(folder: Path, split: int, complete: list[int]) -> tuple[frozenset[int], str]:
    """Return the test persons of one split, and where they come from."""
    file = find_path(folder, "cuhk-03.mat")
    if file is None:
        test = draw_test_identities(complete, min(TEST_PERSONS, len(complete) // 2), split)
        return test, f"split {split}: {len(test)} random test persons, drawn with the seed {split}, not official ones"
    sets = _MatSource(file).test_sets()
    if split >= len(sets):
        raise InputError(f"{file}: holds {len(sets)} test sets; number {split} is asked for")
    return sets[split], f"split {split} of the {len(sets)} official test sets"


def _new(folder: Path, images: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the new protocol, and notes."""
    name = "cuhk03_new_protocol_config_detected.mat"
    beside = folder.resolve().parent / name  # when root is the folder of cuhk-03.mat, as torchreid lays it out
    file = find_path(folder, name) or beside
    if not file.is_file():
        raise InputError(f"{folder}: the new protocol needs {name} there, up to two folders deeper, or one up")
    fields = _fields(file)
    names, labels = fields["filelist"], fields["labels"]
    by_name = images.assign(name=images["path"].str.rpartition("/")[2]).set_index("name")
    parts = []
    for role in ("train", "query", "gallery"):
        index = fields[f"{role}_idx"].astype(int) - 1
        if len(labels) != len(names) or not ((index >= 0) & (index < len(names))).all():
            raise InputError(f"{file}: {role}_idx or labels do not fit the {len(names)} names of filelist")
        chosen = names[index].astype(str)
        missing = [name for name in chosen if name not in by_name.index]
        if missing:
            raise InputError(f"{folder}: {missing[0]} of {file.name} is missing; expected it in images_detected")
        part = by_name.loc[chosen, ["path", "camera", "rate"]]
        parts.append(part.assign(role=role, identity=labels[index].astype(int)))
    rows = pd.concat(parts, ignore_index=True)[list(COLUMNS)]
    return rows, list(count_notes(rows, OFFICIAL_NEW))


def _fields(file: Path) -> dict[str, np.ndarray]:
    """Return the fields of the new protocol's file, each flat."""
    scipy_io: Any = importlib.import_module("scipy.io")  # slow to import, and needed here only
    try:
        content = scipy_io.loadmat(file)
    except Exception as error:  # scipy raises many types on files that are not MATLAB's
        raise InputError(f"{file}: not a readable MATLAB file ({error})") from error
    names = ("filelist", "labels", "train_idx", "query_idx", "gallery_idx")
    for name in names:
        if name not in content:
            raise InputError(f"{file}: lacks the field {name!r}; expected the new protocol of CUHK03")
    fields = {name: np.ravel(content[name]) for name in names}
    return fields | {"filelist": np.array([str(np.ravel(cell)[0]) for cell in fields["filelist"]], dtype=object)}


class _MatSource:
    """Images in `cuhk-03.mat`, under the paths that they would have if they were unpacked; opened lazily."""

    def __init__(self, file: Path) -> None:
        self._file, self.location, self._process = file, str(file), 0
        self._archive: Any = None
        self._cells: list[Any] = []

    def names(self) -> list[str]:
        """Return the paths of all images, sorted."""
        archive, cells = self._open()
        names = sorted(
            f"images_detected/{pair}_{person:03d}_{1 + (image > 5)}_{image:02d}.png"
            for pair, persons in enumerate(cells, start=1)
            for person, images in enumerate(persons, start=1)
            for image, reference in enumerate(images, start=1)
            if archive[reference].ndim == 3  # an empty cell is a vector of zeros
        )
        if not names:
            raise InputError(f"{self._file}: no images in 'detected'; expected five cells of persons x 10 images")
        return names

    def test_sets(self) -> list[frozenset[int]]:
        """Return the test identities of each split."""
        archive, _ = self._open()
        try:
            sets = [archive[reference][()].T.astype(int).tolist() for reference in archive["testsets"][()].ravel()]
            return [frozenset(1000 * pair + person for pair, person in rows) for rows in sets]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{self._file}: cannot read 'testsets'; expected cells of (pair, person) rows") from error

    def read(self, path: str) -> UInt8Image:
        """Read one image: (height, width, 3) uint8 RGB."""
        archive, cells = self._open()
        try:
            pair, person, _, image = _numbers(path)
            array = archive[cells[pair - 1][person - 1, image - 1]][()]
        except (ValueError, KeyError, IndexError) as error:
            raise InputError(f"{self._file}: no image {path}; expected one of those in 'detected'") from error
        except OSError as error:
            raise InputError(f"{self._file}: {path} is damaged ({error})") from error
        if array.ndim != 3 or array.shape[0] != 3 or array.dtype != np.uint8:
            found = f"{array.dtype} {array.shape}"
            raise InputError(f"{self._file}: {path} is {found}; expected an image, uint8 (3, width, height)")
        return np.ascontiguousarray(array.T)

    def content(self, paths: Iterable[str]) -> str:
        """Return the digest of the paths and of the whole file's CRC-32; unpacked images have another one."""
        checksum = file_checksum(self._file)
        return digest_of_content((path, checksum) for path in paths)

    def _open(self) -> tuple[Any, list[Any]]:
        """Return the open file, and for each pair an array of references, (persons, 10)."""
        # a file handle must not be shared between forked processes
        if self._archive is None or self._process != os.getpid():
            try:
                h5py: Any = importlib.import_module("h5py")  # an optional extra
            except ImportError as error:
                extra = "install the extra: pip install 'crreid[cuhk03]'"
                raise InputError(f"{self._file}: reading this file needs h5py; {extra}") from error
            try:
                archive = h5py.File(self._file, "r")
                self._cells = [archive[reference][()].T for reference in archive["detected"][()].ravel()]
            except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
                expected = "a complete MATLAB 7.3 file with cells of images in 'detected'"
                raise InputError(f"{self._file}: expected {expected}") from error
            self._archive, self._process = archive, os.getpid()
        return self._archive, self._cells

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind."""
        return {**self.__dict__, "_archive": None, "_cells": []}
