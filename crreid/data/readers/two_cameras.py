"""VIPeR and CAVIAR4REID: two cameras each, and no published splits.

The field draws ten times half of the persons to test. No common ten exist, so ours are drawn with the seeds 0 to 9.

VIPeR: 632 persons, one image from each camera. Gray, Brennan, Tao, "Evaluating Appearance Models for Recognition,
Reacquisition, and Tracking", PETS workshop 2007. Layout of the release 1.0: folders `cam_a` and `cam_b`; `000_45.bmp`
is person 0, seen from 45 degrees.

CAVIAR4REID: 72 persons in a shopping centre, one camera with truly low resolution. Cheng et al., "Custom Pictorial
Structures for Re-identification", BMVC 2011. One flat folder; `0001001.jpg` is person 1, image 1: four digits and
three. Images 1 to 10 of a person come from one camera, 11 to 20 from the other: so the field's public code reads the
names. 50 persons were seen by both cameras; the other 22 have ten images and are left out. Which camera is the low
resolution one is measured, not assumed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from crreid.data.readers.layout import FileSource, draw_test_identities, open_folders, open_layout, parse_folder
from crreid.data.table import COLUMNS, ImageTable
from crreid.errors import InputError

SPLITS = 10
SPLIT_NOTE = f"split {{split}} of {SPLITS} random halves, drawn with the seed {{split}}"

VIPER_NAME = re.compile(r"(\d{3})_(\d{1,3})\.(?:bmp|jpg|jpeg|png)", re.IGNORECASE)
VIPER_FOLDERS = ("cam_a", "cam_b")
VIPER_PERSONS = 632

CAVIAR_NAME = re.compile(r"(\d{4})(0(?:0[1-9]|1\d|20))\.(?:jpg|jpeg|png|bmp)", re.IGNORECASE)
CAVIAR_EXAMPLE = "0001001.jpg (person 1, image 1 of at most 20)"
CAVIAR_COUNTS = (50, 1_000, 22)  # persons, their images, and persons left out


def viper(root: Path, *, split: int = 0) -> ImageTable:
    """Read one of the ten splits of VIPeR without decoding an image.

    `root` is the folder that holds `cam_a` and `cam_b`, a parent of it, or the zip as downloaded. Half of the persons
    have the role train; of the others cam_a (camera 1) is query and cam_b (camera 2) gallery.
    """
    source = open_folders(root, VIPER_FOLDERS, "VIPeR")
    first, second = views = [_one_image_each(source, folder) for folder in VIPER_FOLDERS]
    for own, other, folder in ((first, second, VIPER_FOLDERS[1]), (second, first, VIPER_FOLDERS[0])):
        if alone := sorted(own.keys() - other.keys()):
            missing = f"{alone[0]:03d}_*.bmp in {folder}"
            raise InputError(f"{source.location}: {own[alone[0]]} has no partner; expected {missing}")
    test = draw_test_identities(first, len(first) - len(first) // 2, split)
    records = [
        (path, person, camera, role if person in test else "train", 1.0)
        for camera, (view, role) in enumerate(zip(views, ("query", "gallery"), strict=True), start=1)
        for person, path in view.items()
    ]
    notes = [SPLIT_NOTE.format(split=split)]
    if len(first) != VIPER_PERSONS:
        notes.append(f"{len(first):,} persons, where the official data set has {VIPER_PERSONS:,}")
    rows = pd.DataFrame(records, columns=list(COLUMNS))
    return ImageTable(name="viper", rows=rows, source=source, notes=tuple(notes))


def _one_image_each(source: FileSource, folder: str) -> dict[int, str]:
    """Return the path of each person's image from one camera."""
    paths: dict[int, str] = {}
    for path, match in parse_folder(source, folder, VIPER_NAME, "000_45.bmp"):
        other = paths.setdefault(int(match[1]), path)
        if other != path:
            raise InputError(f"{source.location}: {other} and {path} show one person; expected one image each")
    return paths


def caviar(root: Path, *, split: int = 0) -> ImageTable:
    """Read one of the ten splits of CAVIAR4REID; only the images' headers are looked at, for their sizes.

    `root` is the folder that holds the images, a parent of it, or the zip as downloaded. Half of the persons have the
    role train; of the others, images of the low resolution camera are query and those of the other gallery. Camera 1
    took images 1 to 10, camera 2 images 11 to 20. Rate 1 everywhere: the images are of low resolution as they are.
    """
    expected = f"the images of CAVIAR4REID, named like {CAVIAR_EXAMPLE}"
    source = open_layout(root, lambda names: any(CAVIAR_NAME.fullmatch(name) for name in names), expected)
    found = parse_folder(source, "", CAVIAR_NAME, CAVIAR_EXAMPLE)
    records = [(path, int(match[1]), 1 if int(match[2]) <= 10 else 2) for path, match in found]
    images = pd.DataFrame(records, columns=["path", "identity", "camera"])
    cameras = images.groupby("identity")["camera"].nunique()
    usable = [int(identity) for identity in cameras.index[cameras == 2]]
    if len(usable) < 2:
        raise InputError(f"{source.location}: {len(usable)} persons have images 1-10 and 11-20; expected at least two")
    images = images[images["identity"].isin(usable)].reset_index(drop=True)
    low, low_note = _low_resolution_camera(source, images)
    test = draw_test_identities(usable, len(usable) - len(usable) // 2, split)
    role = images["camera"].map({low: "query", 3 - low: "gallery"}).where(images["identity"].isin(test), "train")
    dropped = len(cameras) - len(usable)
    notes = [SPLIT_NOTE.format(split=split), f"{dropped} persons seen by one camera only are left out"]
    if (len(usable), len(images), dropped) != CAVIAR_COUNTS:
        persons, official, left_out = CAVIAR_COUNTS
        notes.append(
            f"{len(usable)} persons with {len(images):,} images, {dropped} left out, "
            f"where the official data set has {persons} with {official:,}, {left_out} left out"
        )
    rows = images.assign(role=role, rate=1.0)
    return ImageTable(name="caviar", rows=rows, source=source, notes=(*notes, low_note))


def _low_resolution_camera(source: FileSource, images: pd.DataFrame) -> tuple[int, str]:
    """Return the camera whose images have the smaller median area, and the sentence that says so."""
    areas = pd.Series([height * width for height, width in map(source.size, images["path"])])
    medians = areas.groupby(images["camera"]).median()
    if medians[1] == medians[2]:
        raise InputError(
            f"{source.location}: images 1-10 and 11-20 have the same median area, {medians[1]:g} pixels; "
            "expected the native images, smaller in one camera (were they resized?)"
        )
    low = 1 if medians[1] < medians[2] else 2
    return low, (
        f"camera {low} is the low resolution one: median area of its images {medians[low]:g} pixels, "
        f"of camera {3 - low}'s {medians[3 - low]:g}"
    )
