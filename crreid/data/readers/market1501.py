"""Market-1501: 1,501 persons, six cameras.

Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. Layout and names after the readme of the
release v15.09.15: `0002_c1s1_000451_03.jpg` is identity 2, camera 1, sequence 1, frame 451, box 3. In the test folder
identity 0000 marks distractors and -1 boxes to ignore. A few names of the release end in `.jpg.jpg`.

Its authors allow research only and no redistribution: images of it must not be published.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from crreid.data.readers.layout import count_notes, holds_folders, open_layout, parse_folder
from crreid.data.table import COLUMNS, ImageTable
from crreid.errors import InputError

__all__ = ["market1501"]

NAME = re.compile(r"(-1|\d{4})_c([1-6])s\d_\d{6}_\d{2}(?:\.(?:jpg|jpeg|png))+", re.IGNORECASE)
EXAMPLE = "0002_c1s1_000451_03.jpg"

FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
TEST_ROLES = {-1: "junk", 0: "distractor"}

OFFICIAL = {
    "train": (12_936, 751),
    "query": (3_368, 750),
    "gallery": (13_115, 750),
    "distractor": (2_798, 1),
    "junk": (3_819, 1),
}
"""Images and identities by role."""


def market1501(root: Path) -> ImageTable:
    """Reads Market-1501 without decoding an image.

    Args:
        root: The folder that holds `bounding_box_train`, `query` and `bounding_box_test`, a parent of it, or the zip
            as downloaded, which is read without unpacking. Other folders (`gt_bbox`, `gt_query`) are not looked at.

    Returns:
        Roles train, query, gallery, distractor (0000) and junk (-1); rate 1. Counts that differ from the official ones
        are told in the notes.

    Raises:
        InputError: Nothing there, folders missing or without images, a damaged zip, or a name that is not of the form.
    """
    expected = "the folders bounding_box_train, query and bounding_box_test of Market-1501"
    source = open_layout(root, holds_folders(*FOLDERS), expected)
    records = []
    for folder, folder_role in FOLDERS.items():
        for path, match in parse_folder(source, folder, NAME, EXAMPLE):
            identity = int(match[1])
            role = TEST_ROLES.get(identity, folder_role)
            if role != folder_role and folder_role != "gallery":
                raise InputError(
                    f"{source.location}: {path} is a {role} box; expected those in bounding_box_test, not in {folder}"
                )
            records.append((path, identity, int(match[2]), role, 1.0))
    rows = pd.DataFrame(records, columns=list(COLUMNS))
    return ImageTable(name="market-1501", rows=rows, source=source, notes=count_notes(rows, OFFICIAL))
