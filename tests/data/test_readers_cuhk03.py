"""CUHK03: the released HDF5 file and the unpacked folders, both protocols, on generated files."""

import pickle
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from crreid.data.prepare import check_queries
from crreid.data.readers.cuhk03 import cuhk03
from crreid.errors import InputError

SPLITS = 20
PERSONS = (5, 3, 2, 2, 2)
"""Persons of each camera pair."""
TEST = {split: ((1, 1 + split % 5), (2, 3), (3, 1)) for split in range(SPLITS)}
"""(pair, person) of the test persons of each split."""


def has_image(pair: int, person: int, image: int) -> bool:
    """Every person has four images a view, but the first of pair 3 was never seen by the second camera."""
    return image not in (4, 10) and not ((pair, person) == (3, 1) and image > 5)


def pixels(pair: int, person: int, image: int) -> NDArray[np.uint8]:
    """(height, width, 3); not square, so that a transposition shows."""
    height, width = 12 + image, 6
    array = np.zeros((height, width, 3), np.uint8)
    array[:] = (40 * pair, 40 * person, 20 * image)
    array[0, -1] = (255, 1, 2)  # upper right corner
    return array


def every_image() -> list[tuple[int, int, int]]:
    return [
        (pair, person, image)
        for pair, persons in enumerate(PERSONS, start=1)
        for person in range(1, persons + 1)
        for image in range(1, 11)
        if has_image(pair, person, image)
    ]


def name(pair: int, person: int, image: int) -> str:
    return f"{pair}_{person:03d}_{1 if image <= 5 else 2}_{image:02d}.png"


def write_mat(file: Path, kinds: tuple[str, ...] = ("labeled", "detected")) -> Path:
    """As MATLAB 7.3 stores it: axes reversed, cells are references, an empty cell is a marked vector of zeros."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as archive:
        store = archive.create_group("#refs#")

        def keep(array: NDArray[np.generic]) -> h5py.Reference:
            return store.create_dataset(str(len(store)), data=array).ref

        def cell(references: list[list[h5py.Reference]]) -> NDArray[np.generic]:
            return np.array(references, dtype=h5py.ref_dtype)

        empty = keep(np.zeros(2, np.uint64))
        archive[empty].attrs["MATLAB_empty"] = 1
        for kind in kinds:
            pairs = []
            for pair, persons in enumerate(PERSONS, start=1):
                images = [
                    [
                        keep(pixels(pair, person, image).T) if has_image(pair, person, image) else empty
                        for person in range(1, persons + 1)
                    ]
                    for image in range(1, 11)
                ]
                pairs.append(keep(cell(images)))  # (10, persons)
            archive.create_dataset(kind, data=cell([pairs]))  # (1, 5)
        sets = [keep(np.array(TEST[split], dtype=np.float64).T) for split in range(SPLITS)]  # (2, persons)
        archive.create_dataset("testsets", data=cell([sets]))  # (1, 20)
    return file


def write_folder(root: Path) -> Path:
    (root / "images_detected").mkdir(parents=True)
    for key in every_image():
        Image.fromarray(pixels(*key)).save(root / "images_detected" / name(*key))
    return root


def write_config(root: Path, **changes: object) -> list[str]:
    """The file of the new protocol: persons of pair 1 train, one image a view of the others is query."""
    names = [name(*key) for key in every_image()]
    label = {person: number for number, person in enumerate(sorted({key[:2] for key in every_image()}), start=1)}
    train = [i for i, key in enumerate(every_image(), start=1) if key[0] == 1]
    query = [i for i, key in enumerate(every_image(), start=1) if key[0] > 1 and key[2] in (1, 6)]
    gallery = [i for i, key in enumerate(every_image(), start=1) if key[0] > 1 and key[2] not in (1, 6)]
    filelist = np.empty((len(names), 1), dtype=object)
    filelist[:, 0] = names
    fields: dict[str, object] = {
        "filelist": filelist,
        "labels": np.array([[label[key[:2]]] for key in every_image()]),
        "camId": np.array([[1 if key[2] <= 5 else 2] for key in every_image()]),
        "train_idx": np.array(train)[:, None],
        "query_idx": np.array(query)[:, None],
        "gallery_idx": np.array(gallery)[:, None],
    }
    fields.update(changes)
    savemat(
        root / "cuhk03_new_protocol_config_detected.mat",
        {key: value for key, value in fields.items() if value is not None},
    )
    return names


@pytest.fixture(scope="module")
def mat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mat(tmp_path_factory.mktemp("data") / "cuhk03_release" / "cuhk-03.mat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_folder(tmp_path_factory.mktemp("data") / "cuhk03")
    write_config(root)
    return root


def test_mat_images_are_upright(mat: Path) -> None:
    table = cuhk03(mat)
    assert len(table) == len(every_image()) - 4  # a test person whom one camera only saw
    for pair, person, image in every_image()[::7]:
        read = table.source.read(f"images_detected/{name(pair, person, image)}")
        np.testing.assert_array_equal(read, pixels(pair, person, image))
    assert table.source.location == str(mat)


def test_classic_roles_and_cameras(mat: Path) -> None:
    table = cuhk03(mat.parent.parent, split=2, protocol="classic")
    rows = table.rows
    for path, identity, camera, role, rate in rows.itertuples(index=False):
        pair, person, view, _ = (int(part) for part in path.removesuffix(".png").split("/")[1].split("_"))
        assert identity == 1000 * pair + person
        assert camera == 2 * (pair - 1) + view
        assert rate == 1
        expected = {1: "query", 2: "gallery"}[view] if (pair, person) in TEST[2] else "train"
        assert role == expected
    assert set(rows["camera"]) == set(range(1, 11))
    # split 2 tests (1, 3), (2, 3) and (3, 1), the last without a second view
    assert sorted(set(table.with_role("query").rows["identity"])) == [1003, 2003]
    assert "4 images of test persons whom the second camera did not see are left out" in table.notes
    check_queries(table)


def test_unpacked_says_the_same_as_the_mat(mat: Path, tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "cuhk-03.mat").write_bytes(mat.read_bytes())
    unpacked, packed = cuhk03(tmp_path, split=4), cuhk03(mat, split=4)
    assert unpacked.digest == packed.digest
    assert unpacked.source.location == str(tmp_path)
    path = unpacked.rows["path"][5]
    source = pickle.loads(pickle.dumps(packed.source))
    np.testing.assert_array_equal(unpacked.source.read(path), source.read(path))
    assert source.content([path]) == packed.source.content([path]) != source.content([])


def test_random_splits_say_so(folder: Path) -> None:
    tables = [cuhk03(folder, split=split) for split in range(SPLITS)]
    for split, table in enumerate(tables):
        assert f"split {split}: 6 random test persons, drawn with the seed {split}, not official ones" in table.notes
        check_queries(table)
        assert not set(table.with_role("train").rows["identity"]) & set(table.with_role("query").rows["identity"])
    assert len({table.digest for table in tables}) > SPLITS // 2
    assert cuhk03(folder, split=7).digest == tables[7].digest


def test_new_protocol(folder: Path, mat: Path, tmp_path: Path) -> None:
    table = cuhk03(folder, protocol="new")
    assert table.name == "cuhk03-new"
    rows = table.rows.set_index("path")
    assert len(rows) == len(every_image())
    assert rows.loc["images_detected/1_005_2_07.png"].tolist() == [5, 2, "train", 1.0]
    assert rows.loc["images_detected/2_001_1_01.png"].tolist() == [6, 3, "query", 1.0]
    assert rows.loc["images_detected/5_002_2_09.png"].tolist() == [14, 10, "gallery", 1.0]
    assert any("where the official data set has 7,365 of 767" in note for note in table.notes)
    (tmp_path / "cuhk03_release").mkdir()
    (tmp_path / "cuhk03_release" / "cuhk-03.mat").write_bytes(mat.read_bytes())
    write_config(tmp_path)
    for root in (tmp_path, tmp_path / "cuhk03_release"):
        assert cuhk03(root, protocol="new").digest == table.digest


def test_h5py_missing(mat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"needs h5py; install the extra: pip install 'crreid\[cuhk03\]'"):
        cuhk03(mat)


def test_damaged_mat(mat: Path, tmp_path: Path) -> None:
    file = tmp_path / "cuhk-03.mat"
    file.write_bytes(mat.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"expected a complete MATLAB 7\.3 file with cells of images in 'detected'"):
        cuhk03(file)
    write_mat(file, kinds=("labeled",))
    with pytest.raises(InputError, match="cells of images in 'detected'"):
        cuhk03(file)
    with h5py.File(write_mat(file), "a") as archive:
        del archive["testsets"]
    with pytest.raises(InputError, match="cannot read 'testsets'"):
        cuhk03(file)


def test_broken_config(tmp_path: Path) -> None:
    write_folder(tmp_path)
    with pytest.raises(InputError, match=r"needs cuhk03_new_protocol_config_detected\.mat"):
        cuhk03(tmp_path, protocol="new")
    write_config(tmp_path, labels=None)
    with pytest.raises(InputError, match="lacks the field 'labels'"):
        cuhk03(tmp_path, protocol="new")
    write_config(tmp_path, query_idx=np.array([[0]]))
    with pytest.raises(InputError, match="query_idx or labels do not fit"):
        cuhk03(tmp_path, protocol="new")
    names = write_config(tmp_path)
    (tmp_path / "images_detected" / names[3]).unlink()
    with pytest.raises(InputError, match=f"{names[3]} of cuhk03_new_protocol_config_detected.mat is missing"):
        cuhk03(tmp_path, protocol="new")
    (tmp_path / "cuhk03_new_protocol_config_detected.mat").write_bytes(b"not MATLAB")
    with pytest.raises(InputError, match="not a readable MATLAB file"):
        cuhk03(tmp_path, protocol="new")
