"""Finding a data set's official layout in a folder or in a zip as downloaded, and reading labels from file names."""

from __future__ import annotations

import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from crreid.data.sources import FolderSource, ZipSource
from crreid.errors import InputError

__all__ = ["IMAGE_SUFFIXES", "FileSource", "count_notes", "find_path", "holds_folders", "open_layout", "parse_folder"]

FileSource = FolderSource | ZipSource

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

DEPTH = 2
"""How many folders deeper than the given one a data set is looked for: `root/dukemtmc-reid/DukeMTMC-reID/query`."""


def holds_folders(*folders: str) -> Callable[[set[str]], bool]:
    """A condition for `open_layout`: the place holds all of `folders`."""
    return lambda names: names.issuperset(folders)


def open_layout(root: Path, holds: Callable[[set[str]], bool], expected: str) -> FileSource:
    """Finds the place inside `root` whose entries satisfy `holds`; paths are relative to it.

    Args:
        root: A folder, or a zip. The place may lie up to two folders deeper.
        holds: Told the names of the files and folders of one place, says whether it is the data set's folder.
        expected: What the place should hold, for messages, e.g. `the folders cam_a and cam_b of VIPeR`.

    Raises:
        InputError: No such file or folder, not a complete zip, no such place in it, or several.
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
        raise InputError(
            f"{root}: expected {expected} once, but it holds {' and '.join(matches[:2])}; name one of them"
        )
    return FolderSource(root / matches[0]) if root.is_dir() else ZipSource(root, matches[0])


def _places_in_folder(root: Path) -> dict[str, set[str]]:
    """Names of the entries of `root` and of folders up to DEPTH deeper; keys end in a slash, "" is `root`."""
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
    """The file or folder called `name` in the folder `root` or up to two folders deeper; the shallowest one."""
    found = [place for place, names in _places_in_folder(root).items() if name in names]
    return root / min(found, key=lambda place: (place.count("/"), place)) / name if found else None


def parse_folder(
    source: FileSource, folder: str, pattern: re.Pattern[str], example: str
) -> list[tuple[str, re.Match[str]]]:
    """Matches the names of all images directly in one folder.

    Hidden files, files that are no images by their suffix (Thumbs.db) and sub-folders are left out.

    Args:
        source: Where to look.
        folder: Folder relative to the source, "" for the source itself.
        pattern: What the whole file name must match.
        example: A name that matches, for messages.

    Returns:
        Path and match of each image, sorted by path.

    Raises:
        InputError: The folder holds no image, or one whose name does not match.
    """
    start = f"{folder}/" if folder else ""
    records = []
    for path in source.names(folder):
        name = path.removeprefix(start)
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
    """One note for each role whose counts are not the official ones, as those of a subset are.

    Args:
        rows: Rows of an image table.
        official: Images and identities by role.
    """
    notes: Iterable[str | None] = (_count_note(rows[rows["role"] == role], role, *official[role]) for role in official)
    return tuple(note for note in notes if note is not None)


def _count_note(rows: pd.DataFrame, role: str, images: int, identities: int) -> str | None:
    found = len(rows), rows["identity"].nunique()
    if found == (images, identities):
        return None
    return (
        f"{role}: {found[0]:,} images of {found[1]:,} identities, "
        f"where the official data set has {images:,} of {identities:,}"
    )
