from dataclasses import replace

import numpy as np
import pytest
import torch

from crreid.data import pixels
from crreid.data.pixels import PixelCache
from crreid.errors import InputError


@pytest.fixture(params=[500, 0], ids=["one process", "several processes"], autouse=True)
def few_images(request, monkeypatch):
    monkeypatch.setattr(pixels, "FEW_IMAGES", request.param)


def test_the_cache_holds_what_the_source_reads(table, tmp_path):
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


def test_an_unreadable_image_leaves_nothing_behind(table, tmp_path):
    rows = table.rows.assign(path=["broken.jpg", *table.rows["path"][1:]])
    with pytest.raises(InputError, match=r"broken.jpg: not a readable image"):
        PixelCache(replace(table, rows=rows), tmp_path)
    assert not [file for file in tmp_path.iterdir() if file.suffix != ".lock"]
