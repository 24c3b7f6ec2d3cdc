"""CAVIAR4REID: 72 persons, two cameras of a shopping centre, one of them with truly low resolution.

Cheng et al., "Custom Pictorial Structures for Re-identification", BMVC 2011. One flat folder; `0001001.jpg` is person
1, image 1: four digits and three. Images 1 to 10 of a person come from one camera, 11 to 20 from the other: so the
field's public code reads the names. 50 persons were seen by both cameras; the other 22 have ten images and are left
out. Which camera is the low resolution one is measured, not assumed. The data set comes without splits; the field draws
ten times 25 persons to train and 25 to test. No common ten exist, so ours are drawn with the seeds 0 to 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from crreid.data.readers.layout import FileSource, draw_test_identities, open_layout, parse_folder
from crreid.data.table import COLUMNS, ImageTable
from crreid.errors import InputError

NAME = re.compile(r"(\d{4})(0(?:0[1-9]|1\d|20))\.(?:jpg|jpeg|png|bmp)", re.IGNORECASE)
EXAMPLE = "0001001.jpg (person 1, image 1 of at most 20)"

SPLITS = 10
IMAGES_PER_CAMERA = 10
OFFICIAL = (50, 1_000, 22)
"""Persons, their images, and persons left out."""


def caviar(root: Path, *, split: int = 0) -> ImageTable:
    """Read CAVIAR4REID; only the images' headers are looked at, for their sizes.

    Args:
        root: The folder that holds the images, a parent of it, or the zip as downloaded.
        split: Which of the ten splits, 0 to 9.

    Returns:
        Half of the persons with the role train; of the others, images of the low resolution camera are query and those
        of the other gallery. Camera 1 took images 1 to 10, camera 2 images 11 to 20. Rate 1 everywhere: the
        images are of low resolution as they are. Sizes differ from image to image and are kept.

    Raises:
        InputError: Nothing there, no images, a damaged zip or image, a name that is not of the form, no
            two persons seen by both cameras, or images of both cameras equally large.
    """
    expected = f"the images of CAVIAR4REID, named like {EXAMPLE}"
    source = open_layout(root, lambda names: any(NAME.fullmatch(name) for name in names), expected)
    records = [
        (path, int(match[1]), 1 if int(match[2]) <= IMAGES_PER_CAMERA else 2)
        for path, match in parse_folder(source, "", NAME, EXAMPLE)
    ]
    images = pd.DataFrame(records, columns=["path", "identity", "camera"])
    cameras = images.groupby("identity")["camera"].nunique()
    usable = [int(identity) for identity in cameras.index[cameras == 2]]
    if len(usable) < 2:
        raise InputError(f"{source.location}: {len(usable)} persons have images 1-10 and 11-20; expected at least two")
    images = images[images["identity"].isin(usable)].reset_index(drop=True)
    low, note = _low_resolution_camera(source, images)
    test = draw_test_identities(usable, len(usable) - len(usable) // 2, split)
    role = images["camera"].map({low: "query", 3 - low: "gallery"}).where(images["identity"].isin(test), "train")
    rows = images.assign(role=role, rate=1.0)[list(COLUMNS)]
    notes = (*_notes(split, rows, len(cameras) - len(usable)), note)
    return ImageTable(name="caviar", rows=rows, source=source, notes=notes)


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


def _notes(split: int, rows: pd.DataFrame, dropped: int) -> Iterable[str]:
    yield f"split {split} of {SPLITS} random halves, drawn with the seed {split}"
    yield f"{dropped} persons seen by one camera only are left out"
    found = rows["identity"].nunique(), len(rows), dropped
    if found != OFFICIAL:
        yield (
            f"{found[0]} persons with {found[1]:,} images, {dropped} left out, "
            f"where the official data set has {OFFICIAL[0]} with {OFFICIAL[1]:,}, {OFFICIAL[2]} left out"
        )
