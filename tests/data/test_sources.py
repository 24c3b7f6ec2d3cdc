"""Digests of content, in folders and zips."""

import re
import zipfile

import pytest
from PIL import Image

from crreid.data.sources import FolderSource, ZipSource
from crreid.errors import InputError


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
