"""Market-1501 and DukeMTMC-reID: official layouts and names, as folder and as zip, on generated files."""

import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crreid.data.readers.boxes import MARKET_COUNTS, dukemtmc, market1501
from crreid.errors import InputError

FILES = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s1_000301_01.jpg",
    "bounding_box_train/0007_c3s3_077419_03.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/0001_c2s1_000301_00.jpg",
    "bounding_box_test/1488_c6s3_094992_01.jpg.jpg",  # the release has such names
    "bounding_box_test/0000_c4s6_022316_04.jpg",
    "bounding_box_test/-1_c5s6_022316_11.jpg",
)
DUKE = (
    "bounding_box_train/0001_c2_f0046182.jpg",
    "bounding_box_train/0001_c8_f0046302.jpg",
    "query/0005_c2_f0046985.jpg",
    "bounding_box_test/0005_c5_f0051341.jpg",
    "bounding_box_test/7139_c2_f0160815.jpg",  # of nobody in the query folder
)
NOISE = ("bounding_box_test/Thumbs.db", "query/._0001_c1s1_001051_00.jpg", "gt_bbox/9_odd.jpg", "readme.txt")


def jpeg(gray: int = 128) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 128), (gray, gray, gray)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_folder(folder: Path, names: tuple[str, ...] = FILES + NOISE) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(number) if name.endswith(".jpg") else b"-")
    return folder


def write_zip(file: Path, prefix: str = "Market-1501-v15.09.15/", names: tuple[str, ...] = FILES + NOISE) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(prefix + name, jpeg(number) if name.endswith(".jpg") else b"-")
            archive.writestr(f"__MACOSX/{prefix}{name}", b"resource fork")
    return file


def test_labels_and_roles(tmp_path: Path) -> None:
    table = market1501(write_folder(tmp_path))
    assert table.notes[0] == "train: 3 images of 2 identities, where the official data set has 12,936 of 751"
    assert len(table.notes) == len(MARKET_COUNTS)
    rows = table.rows.set_index("path")
    assert sorted(rows.index) == sorted(FILES)
    assert rows.loc[FILES[0]].tolist() == [2, 1, "train", 1.0]
    assert rows.loc[FILES[2]].tolist() == [7, 3, "train", 1.0]
    assert rows.loc[FILES[3]].tolist() == [1, 1, "query", 1.0]
    assert rows.loc[FILES[4]].tolist() == [1, 2, "gallery", 1.0]
    assert rows.loc[FILES[5]].tolist() == [1488, 6, "gallery", 1.0]
    assert rows.loc[FILES[6]].tolist() == [0, 4, "distractor", 1.0]
    assert rows.loc[FILES[7]].tolist() == [-1, 5, "junk", 1.0]


@pytest.mark.parametrize("prefix", ["", "Market-1501-v15.09.15/", "data/Market/"])
def test_zip_says_the_same_as_the_folder(tmp_path: Path, prefix: str) -> None:
    write_folder(tmp_path / "root" / prefix)
    (tmp_path / "root" / "something else").mkdir()
    folder = market1501(tmp_path / "root")
    zipped = market1501(write_zip(tmp_path / "market.zip", prefix))
    assert zipped.digest == folder.digest
    for path in FILES:
        np.testing.assert_array_equal(zipped.source.read(path), folder.source.read(path))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "expected the folders bounding_box_train"),
        (FILES[:4], "expected the folders .* bounding_box_test of Market-1501"),
        ([f"{copy}/{name}" for copy in "ab" for name in FILES], "once, but it holds a/ and b/"),
        ((*FILES[:3], "query/readme.txt", *FILES[4:]), "no images in query; expected names like 0002_c1s1"),
        ((*FILES, "query/0000_c1s1_000451_03.jpg"), "query/0000_c1s1_000451_03.jpg is a distractor box"),
        ((*FILES, "query/-1_c1s1_000451_03.jpg"), "query/-1_c1s1_000451_03.jpg is a junk box"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        market1501(write_folder(tmp_path, names))


@pytest.mark.parametrize(
    "name", ["0002_c7s1_000451_03.jpg", "0001_c2_f0046182.jpg", "person.jpg", "-2_c1s1_000451_03.jpg"]
)
def test_name_that_does_not_parse(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, (*FILES, f"bounding_box_test/{name}"))
    with pytest.raises(InputError, match=f"cannot read labels from bounding_box_test/{name}"):
        market1501(tmp_path)


@pytest.mark.parametrize("page", [False, True])
def test_truncated_zip(tmp_path: Path, page: bool) -> None:
    file = write_zip(tmp_path / "market.zip")
    file.write_bytes(b"<html>quota exceeded</html>" if page else file.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"market\.zip: not a complete zip file"):
        market1501(file)


@pytest.mark.skipif("CRREID_MARKET1501" not in os.environ, reason="CRREID_MARKET1501 names no copy of Market-1501")
def test_official_counts() -> None:
    start = time.process_time()
    table = market1501(Path(os.environ["CRREID_MARKET1501"]))
    assert time.process_time() - start < 4
    assert table.notes == ()
    summary = table.describe().set_index("role")
    assert {role: (row["images"], row["identities"]) for role, row in summary.iterrows()} == MARKET_COUNTS
    gallery = table.with_role("gallery").rows
    assert gallery["camera"].value_counts().sort_index().tolist() == [2114, 1740, 2822, 890, 2380, 3169]


def test_labels_and_roles_of_duke(tmp_path: Path) -> None:
    table = dukemtmc(write_folder(tmp_path / "data" / "DukeMTMC-reID", DUKE))
    rows = table.rows.set_index("path")
    assert rows.loc[DUKE[0]].tolist() == [1, 2, "train", 1.0]
    assert rows.loc[DUKE[1]].tolist() == [1, 8, "train", 1.0]
    assert rows.loc[DUKE[2]].tolist() == [5, 2, "query", 1.0]
    assert rows.loc[DUKE[3]].tolist() == [5, 5, "gallery", 1.0]
    assert rows.loc[DUKE[4]].tolist() == [7139, 2, "distractor", 1.0]
    assert table.notes[-1] == "gallery: 2 images of 2 identities, where the official data set has 17,661 of 1,110"
    assert len(table.notes) == 3
    assert dukemtmc(write_zip(tmp_path / "duke.zip", "DukeMTMC-reID/", DUKE)).digest == table.digest
