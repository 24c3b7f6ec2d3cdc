"""The cache of decoded images: what it holds, whose it is, and where it can be made."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from crreid.data import pixels
from crreid.data.pixels import PixelCache
from crreid.data.sources import FolderSource
from crreid.data.table import ImageTable
from crreid.errors import InputError


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")


@pytest.fixture
def files(tmp_path):
    """600 small images in a folder, and their table."""
    (tmp_path / "images").mkdir()
    for number in range(600):
        image = Image.new("RGB", (4 + number % 3, 8 + number % 5), (number % 256, number // 256, 7))
        image.save(tmp_path / "images" / f"{number}.png")
    rows = [(f"{number}.png", number, 1, "train", 1) for number in range(600)]
    frame = pd.DataFrame(rows, columns=["path", "identity", "camera", "role", "rate"])
    return ImageTable(name="files", rows=frame, source=FolderSource(tmp_path / "images"))


def assert_holds(cache, table):
    assert len(cache) == len(table)
    for path in table.rows["path"]:
        assert np.array_equal(cache.read(path), table.source.read(path))


@pytest.mark.parametrize("few", [10_000, 500], ids=["one process", "several processes"])
def test_the_cache_holds_what_the_source_reads(files, tmp_path, monkeypatch, few):
    monkeypatch.setattr(pixels, "FEW_IMAGES", few)
    before = torch.get_rng_state()
    assert_holds(PixelCache(files, tmp_path), files)
    assert torch.equal(torch.get_rng_state(), before)  # whether a cache was there must not change a training


def test_a_second_opening_decodes_nothing(table, tmp_path, monkeypatch):
    PixelCache(table, tmp_path)
    monkeypatch.setattr(type(table.source), "read", lambda *_: pytest.fail("decoded again"))
    assert len(PixelCache(table, tmp_path)) == len(table)


@pytest.mark.parametrize("broken", [10_000, 500], ids=["one process", "several processes"])
def test_an_unreadable_image_leaves_nothing_behind(files, tmp_path, monkeypatch, broken):
    monkeypatch.setattr(pixels, "FEW_IMAGES", broken)
    (tmp_path / "images" / "300.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"300.png: not a readable image"):
        PixelCache(files, tmp_path / "cache")
    assert not [file for file in (tmp_path / "cache").iterdir() if file.suffix != ".lock"]


def test_cut_deleted_and_foreign_files_are_made_anew(table, tmp_path):
    content = PixelCache(table, tmp_path).content
    data_file, index = tmp_path / f"{content}.pixels", tmp_path / f"{content}.json"
    data, text = data_file.read_bytes(), index.read_text()
    other = PixelCache(table.with_role("train"), tmp_path).content
    foreign = (tmp_path / f"{other}.json").read_text()
    for bad_data, bad_text in ((data[:-1], text), (None, text), (data, text[:-9]), (data, foreign), (data, "[]")):
        data_file.unlink() if bad_data is None else data_file.write_bytes(bad_data)
        index.write_text(bad_text)
        cache = PixelCache(table, tmp_path)
        assert (data_file.read_bytes(), index.read_text()) == (data, text)
        assert_holds(cache, table)


SCRIPT = """
import multiprocessing, sys
from pathlib import Path
import pandas as pd
from crreid.data import pixels
from crreid.data.sources import FolderSource
from crreid.data.table import ImageTable

folder = Path(sys.argv[1])
rows = [(f"{{n}}.png", n, 1, "train", 1) for n in range(600)]
frame = pd.DataFrame(rows, columns=["path", "identity", "camera", "role", "rate"])

def decode(name):
    table = ImageTable(name="t", rows=frame, source=FolderSource(folder / "images"))
    return len(pixels.PixelCache(table, folder / name))

{body}
"""


@pytest.mark.parametrize(
    "body",
    [
        "import loky; assert list(loky.ProcessPoolExecutor(2).map(decode, ['one', 'one'])) == [600, 600]\n"
        "multiprocessing.set_start_method('forkserver'); assert decode('here') == 600",
        "if __name__ == '__main__':\n  multiprocessing.get_context('spawn').Pool(1).map(decode, ['daemon'])",
    ],
    ids=["worker of loky, then forkserver and no main guard", "daemonic worker"],
)
def test_many_images_are_decoded_wherever_a_program_asks(files, tmp_path, body):
    assert len(files) > pixels.FEW_IMAGES
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(body=body))
    run = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
