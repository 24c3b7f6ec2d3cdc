"""VIPeR: 632 persons, one image from each of two cameras.

Gray, Brennan, Tao, "Evaluating Appearance Models for Recognition, Reacquisition, and Tracking", PETS workshop 2007.
Layout of the release 1.0: folders `cam_a` and `cam_b`; `000_45.bmp` is person 0, seen from 45 degrees. The data set
comes without splits; the field draws ten times 316 persons to train and 316 to test. No common ten exist, so ours are
drawn with the seeds 0 to 9.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from crreid.data.readers.layout import FileSource, draw_test_identities, open_folders, parse_folder
from crreid.data.table import COLUMNS, ImageTable
from crreid.errors import InputError

NAME = re.compile(r"(\d{3})_(\d{1,3})\.(?:bmp|jpg|jpeg|png)", re.IGNORECASE)
EXAMPLE = "000_45.bmp"

FOLDERS = ("cam_a", "cam_b")
SPLITS = 10
PERSONS = 632


def viper(root: Path, *, split: int = 0) -> ImageTable:
    """Read VIPeR without decoding an image.

    Args:
        root: The folder that holds `cam_a` and `cam_b`, a parent of it, or the zip as downloaded.
        split: Which of the ten splits, 0 to 9.

    Returns:
        Half of the persons with the role train; of the others cam_a (camera 1) is query and cam_b (camera 2) gallery.
        Rate 1.

    Raises:
        InputError: Nothing there, folders missing or without images, a damaged zip, a name that is not
            of the form, or a person without exactly one image from each camera.
    """
    source = open_folders(root, FOLDERS, "VIPeR")
    views = [_read_camera(source, folder) for folder in FOLDERS]
    for own, other, folder in ((views[0], views[1], FOLDERS[1]), (views[1], views[0], FOLDERS[0])):
        alone = sorted(own.keys() - other.keys())
        if alone:
            raise InputError(
                f"{source.location}: {own[alone[0]]} has no partner; expected {alone[0]:03d}_*.bmp in {folder}"
            )
    test = draw_test_identities(views[0], len(views[0]) - len(views[0]) // 2, split)
    records = [
        (path, person, camera, role if person in test else "train", 1.0)
        for camera, (view, role) in enumerate(zip(views, ("query", "gallery"), strict=True), start=1)
        for person, path in view.items()
    ]
    notes = [f"split {split} of {SPLITS} random halves, drawn with the seed {split}"]
    if len(views[0]) != PERSONS:
        notes.append(f"{len(views[0]):,} persons, where the official data set has {PERSONS:,}")
    rows = pd.DataFrame(records, columns=list(COLUMNS))
    return ImageTable(name="viper", rows=rows, source=source, notes=tuple(notes))


def _read_camera(source: FileSource, folder: str) -> dict[int, str]:
    """Return the path of each person's one image from one camera."""
    paths: dict[int, str] = {}
    for path, match in parse_folder(source, folder, NAME, EXAMPLE):
        person = int(match[1])
        if person in paths:
            raise InputError(f"{source.location}: {paths[person]} and {path} show one person; expected one image each")
        paths[person] = path
    return paths
