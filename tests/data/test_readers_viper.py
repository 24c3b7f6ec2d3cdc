"""VIPeR: layout, partners and splits on generated files."""

from pathlib import Path

import pytest

from crreid.data.prepare import check_queries, check_training
from crreid.data.readers.layout import draw_test_identities
from crreid.data.readers.two_cameras import viper
from crreid.errors import InputError


def write(folder: Path, persons: int = 632) -> Path:
    for camera, angle in (("cam_a", 45), ("cam_b", 135)):
        (folder / camera).mkdir(parents=True)
        for person in range(persons):
            (folder / camera / f"{person:03d}_{angle}.bmp").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "VIPeR")


@pytest.mark.parametrize("split", [0, 9])
def test_protocol_counts(full: Path, split: int) -> None:
    table = viper(full, split=split)
    counts = table.rows["role"].value_counts()
    assert (counts["train"], counts["query"], counts["gallery"]) == (632, 316, 316)
    train, query, gallery = (set(table.with_role(role).rows["identity"]) for role in ("train", "query", "gallery"))
    assert query == gallery
    assert not train & query
    assert len(train) == 316
    assert table.notes == (f"split {split} of 10 random halves, drawn with the seed {split}",)
    check_queries(table)
    check_training(table)
    assert viper(full.parent, split=split).digest == table.digest
    rows = table.rows
    assert set(rows.loc[rows["role"] == "query", "camera"]) == {1}
    assert set(rows.loc[rows["role"] == "gallery", "camera"]) == {2}
    assert (rows["path"].str.startswith("cam_a/") == (rows["camera"] == 1)).all()
    first = rows[rows["path"] == "cam_b/017_135.bmp"].iloc[0]
    assert (first["identity"], first["camera"]) == (17, 2)


def test_splits_stay_as_they_are(full: Path) -> None:
    assert len({viper(full, split=split).digest for split in range(10)}) == 10
    # a change of these lists changes every number measured on the splits
    for split, start in ((0, [0, 2, 5, 12, 15, 17, 18, 19]), (9, [1, 2, 3, 4, 6, 7, 8, 11])):
        assert sorted(viper(full, split=split).with_role("query").rows["identity"])[:8] == start


def test_draw_does_not_depend_on_the_order() -> None:
    assert draw_test_identities([30, 10, 20, 10, 40], 2, 5) == draw_test_identities([10, 20, 30, 40], 2, 5)


def test_person_without_a_partner(tmp_path: Path) -> None:
    write(tmp_path, persons=4)
    assert "4 persons, where the official data set has 632" in viper(tmp_path).notes
    (tmp_path / "cam_a" / "002_90.bmp").write_bytes(b"")
    with pytest.raises(InputError, match="show one person; expected one image each"):
        viper(tmp_path)
    (tmp_path / "cam_a" / "002_90.bmp").unlink()
    (tmp_path / "cam_b" / "002_135.bmp").unlink()
    with pytest.raises(InputError, match=r"cam_a/002_45\.bmp has no partner; expected 002_\*\.bmp in cam_b"):
        viper(tmp_path)


def test_bad_name_and_wrong_root(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folders cam_a and cam_b of VIPeR"):
        viper(tmp_path)
    write(tmp_path, persons=4)
    (tmp_path / "cam_a" / "last.bmp").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot read labels from cam_a/last\.bmp; expected a name like 000_45\.bmp"):
        viper(tmp_path)
