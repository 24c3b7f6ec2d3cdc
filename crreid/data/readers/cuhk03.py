"""CUHK03: 1,467 persons, five pairs of cameras, boxes drawn by hand (labeled) or by a detector (detected).

Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification", CVPR 2014 (classic protocol, 20
test sets of 100 persons); Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017
(new protocol, 767 persons to train, 700 to test). Two layouts are read: `cuhk-03.mat` as released, and its images
unpacked to `images_labeled` and `images_detected` as torchreid does, `1_001_1_01.png` = pair 1, person 1, view 1, image
1. The new protocol comes as `cuhk03_new_protocol_config_<kind>.mat`, published with the second paper (filelist, labels,
camId, train_idx, query_idx, gallery_idx; indices from 1).
"""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from crreid.data.readers.cuhk03_mat import IMAGE_NAME, Cuhk03Mat
from crreid.data.readers.layout import count_notes, find_path, parse_folder
from crreid.data.readers.splits import check_split, draw_test_identities
from crreid.data.sources import FolderSource, ImageSource
from crreid.data.table import COLUMNS, ImageTable
from crreid.errors import InputError

__all__ = ["SPLITS", "Kind", "Protocol", "cuhk03"]

Kind = Literal["labeled", "detected"]
Protocol = Literal["classic", "new"]

SPLITS = 20
TEST_PERSONS = 100
PERSONS = 1_467
OFFICIAL_NEW = {
    "labeled": {"train": (7_368, 767), "query": (1_400, 700), "gallery": (5_328, 700)},
    "detected": {"train": (7_365, 767), "query": (1_400, 700), "gallery": (5_332, 700)},
}
"""Images and identities by role."""


def cuhk03(root: Path, *, split: int = 0, kind: Kind = "detected", protocol: Protocol = "classic") -> ImageTable:
    """Reads CUHK03 without decoding an image.

    Args:
        root: The folder that holds `cuhk-03.mat` or `images_<kind>`, a parent of it, or the file `cuhk-03.mat`.
            Unpacked images are preferred. The test sets come from `cuhk-03.mat`, else from torchreid's
            `splits_classic_<kind>.json`, else they are drawn with the seeds 0 to 19, which the notes then say.
        split: Which of the 20 splits of the classic protocol; 0 for the new one.
        kind: Boxes drawn by hand (`labeled`) or by a detector (`detected`).
        protocol: `classic`: of 100 test persons the first view is query, the second gallery. `new`: as its file says.

    Returns:
        Cameras 1 to 10: view v of pair p is camera 2 (p - 1) + v. Identities are 1000 x pair + person in the
        classic protocol and the file's labels in the new one. Rate 1.

    Raises:
        InputError: An unknown kind, protocol or split, nothing there, a damaged file, a name that is not of the form,
            or h5py missing.
    """
    for value, known in ((kind, get_args(Kind)), (protocol, get_args(Protocol))):
        if value not in known:
            raise InputError(f"cuhk03: there is no {value!r}; expected {' or '.join(known)}")
    check_split(f"cuhk03 ({protocol})", split, SPLITS if protocol == "classic" else 1)
    root = Path(root)
    folder = root.parent if root.is_file() and root.suffix == ".mat" else root
    if not folder.is_dir():
        raise InputError(f"{root}: no such folder; expected cuhk-03.mat or images_{kind} there (unpack a zip first)")
    source, images = _images(folder, kind)
    if protocol == "classic":
        rows, notes = _classic(folder, kind, split, images)
    else:
        rows, notes = _new(folder, kind, images)
    name = "cuhk03" if protocol == "classic" else "cuhk03-new"
    return ImageTable(name=name, rows=rows, source=source, notes=(f"{kind} boxes", *notes))


def _images(folder: Path, kind: Kind) -> tuple[ImageSource, pd.DataFrame]:
    """All images of one kind with pair, person, view and camera, and their source."""
    unpacked, mat = find_path(folder, f"images_{kind}"), find_path(folder, "cuhk-03.mat")
    source: ImageSource
    matches: list[tuple[str, re.Match[str]]]
    if unpacked is not None:
        source = FolderSource(unpacked.parent)
        matches = parse_folder(source, unpacked.name, IMAGE_NAME, "1_001_1_01.png")
    elif mat is not None:
        source = Cuhk03Mat(mat, kind)
        named = ((path, IMAGE_NAME.fullmatch(path.rpartition("/")[2])) for path in source.names())
        matches = [(path, match) for path, match in named if match is not None]
        if not matches:
            raise InputError(f"{mat}: no images in {kind!r}; expected five cells of persons x 10 images")
    else:
        raise InputError(
            f"{folder}: expected cuhk-03.mat or the folder images_{kind}, there or up to two folders deeper"
        )
    records = [(path, int(match[1]), int(match[2]), int(match[3])) for path, match in matches]
    images = pd.DataFrame(records, columns=["path", "pair", "person", "view"])
    camera = 2 * (images["pair"] - 1) + images["view"]
    return source, images.assign(camera=camera, identity=1000 * images["pair"] + images["person"], rate=1.0)


def _classic(folder: Path, kind: Kind, split: int, images: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Rows of the classic protocol, and notes."""
    views = images.groupby("identity")["view"].nunique()
    complete = [int(identity) for identity in views.index[views == 2]]
    test, note = _test_identities(folder, kind, split, complete)
    tested = images["identity"].isin(test)
    if not tested.any():
        raise InputError(f"{folder}: none of the {len(test)} test persons of split {split} has images in images_{kind}")
    role = images["view"].map({1: "query", 2: "gallery"}).where(tested, "train")
    rows = images.assign(role=role)
    # some persons were seen by one camera only: such a query could find nothing
    hopeless = (rows["role"] == "query") & ~rows["identity"].isin(complete)
    rows = rows[~hopeless]
    notes = [note]
    if hopeless.any():
        notes.append(f"{int(hopeless.sum())} images of test persons whom the second camera did not see are left out")
    if len(views) != PERSONS or len(test) != TEST_PERSONS:
        notes.append(
            f"{len(views):,} persons, {len(test)} of them to test, "
            f"where the official data set has {PERSONS:,} and {TEST_PERSONS}"
        )
    return rows[list(COLUMNS)], notes


def _test_identities(folder: Path, kind: Kind, split: int, complete: list[int]) -> tuple[frozenset[int], str]:
    """The test persons of one split, and where they come from."""
    mat, listed = find_path(folder, "cuhk-03.mat"), find_path(folder, f"splits_classic_{kind}.json")
    if mat is not None:
        sets = Cuhk03Mat(mat, kind).test_sets()
    elif listed is not None:
        sets = _listed_test_sets(listed)
    else:
        test = draw_test_identities(complete, min(TEST_PERSONS, len(complete) // 2), split)
        return test, f"split {split}: {len(test)} random test persons, drawn with the seed {split}, not official ones"
    file = mat or listed
    if split >= len(sets):
        raise InputError(f"{file}: holds {len(sets)} test sets; expected {SPLITS}, and number {split} is asked for")
    test = frozenset(1000 * pair + person for pair, person in sets[split])
    return test, f"split {split} of the {len(sets)} official test sets"


def _listed_test_sets(file: Path) -> list[frozenset[tuple[int, int]]]:
    """(pair, person) of the test persons of each split in torchreid's list of splits."""
    try:
        splits = json.loads(file.read_text(encoding="utf-8"))
        names = [[re.split(r"[/\\]", item[0])[-1] for item in split["query"]] for split in splits]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{file}: expected a list of splits, each with 'query': [[path, identity, camera]]") from error
    sets = []
    for split in names:
        matches = [IMAGE_NAME.fullmatch(name) for name in split]
        if None in matches:
            raise InputError(f"{file}: cannot read {split[matches.index(None)]}; expected a name like 1_001_1_01.png")
        sets.append(frozenset((int(match[1]), int(match[2])) for match in matches if match is not None))
    return sets


def _new(folder: Path, kind: Kind, images: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Rows of the new protocol, and notes."""
    name = f"cuhk03_new_protocol_config_{kind}.mat"
    beside = folder.resolve().parent / name  # when root is the folder of cuhk-03.mat, as torchreid lays it out
    file = find_path(folder, name) or beside
    if not file.is_file():
        raise InputError(f"{folder}: the new protocol needs {name} there, up to two folders deeper, or one up")
    fields = _load_fields(file)
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
            raise InputError(f"{folder}: {missing[0]} of {file.name} is missing; expected it in images_{kind}")
        part = by_name.loc[chosen, ["path", "camera", "rate"]]
        parts.append(part.assign(role=role, identity=labels[index].astype(int)))
    rows = pd.concat(parts, ignore_index=True)[list(COLUMNS)]
    return rows, list(count_notes(rows, OFFICIAL_NEW[kind]))


def _load_fields(file: Path) -> dict[str, np.ndarray]:
    """The fields of the new protocol's file, each flat."""
    scipy_io: Any = importlib.import_module("scipy.io")  # slow to import, and needed here only
    try:
        content = scipy_io.loadmat(file)
    except Exception as error:  # scipy raises many types on files that are not MATLAB's
        raise InputError(f"{file}: not a readable MATLAB file ({error})") from error
    fields = {}
    for field in ("filelist", "labels", "train_idx", "query_idx", "gallery_idx"):
        if field not in content:
            raise InputError(f"{file}: lacks the field {field!r}; expected the new protocol of CUHK03")
        fields[field] = np.ravel(content[field])
    fields["filelist"] = np.array([str(np.ravel(cell)[0]) for cell in fields["filelist"]], dtype=object)
    return fields
