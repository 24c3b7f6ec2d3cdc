"""A user's own images: CSV file and folders, and what is said about mistakes in them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crreid.data.readers.own import _numbers, own_csv, own_folders
from crreid.errors import InputError

CSV = """path,identity,camera,role
a/1.jpg,zoe,1,train
a/2.jpg,zoe,2,train
b/1.png,adam,1,query
b/2.png,adam,2,gallery
"""


CSV_OF_RATE = "path,identity,camera,role,rate\na/1.jpg,1,1,train,{}\n"


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 8)).save(root / name)
    return root


def write_csv(root: Path, text: str = CSV, encoding: str = "utf-8") -> Path:
    write(root, "a/1.jpg", "a/2.jpg", "b/1.png", "b/2.png")
    file = root / "images.csv"
    file.write_text(text, encoding=encoding)
    return file


def test_csv(tmp_path: Path) -> None:
    table = own_csv(write_csv(tmp_path))
    assert table.name == "own"
    assert table.rows["path"].tolist() == ["a/1.jpg", "a/2.jpg", "b/1.png", "b/2.png"]
    assert table.rows["identity"].tolist() == [2, 2, 1, 1]  # adam before zoe
    assert table.rows["camera"].tolist() == [1, 2, 1, 2]
    assert table.rows["role"].tolist() == ["train", "train", "query", "gallery"]
    assert table.rows["rate"].tolist() == [1, 1, 1, 1]
    assert table.notes == ("identities are numbered 1 (adam) to 2 (zoe) in sorted order",)
    assert table.source.read("a/1.jpg").shape == (8, 4, 3)


def test_csv_numbers_rates_and_order_of_columns(tmp_path: Path) -> None:
    text = (
        "rate,role,comment,camera,identity,path\n,train,x,3,0007,a/1.jpg\n2.5,train,,3,7,a/2.jpg\n"
        "\n4, junk ,x,1,-1,b/1.png\n"
    )
    rows = own_csv(write_csv(tmp_path, text, "utf-8-sig")).rows  # Excel writes the mark
    assert rows["identity"].tolist() == [7, 7, -1]
    assert rows["rate"].tolist() == [1, 2.5, 4]
    assert rows["role"].tolist() == ["train", "train", "junk"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("camera,", "cam,", "line 1: lacks the column 'camera'"),
        (",", ";", "line 1: lacks the column 'path'"),
        ("zoe,2,", "zoe,two,", "line 3: camera is 'two'; expected a whole number"),
        ("zoe,2,", ",2,", "line 3: identity is empty"),
        ("query", "probe", "line 4: role is 'probe'; expected one of train, query"),
        ("b/1.png", "b/9.png", "line 4: there is no image 'b/9.png'"),
        ("b/1.png", "", "line 4: there is no image ''"),
        ("b/1.png", "b", "line 4: there is no image 'b'"),
        ("a/2.jpg", "a/1.jpg", "line 3: a/1.jpg is listed as train in line 2 already"),
        ("zoe,2,train", "zoe,2", "line 3: expected 4 fields"),
        *((CSV, CSV_OF_RATE.format(rate), f"line 2: rate is '{rate}'; expected a number") for rate in ("0.5", "nan")),
        ("zoe,2,train", "zoe,2,train,5", "line 3: expected 4 fields"),
        (CSV, "", "line 1: lacks the column 'path'"),
    ],
)
def test_csv_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = write_csv(tmp_path, CSV.replace(old, new))
    with pytest.raises(InputError, match=r"images\.csv, " + message.replace("(", r"\(")):
        own_csv(file)


def test_folders(tmp_path: Path) -> None:
    write(tmp_path, "train/p1/a_c1.jpg", "train/p1/deep/b_c12s3.png", "query/p2/a_c3_f4.jpg", "gallery/p10/x_c2.jpg")
    (tmp_path / "train" / "p1" / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "train" / "p1" / "Thumbs.db").write_bytes(b"")
    table = own_folders(tmp_path)
    rows = table.rows.set_index("path")
    assert rows.loc["train/p1/a_c1.jpg"].tolist() == [1, 1, "train", 1.0]
    assert rows.loc["train/p1/deep/b_c12s3.png"].tolist() == [1, 12, "train", 1.0]
    assert rows.loc["query/p2/a_c3_f4.jpg"].tolist() == [3, 3, "query", 1.0]
    assert rows.loc["gallery/p10/x_c2.jpg"].tolist() == [2, 2, "gallery", 1.0]
    assert len(rows) == 4
    assert table.notes == (
        "identities are numbered 1 (p1) to 3 (p2) in sorted order",
        "1 files that are no images are left out, the first is train/p1/Thumbs.db",
    )
    assert table.source.read("query/p2/a_c3_f4.jpg").shape == (8, 4, 3)


def test_folders_without_cameras(tmp_path: Path) -> None:
    write(tmp_path, "train/01/a_c7.jpg", "train/02/a.jpg", "query/03/a_c7.jpg", "gallery/03/b_c7.jpg")
    table = own_folders(tmp_path)
    assert dict(zip(table.rows["path"], table.rows["camera"], strict=True)) == {
        "train/01/a_c7.jpg": 2,
        "train/02/a.jpg": 2,
        "query/03/a_c7.jpg": 1,
        "gallery/03/b_c7.jpg": 2,
    }
    assert table.rows["identity"].tolist() == [1, 2, 3, 3]
    assert table.notes[0].startswith(
        "cameras are unknown (1 names without _c and a number, the first is train/02/a.jpg)"
    )


def test_folder_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder 'query'; expected train, query and gallery"):
        own_folders(tmp_path / "missing")
    write(tmp_path, "train/1/a_c1.jpg", "query/1/a_c1.jpg")
    with pytest.raises(InputError, match="no folder 'gallery'"):
        own_folders(tmp_path)
    (tmp_path / "gallery" / "1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"gallery: no images; expected gallery/<identity>/<name>\.jpg"):
        own_folders(tmp_path)
    write(tmp_path, "gallery/b_c1.jpg")
    with pytest.raises(InputError, match=r"lies in no identity's folder; expected gallery/<identity>/b_c1\.jpg"):
        own_folders(tmp_path)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_numbers_keep_identities_apart(names: list[str]) -> None:
    numbers, _ = _numbers(names)
    whole = all(name.isascii() and name.removeprefix("-").isdigit() for name in names)
    assert len(set(numbers)) == len({int(name) for name in names} if whole else set(names))
    assert [n for n, _ in sorted(zip(numbers, names, strict=True))] == sorted(numbers)
