"""DukeMTMC-reID: official layout and names on generated files."""

import zipfile
from pathlib import Path

import pytest

from crreid.data.readers import boxes as module
from crreid.data.readers.boxes import dukemtmc
from crreid.errors import InputError

FILES = (
    "bounding_box_train/0001_c2_f0046182.jpg",
    "bounding_box_train/0001_c8_f0046302.jpg",
    "query/0005_c2_f0046985.jpg",
    "bounding_box_test/0005_c5_f0051341.jpg",
    "bounding_box_test/7139_c2_f0160815.jpg",  # of nobody in the query folder
)


def write(folder: Path, names: tuple[str, ...] = FILES) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never decoded")
    return folder


def test_labels_and_roles(tmp_path: Path) -> None:
    rows = dukemtmc(write(tmp_path / "DukeMTMC-reID")).rows.set_index("path")
    assert rows.loc[FILES[0]].tolist() == [1, 2, "train", 1.0]
    assert rows.loc[FILES[1]].tolist() == [1, 8, "train", 1.0]
    assert rows.loc[FILES[2]].tolist() == [5, 2, "query", 1.0]
    assert rows.loc[FILES[3]].tolist() == [5, 5, "gallery", 1.0]
    assert rows.loc[FILES[4]].tolist() == [7139, 2, "distractor", 1.0]


def test_zip_says_the_same_as_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "duke.zip", "w") as archive:
        for name in FILES:
            archive.writestr(f"DukeMTMC-reID/{name}", b"never decoded")
    assert dukemtmc(tmp_path / "duke.zip").digest == dukemtmc(tmp_path / "folder").digest


def test_other_counts_are_a_note(tmp_path: Path) -> None:
    notes = dukemtmc(write(tmp_path)).notes
    assert notes[-1] == "gallery: 2 images of 2 identities, where the official data set has 17,661 of 1,110"
    assert len(notes) == 3


def test_header_says_withdrawn() -> None:
    for text in (module.__doc__, dukemtmc.__doc__):
        assert text is not None
        assert "withdrawn" in text
        assert "consent" in text
    assert "Optional" in (module.__doc__ or "")


def test_market_is_refused(tmp_path: Path) -> None:
    write(tmp_path, (*FILES, "query/0001_c1s1_001051_00.jpg"))
    with pytest.raises(InputError, match=r"cannot read labels from query/0001_c1s1_001051_00\.jpg; expected a name"):
        dukemtmc(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of DukeMTMC-reID"):
        dukemtmc(tmp_path)
    with pytest.raises(InputError, match="no such folder or zip"):
        dukemtmc(tmp_path / "missing")


def test_empty_folder(tmp_path: Path) -> None:
    write(tmp_path, FILES[2:])
    (tmp_path / "bounding_box_train").mkdir()
    with pytest.raises(InputError, match="no images in bounding_box_train"):
        dukemtmc(tmp_path)


def test_text_file_instead_of_a_zip(tmp_path: Path) -> None:
    file = tmp_path / "duke.zip"
    file.write_text("<html>quota exceeded</html>")
    with pytest.raises(InputError, match=r"duke\.zip: not a complete zip file"):
        dukemtmc(file)
