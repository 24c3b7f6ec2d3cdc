from dataclasses import replace

import numpy as np
import pytest

from crreid.errors import InputError
from crreid.figures.error_maps import absolute_error, error_scale
from crreid.figures.restored_grid import RestoredRow, restored_grid

NAMES = ("bicubic", "solo SR", "SR+ID", "SR+ID+PS")


def rows(images, people=("",), captions=True):
    pictures = images(6)
    made = []
    for person in people:
        for rate in (2, 4):
            shown = dict(zip(NAMES, pictures, strict=False))
            texts = {name: f"2{rate}.1 dB, 0.9{index}" for index, name in enumerate(NAMES)} if captions else {}
            low = images(1, 32 // rate, 16 // rate)[0]
            row = RestoredRow(rate=rate, low=low, images=shown, original=pictures[5], captions=texts, person=person)
            made.append(row)
    return made


def test_columns_and_captions(images, texts, assert_readable):
    grid = rows(images, ("person 12", "person 151"))
    figure = restored_grid(grid)
    assert len(figure.axes) == 4 * (2 + 2 * 4) + 1
    found = texts(figure)
    assert [text.get_text() for text in figure.texts][:6] == [
        "input",
        *(f"{name}, error" for name in NAMES),
        "original",
    ]
    assert found.count("22.1 dB, 0.93") == 2
    assert {"person 12\nrate 2", "person 151\nrate 4", "absolute error (grey levels)"} <= set(found)
    assert_readable(figure)


def test_images_stand_in_their_columns(images):
    grid = rows(images)
    shown = [axes.images[0].get_array() for axes in restored_grid(grid, errors=False).axes]
    for index, row in enumerate(grid):
        low, original, *restored = shown[6 * index : 6 * index + 6]
        assert np.array_equal(original, row.original)
        assert all(np.array_equal(one, row.images[name]) for one, name in zip(restored, NAMES, strict=True))
        factor = low.shape[0] // row.low.shape[0]
        assert np.array_equal(low[::factor, ::factor], row.low)  # hard pixels, none lost
        assert np.array_equal(low[:factor, :factor], np.broadcast_to(row.low[0, 0], (factor, factor, 3)))


def test_errors_share_one_scale(images):
    grid = rows(images)
    figure = restored_grid(grid)
    maps = [axes.images[0] for axes in figure.axes if axes.images and axes.images[0].get_array().ndim == 2][:8]
    expected = np.abs(grid[0].images["bicubic"].astype(float) - grid[0].original).mean(axis=2)
    assert np.allclose(maps[0].get_array(), expected, atol=1e-4)
    assert len({image.get_clim() for image in maps}) == 1
    assert figure.axes[-1].get_ylim() == pytest.approx(maps[0].get_clim())


def test_error_of_an_equal_image_is_nothing(images):
    (image,) = images(1)
    error = absolute_error(image, image)
    assert error.shape == image.shape[:2]
    assert not error.any()
    assert (error_scale([error]).vmin, error_scale([error]).vmax) == (0, 1)


def test_without_errors_or_captions(images, texts, assert_readable):
    figure = restored_grid(rows(images, captions=False), errors=False)
    assert len(figure.axes) == 2 * 6
    assert texts(figure) == ["input", *NAMES, "original", "rate 2", "rate 4"]
    assert_readable(figure)


def test_bad_input(images):
    first, second = rows(images)
    small = images(1, 16)[0]
    many = {f"method {number}": first.original for number in range(40)}
    cases = [
        ([], "rows is empty"),
        ([replace(first, images={})], "has the images none; expected at least one"),
        ([first, replace(second, images={"bicubic": second.original})], r"rows\[1\] has the images bicubic; expected"),
        ([replace(first, low=first.low / 255)], r"rows\[0\].low\[0\] is float64"),
        ([replace(first, original=small)], r"images\['bicubic'\] has the shape \(32, 16, 3\); expected \(16, 16, 3\)"),
        ([replace(first, captions={"SR": ""})], "has the column 'SR'; expected one of input"),
        ([replace(first, images=many, captions={})], "40 restorations; expected fewer"),
    ]
    for grid, message in cases:
        with pytest.raises(InputError, match=message):
            restored_grid(grid)


def test_svg_is_deterministic(images, svg):
    assert svg(restored_grid(rows(images))) == svg(restored_grid(rows(images)))
