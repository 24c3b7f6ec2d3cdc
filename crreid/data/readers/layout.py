"""Finding a data set's official layout in a folder or in a zip as downloaded, and reading labels from file names."""

from __future__ import annotations

import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from crreid.data.sources import FolderSource, ZipSource
from crreid.errors import InputError

FileSource = FolderSource | ZipSource

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

DEPTH = 2  # how many folders deeper a data set is looked for: `root/dukemtmc-reid/DukeMTMC-reID/query`


def open_layout(root: Path, holds: Callable[[set[str]], bool], expected: str) -> FileSource:
    """Find the place in a folder or zip, or up to DEPTH folders deeper, the names of whose entries satisfy `holds`.

    `expected` says for messages what it holds, e.g. `the folders cam_a and cam_b of VIPeR`; paths are relative to it.
    """
    root = Path(root)
    if root.is_dir():
        places = _places_in_folder(root)
    elif root.is_file():
        places = _places_in_zip(root)
    else:
        raise InputError(f"{root}: no such folder or zip; expected {expected} there")
    matches = [place for place, names in places.items() if holds(names)]
    if not matches:
        raise InputError(f"{root}: expected {expected}, there or up to {DEPTH} folders deeper")
    # the resource forks that macOS adds (`__MACOSX/...`) mirror the data set one folder deeper
    shallowest = min(place.count("/") for place in matches)
    matches = sorted(place for place in matches if place.count("/") == shallowest)
    if len(matches) > 1:
        both = " and ".join(matches[:2])
        raise InputError(f"{root}: expected {expected} once, but it holds {both}; name one of them")
    return FolderSource(root / matches[0]) if root.is_dir() else ZipSource(root, matches[0])


def open_folders(root: Path, folders: Iterable[str], name: str) -> FileSource:
    """Find the place inside `root` that holds all `folders` of the data set called `name`, see `open_layout`."""
    *others, last = folders
    return open_layout(root, {*others, last}.issubset, f"the folders {', '.join(others)} and {last} of {name}")


def _places_in_folder(root: Path) -> dict[str, set[str]]:
    """Return the names in `root` and in folders up to DEPTH deeper; keys end in a slash, but "" is `root`."""
    places: dict[str, set[str]] = {}
    waiting = [""]
    while waiting:
        place = waiting.pop()
        try:
            entries = list(os.scandir(root / place))
        except OSError as error:
            if not place:
                raise InputError(f"{root}: cannot be read ({error.strerror})") from error
            continue  # somebody else's folder beside the data set
        places[place] = {entry.name for entry in entries}
        if place.count("/") < DEPTH:
            folders = (entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
            waiting += [f"{place}{name}/" for name in folders]
    return places


def _places_in_zip(file: Path) -> dict[str, set[str]]:
    if not zipfile.is_zipfile(file):
        raise InputError(f"{file}: not a complete zip file; expected a folder or the zip as downloaded")
    places: dict[str, set[str]] = defaultdict(set)
    for name in ZipSource(file).names():
        parts = name.split("/")
        for depth in range(min(DEPTH + 1, len(parts))):
            places["".join(f"{part}/" for part in parts[:depth])].add(parts[depth])
    return places


def find_path(root: Path, name: str) -> Path | None:
    """Return the file or folder called `name` in `root` or up to two folders deeper; the shallowest one."""
    found = [place for place, names in _places_in_folder(root).items() if name in names]
    return root / min(found, key=lambda place: (place.count("/"), place)) / name if found else None


def parse_folder(
    source: FileSource, folder: str, pattern: re.Pattern[str], example: str
) -> list[tuple[str, re.Match[str]]]:
    """Match the names of all images directly in one folder of a source ("" for itself); paths and matches, sorted.

    Hidden files, files that are no images by their suffix (Thumbs.db) and sub-folders are left out.
    """
    records = []
    for path in source.names(folder):
        name = path.removeprefix(f"{folder}/")
        if "/" in name or name.startswith(".") or not name.lower().endswith(IMAGE_SUFFIXES):
            continue
        match = pattern.fullmatch(name)
        if match is None:
            raise InputError(f"{source.location}: cannot read labels from {path}; expected a name like {example}")
        records.append((path, match))
    if not records:
        raise InputError(f"{source.location}: no images in {folder or 'it'}; expected names like {example}")
    return records


def count_notes(rows: pd.DataFrame, official: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """Return one note per role whose (images, identities) are not the official ones, as those of a subset are."""
    notes = []
    for role, (images, identities) in official.items():
        here = rows[rows["role"] == role]
        if (len(here), here["identity"].nunique()) != (images, identities):
            notes.append(
                f"{role}: {len(here):,} images of {here['identity'].nunique():,} identities, "
                f"where the official data set has {images:,} of {identities:,}"
            )
    return tuple(notes)


def draw_test_identities(identities: Iterable[int], count: int, split: int) -> frozenset[int]:
    """Draw `count` test identities, in whatever order they are given; the split's number is the seed."""
    order = np.random.default_rng(split).permutation(sorted(set(identities)))
    return frozenset(int(identity) for identity in order[:count])
