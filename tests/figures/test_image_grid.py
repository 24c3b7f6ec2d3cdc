"""The grid shows each image at its place, and refuses what is none."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from crreid.errors import InputError
from crreid.figures.images import error_map, images
from crreid.figures.style import CORRECT, DPI, FALSE, png


def person(height: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, height // 2, 3), dtype=np.uint8)


def test_images_stand_in_rows_and_columns_of_one_size() -> None:
    shown = [person(seed=seed) for seed in range(3)]
    figure = images(
        [[person(32), None, shown[0]], [shown[1], None, shown[2]]],
        columns=["query", "", "rank 1"],
        labels=["rate 4", "rate 2"],
        captions=[["32 × 16 pixels left of it", "", ""], ["", "", "found"]],
        frames=[[None, None, True], [None, None, False]],
    )
    axes = figure.axes[0]
    extents = [image.get_extent() for image in axes.images]
    assert [np.asarray(image.get_array()).shape[0] for image in axes.images] == [32, 128, 128, 128]
    assert {(right - left, bottom - top) for left, right, bottom, top in extents} == {(110, 220)}
    assert extents[0][0] == extents[2][0] < extents[1][0] == extents[3][0]
    assert extents[0][2] < extents[2][3]
    frames = [(patch.get_x(), to_hex(patch.get_edgecolor()).upper()) for patch in axes.patches]
    assert frames == [(extents[1][0], CORRECT), (extents[1][0], FALSE)]
    written = [text.get_text() for text in axes.texts]
    assert {"query", "rank 1", "rate 4", "✓", "✗", "found"} <= set(written)
    assert "32 × 16\npixels left of\nit" in written
    width, height = figure.get_size_inches() * DPI
    assert axes.get_xlim() == (0, width)
    assert axes.get_ylim() == (height, 0)


def test_pictures_of_many_people_make_small_files_that_never_change() -> None:
    rows = [[person(seed=8 * row + column) for column in range(8)] for row in range(4)]
    file = png(images(rows))
    assert file == png(images(rows))
    picture = Image.open(io.BytesIO(file))
    assert picture.mode == "P"
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert len(file) < 700_000  # of noise, the worst there is


def test_error_map_is_black_where_images_agree_and_grows_with_the_error() -> None:
    original = person()
    assert error_map(original, original).max() <= 4
    black = np.zeros_like(original)
    more = [error_map(black + np.uint8(grey), black)[0, 0].astype(int).sum() for grey in (0, 10, 30, 50, 200)]
    assert more == sorted(more)
    assert more[-1] == more[-2]
    with pytest.raises(InputError, match=r"image has the shape \(64, 32, 3\); expected \(128, 64, 3\)"):
        error_map(person(64), original)


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        ([], {}, "rows has no image; expected at least one"),
        ([[person() / 255]], {}, r"rows has an image of float64 of shape \(128, 64, 3\); expected uint8"),
        ([["a.png"]], {}, r"rows has an image of str of shape \(\); expected uint8"),
        ([[person()], [person(), person()]], {}, r"rows has the lengths \[1, 2\]; expected \[1, 1\]"),
        ([[person()]], {"columns": ["a", "b"]}, r"columns has the lengths \[2\]; expected \[1\]"),
        ([[person()]], {"frames": [[True], [False]]}, r"frames has the lengths \[1, 1\]; expected \[1\]"),
        ([[person()] * 40], {}, "rows have 40 images; expected fewer"),
    ],
)
def test_bad_grids_are_refused_in_one_sentence(rows: list, options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        images(rows, **options)
