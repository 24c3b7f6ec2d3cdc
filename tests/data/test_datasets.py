"""Data sets by name."""

from pathlib import Path

import pytest

from crreid.data.datasets import DATASETS, find_dataset
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


@pytest.mark.parametrize(
    ("name", "close"), [("market1501", "market-1501"), ("VIPeR", "viper"), ("duke", ""), ("cuhk-03", "cuhk03")]
)
def test_unknown_names(name: str, close: str) -> None:
    message = f"no data set '{name}'; expected one of synthetic, market-1501, .*own" + (f".*{close}" if close else "")
    with pytest.raises(InputError, match=message):
        find_dataset(name)


@pytest.mark.parametrize(("name", "last"), [("cuhk03", 19), ("viper", 9), ("caviar", 9)])
def test_several_splits(name: str, last: int, tmp_path: Path) -> None:
    for split in (-1, last + 1):
        with pytest.raises(InputError, match=f"{name}: there is no split {split}; expected 0 to {last}"):
            find_dataset(name).read(tmp_path, split=split)
