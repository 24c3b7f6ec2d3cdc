"""Data sets by name."""

from pathlib import Path

import pytest

from crreid.data import datasets
from crreid.data.datasets import DATASETS, find_dataset, paper_name
from crreid.errors import InputError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_every_name_is_known(tmp_path: Path) -> None:
    for name, entry in DATASETS.items():
        assert entry.name == name
        assert find_dataset(name) is find_dataset(f"mlr-{name}") is entry
        assert entry.built_in == (name == "synthetic") == bool(entry.version)
        assert entry.native == (name == "caviar")
        if not entry.built_in:
            with pytest.raises(InputError, match="expected"):
                entry.read(tmp_path / "missing")
            with pytest.raises(InputError, match=f"{name}: expected data_root"):
                entry.read(None)


def test_names_in_papers() -> None:
    assert paper_name("mlr-market-1501") == "MLR-Market-1501"
    assert paper_name("market-1501") == "Market-1501"
    assert paper_name("caviar") == "CAVIAR"
    assert paper_name("mlr-caviar") == "CAVIAR"
    assert paper_name("own") is paper_name("mlr-synthetic") is None


@pytest.mark.parametrize(
    ("name", "close"), [("market1501", "market-1501"), ("VIPeR", "viper"), ("duke", ""), ("cuhk-03", "cuhk03")]
)
def test_unknown_names(name: str, close: str) -> None:
    message = f"no data set '{name}'; expected one of synthetic, market-1501, .*own" + (f".*{close}" if close else "")
    with pytest.raises(InputError, match=message):
        find_dataset(name)


def test_names_of_tables(tmp_path: Path) -> None:
    touch(tmp_path / "viper", *(f"cam_{camera}/00{person}_0.bmp" for camera in "ab" for person in range(4)))
    touch(
        tmp_path / "duke",
        "bounding_box_train/0001_c2_f0046182.jpg",
        "query/0005_c2_f0046985.jpg",
        "bounding_box_test/0005_c5_f0051341.jpg",
    )
    touch(
        tmp_path / "market",
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "query/0001_c1s1_001051_00.jpg",
        "bounding_box_test/0001_c2s1_000301_00.jpg",
    )
    assert find_dataset("viper").read(tmp_path / "viper").name == "viper"
    assert find_dataset("viper").read(tmp_path / "viper", split=1).notes[0].startswith("split 1 ")
    assert find_dataset("dukemtmc-reid").read(tmp_path / "duke").name == "dukemtmc-reid"
    assert find_dataset("market-1501").read(tmp_path / "market").name == "market-1501"


def test_synthetic_needs_no_root() -> None:
    assert find_dataset("synthetic").read(None).name == "synthetic"


def test_own_is_a_file_or_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "train/1/a_c1.jpg")
    (tmp_path / "list.csv").write_text("path,identity,camera,role\ntrain/1/a_c1.jpg,1,1,train\n")
    assert find_dataset("own").read(tmp_path).digest == find_dataset("own").read(tmp_path / "list.csv").digest


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    touch(tmp_path, "mine/train/1/a_c1.jpg")
    assert len(find_dataset("own").read(Path("~/mine"))) == 1


@pytest.mark.parametrize("name", ["synthetic", "market-1501", "dukemtmc-reid", "cuhk03-new", "own"])
def test_one_split_only(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no split 1; expected 0, it has one split only"):
        find_dataset(name).read(tmp_path, split=1)


@pytest.mark.parametrize(("name", "last"), [("cuhk03", 19), ("viper", 9), ("caviar", 9)])
def test_several_splits(name: str, last: int, tmp_path: Path) -> None:
    for split in (-1, last + 1):
        with pytest.raises(InputError, match=f"{name}: there is no split {split}; expected 0 to {last}"):
            find_dataset(name).read(tmp_path, split=split)


def test_nothing_heavy_is_imported() -> None:
    assert not {"h5py", "scipy"} & set(vars(datasets))
