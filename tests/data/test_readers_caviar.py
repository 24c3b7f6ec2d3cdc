"""CAVIAR4REID: counts, the low resolution camera and splits on generated files."""

import zipfile
from pathlib import Path

import pytest
from PIL import Image

from crreid.data.prepare import check_queries, check_training
from crreid.data.readers.two_cameras import caviar
from crreid.errors import InputError

LOW, HIGH = (17, 39), (36, 72)  # width, height in pixels


def write(folder: Path, both: int = 50, one: int = 22, low_first: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    first, second = (LOW, HIGH) if low_first else (HIGH, LOW)
    for person in range(1, both + one + 1):
        for image in range(1, 21 if person <= both else 11):
            width, height = (first if image <= 10 else second) if person <= both else HIGH
            size = (width + (person + image) % 3, height + image % 5)  # sizes differ from image to image
            Image.new("RGB", size).save(folder / f"{person:04d}{image:03d}.jpg")
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "CAVIAR4REID")


@pytest.mark.parametrize("split", [0, 9])
def test_protocol_counts(full: Path, split: int) -> None:
    table = caviar(full, split=split)
    assert len(table) == 1000
    assert table.rows["identity"].nunique() == 50
    summary = table.describe().set_index("role")
    assert summary["images"].to_dict() == {"train": 500, "query": 250, "gallery": 250}
    assert summary["identities"].to_dict() == {"train": 25, "query": 25, "gallery": 25}
    train, query = (set(table.with_role(role).rows["identity"]) for role in ("train", "query"))
    assert not train & query
    assert (table.rows["rate"] == 1).all()
    assert table.notes[1] == "22 persons seen by one camera only are left out"
    assert len(table.notes) == 3
    check_queries(table)
    check_training(table)


@pytest.mark.parametrize("low_first", [True, False])
def test_low_resolution_is_measured(tmp_path: Path, low_first: bool) -> None:
    table = caviar(write(tmp_path, both=4, one=1, low_first=low_first))
    low = 1 if low_first else 2
    query, gallery = table.with_role("query").rows, table.with_role("gallery").rows
    assert set(query["camera"]) == {low}
    assert set(gallery["camera"]) == {3 - low}
    assert table.source.read(query["path"][0]).size < table.source.read(gallery["path"][0]).size
    assert table.notes[-1].startswith(f"camera {low} is the low resolution one")
    row = table.rows[table.rows["path"] == "0002011.jpg"].iloc[0]
    assert (row["identity"], row["camera"]) == (2, 2)


def test_zip_says_the_same_as_the_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "CAVIAR4REID", both=4, one=1)
    with zipfile.ZipFile(tmp_path / "CAVIAR4REID.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"CAVIAR4REID/{file.name}")
    zipped, unpacked = caviar(tmp_path / "CAVIAR4REID.zip", split=2), caviar(folder, split=2)
    assert zipped.digest == unpacked.digest
    assert zipped.notes == unpacked.notes
    assert len({caviar(folder, split=split).digest for split in range(3)}) == 3
    expected = "4 persons with 80 images, 1 left out, where the official data set has 50 with 1,000, 22 left out"
    assert expected in zipped.notes
    with Image.open(folder / "0001003.jpg") as image:  # in its native size
        assert zipped.source.size("0001003.jpg") == (image.height, image.width)
        assert zipped.source.read("0001003.jpg").shape == (image.height, image.width, 3)


def test_resized_copies_are_refused(tmp_path: Path) -> None:
    write(tmp_path, both=3, one=0)
    for file in tmp_path.iterdir():
        Image.new("RGB", (64, 128)).save(file)
    with pytest.raises(InputError, match="same median area, 8192 pixels; expected the native images"):
        caviar(tmp_path)


def test_bad_name_root_split_and_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the images of CAVIAR4REID, named like 0001001\.jpg"):
        caviar(tmp_path)
    write(tmp_path, both=3, one=0)
    (tmp_path / "0001021.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot read labels from 0001021\.jpg"):
        caviar(tmp_path)
    (tmp_path / "0001021.jpg").unlink()
    (tmp_path / "0001002.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"0001002\.jpg: not a readable image"):
        caviar(tmp_path)
