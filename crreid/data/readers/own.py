"""A user's own images: listed in a CSV file, or in folders by identity."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from crreid.data.readers.layout import IMAGE_SUFFIXES
from crreid.data.sources import FolderSource
from crreid.data.table import COLUMNS, ROLES, ImageTable
from crreid.errors import InputError

REQUIRED = ("path", "identity", "camera", "role")
CAMERA = re.compile(r"_c(\d+)")
FOLDERS = ("train", "query", "gallery")


def own(root: Path) -> ImageTable:
    """Read a CSV file, or folders by identity."""
    return own_folders(root) if root.is_dir() else own_csv(root)


def own_csv(file: Path) -> ImageTable:
    """Read a CSV file (UTF-8, commas) of one's own images without decoding one.

    The first line names the columns, in any order: `path` (relative to the CSV file's folder, or absolute), `identity`
    (any number or text), `camera` (a whole number), `role` (train, query, gallery, distractor or junk), and if wanted
    `rate` (at least 1; 1, the default, leaves the image as it is). Other columns are ignored. Identities that are all
    whole numbers are kept, others are numbered from 1 in sorted order.

    Raises:
        InputError: The file or an image is missing, or names the column or line that cannot be used.
    """
    root, records = file.parent, _read_lines(file)
    identities, notes = _numbers([record["identity"] for record in records.values()])
    rows = []
    seen: dict[tuple[str, str], int] = {}
    for (line, record), identity in zip(records.items(), identities, strict=True):
        place = f"{file}, line {line}"
        path, role = record["path"].replace("\\", "/"), record["role"]
        if role not in ROLES:
            raise InputError(f"{place}: role is {role!r}; expected one of {', '.join(ROLES)}")
        if not re.fullmatch(r"\d+", record["camera"]):
            raise InputError(f"{place}: camera is {record['camera']!r}; expected a whole number")
        first = seen.setdefault((path, role), line)
        if first != line:
            raise InputError(f"{place}: {path} is listed as {role} in line {first} already; expected it once")
        if not path or not (root / path).is_file():
            raise InputError(f"{place}: there is no image {path!r} in {root}")
        rows.append((path, identity, int(record["camera"]), role, _rate(record.get("rate"), place)))
    return _own_table(pd.DataFrame(rows, columns=list(COLUMNS)), root, notes)


def own_folders(root: Path) -> ImageTable:
    """Read one's own images from `train/<identity>/…`, `query/<identity>/…` and `gallery/<identity>/…`.

    Hidden files and files that are no images by their suffix are left out. Either `train`, or `query` and `gallery`,
    may be missing. The camera is the number after `_c` in the file's name (`0002_c1s1_000451.jpg`: 1) if all files have
    one; otherwise camera 1 for queries and 2 for the rest, and a note says so. Identities are as in a CSV file.

    Raises:
        InputError: A folder is missing or without images, or an image lies outside a folder named after its identity.
    """
    folders = [folder for folder in FOLDERS if (root / folder).is_dir()]
    if not folders or ("query" in folders) != ("gallery" in folders):
        missing = next(folder for folder in ("query", "gallery", "train") if folder not in folders)
        raise InputError(f"{root}: there is no folder {missing!r}; expected train, query and gallery, or a CSV file")
    paths: list[str] = []
    ignored: list[str] = []
    for folder in folders:
        found = [path for path in FolderSource(root).names(folder) if not PurePosixPath(path).name.startswith(".")]
        images = [path for path in found if path.lower().endswith(IMAGE_SUFFIXES)]
        if not images:
            raise InputError(f"{root / folder}: no images; expected {folder}/<identity>/<name>.jpg")
        paths += images
        ignored += sorted(set(found) - set(images))
    parts = [path.split("/") for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if len(part) < 3:
            raise InputError(f"{root / path}: lies in no identity's folder; expected {part[0]}/<identity>/{part[1]}")
    identities, notes = _numbers([part[1] for part in parts])
    cameras, camera_notes = _cameras(paths)
    if ignored:
        camera_notes.append(f"{len(ignored)} files that are no images are left out, the first is {ignored[0]}")
    roles = [part[0] for part in parts]
    columns = {"path": paths, "identity": identities, "camera": cameras, "role": roles, "rate": 1.0}
    return _own_table(pd.DataFrame(columns), root, notes + camera_notes)


def _own_table(rows: pd.DataFrame, root: Path, notes: list[str]) -> ImageTable:
    """Return the table, with a note if persons of the training set are searched for as well."""
    shared = set(rows.loc[rows["role"] == "train", "identity"]) & set(rows.loc[rows["role"] == "query", "identity"])
    if shared:
        notes = [*notes, f"{len(shared)} identities are both trained on and searched for, which flatters the results"]
    return ImageTable(name="own", rows=rows, source=FolderSource(root), notes=tuple(notes))


def _read_lines(file: Path) -> dict[int, dict[str, str]]:
    """Return the fields of each line of a CSV file that is not blank, by its number."""
    lines: dict[int, dict[str, str]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = [column.strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            missing = [column for column in REQUIRED if column not in columns]
            if missing:
                raise InputError(
                    f"{file}, line 1: lacks the column {missing[0]!r}; "
                    f"expected {', '.join(REQUIRED)} and if wanted rate, separated by commas"
                )
            for record in reader:
                place = f"{file}, line {reader.line_num}"
                if None in record or None in record.values():
                    raise InputError(f"{place}: expected {len(columns)} fields as in line 1")
                fields = lines[reader.line_num] = {column: value.strip() for column, value in record.items()}
                if not fields["identity"]:
                    raise InputError(f"{place}: identity is empty; expected a number or text")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); expected a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: not a CSV file in UTF-8 ({error})") from error
    if not lines:
        raise InputError(f"{file}: lists no images; expected one per line after the columns' names")
    return lines


def _numbers(names: Sequence[str]) -> tuple[list[int], list[str]]:
    """Number identities: kept if all are whole numbers, else counted from 1 in sorted order, with a note."""
    if all(re.fullmatch(r"-?\d{1,18}", name, re.ASCII) for name in names):
        return [int(name) for name in names], []
    ordered = sorted(set(names))
    number = {name: index for index, name in enumerate(ordered, start=1)}
    note = f"identities are numbered 1 ({ordered[0]}) to {len(ordered)} ({ordered[-1]}) in sorted order"
    return [number[name] for name in names], [note]


def _rate(text: str | None, place: str) -> float:
    """Read a rate; 1 if the column is missing or the field empty."""
    if not text:
        return 1.0
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 1 <= rate < float("inf"):
        raise InputError(f"{place}: rate is {text!r}; expected a number of at least 1 (1 = high resolution)")
    return rate


def _cameras(paths: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return cameras from the files' names if all have one, else from their roles, with a note."""
    matches = [CAMERA.search(PurePosixPath(path).stem) for path in paths]
    without = [path for path, match in zip(paths, matches, strict=True) if match is None]
    if not without:
        return [int(match[1]) for match in matches if match is not None], []
    note = (
        f"cameras are unknown ({len(without)} names without _c and a number, the first is {without[0]}): "
        "1 stands for query, 2 for gallery and train"
    )
    return [1 if path.startswith("query/") else 2 for path in paths], [note]
