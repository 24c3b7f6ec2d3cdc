import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from crreid.data import pixels
from crreid.data.pixels import PixelCache
from crreid.data.sources import FolderSource, ZipSource
from crreid.errors import InputError


@pytest.mark.parametrize("few", [500, 0], ids=["one process", "several processes"])
def test_the_cache_holds_what_the_source_reads(table, tmp_path, monkeypatch, few):
    monkeypatch.setattr(pixels, "FEW_IMAGES", few)
    cache = PixelCache(table, tmp_path)
    assert len(cache) == len(table)
    for path in table.rows["path"]:
        assert np.array_equal(cache.read(path), table.source.read(path))


def test_decoding_draws_none_of_torchs_random_numbers(table, tmp_path):
    before = torch.get_rng_state()
    PixelCache(table, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_second_opening_decodes_nothing(table, tmp_path, monkeypatch):
    PixelCache(table, tmp_path)
    monkeypatch.setattr(type(table.source), "read", lambda *_: pytest.fail("decoded again"))
    assert len(PixelCache(table, tmp_path)) == len(table)


def test_other_pixels_get_another_cache(table, table_maker, tmp_path):
    PixelCache(table, tmp_path)
    taller = PixelCache(table_maker(height=40), tmp_path)
    assert taller.read(table.rows["path"][0]).shape == (40, 16, 3)


def test_an_unreadable_image_leaves_nothing_behind(table, tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "FEW_IMAGES", 0)
    rows = table.rows.assign(path=["broken.jpg", *table.rows["path"][1:]])
    with pytest.raises(InputError, match=r"broken.jpg: not a readable image"):
        PixelCache(replace(table, rows=rows), tmp_path)
    assert not [file for file in tmp_path.iterdir() if file.suffix != ".lock"]


def test_cut_deleted_and_foreign_files_are_made_anew(table, tmp_path):
    content = PixelCache(table, tmp_path).content
    pixels_file, index = tmp_path / f"{content}.pixels", tmp_path / f"{content}.json"
    data, text = pixels_file.read_bytes(), index.read_text()
    other = PixelCache(table.with_role("train"), tmp_path).content
    foreign = (tmp_path / f"{other}.json").read_text()
    for bad_data, bad_text in ((data[:-1], text), (None, text), (data, text[:-9]), (data, foreign), (data, "[]")):
        pixels_file.unlink() if bad_data is None else pixels_file.write_bytes(bad_data)
        index.write_text(bad_text)
        cache = PixelCache(table, tmp_path)
        assert (pixels_file.read_bytes(), index.read_text()) == (data, text)
        assert all(np.array_equal(cache.read(path), table.source.read(path)) for path in table.rows["path"])


def test_folder_and_zip_have_one_content_and_changed_bytes_another(tmp_path):
    names = ("b/1.png", "a/2.png")
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (4, 6), (number, 2, 3)).save(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(tmp_path / name, f"inside/{name}")
    folder, zipped = FolderSource(tmp_path), ZipSource(tmp_path / "images.zip", "inside/")
    content = folder.content(names)
    assert content == zipped.content(names)
    assert re.fullmatch("[0-9a-f]{16}", content)
    assert len({content, folder.content(names[:1]), folder.content(names[::-1])}) == 3
    Image.new("RGB", (4, 6), (9, 2, 3)).save(tmp_path / names[0])
    assert folder.content(names) != content
    for source in (folder, zipped):
        with pytest.raises(InputError, match=r"missing\.png"):
            source.content(["missing.png"])


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
        "import loky; assert list(loky.ProcessPoolExecutor(2).map(decode, ['one', 'one'])) == [600, 600]",
        "if __name__ == '__main__':\n  multiprocessing.get_context('spawn').Pool(1).map(decode, ['daemon'])",
        "multiprocessing.set_start_method('forkserver'); assert decode('here') == 600",
    ],
    ids=["worker of loky", "daemonic worker", "forkserver and no main guard"],
)
def test_many_images_are_decoded_wherever_a_program_asks(tmp_path, body):
    (tmp_path / "images").mkdir()
    for number in range(600):
        Image.new("RGB", (4, 8), (number % 256, 0, 0)).save(tmp_path / "images" / f"{number}.png")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(body=body))
    run = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
