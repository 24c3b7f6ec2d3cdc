import numpy as np
import pytest

from crreid.errors import InputError
from crreid.figures.panels import box_height, check_images, check_lengths, fit_captions
from crreid.figures.style import SMALL, text_width


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "photographs is empty"),
        ([np.zeros((4, 2, 3))], r"photographs\[0\] is float64"),
        ([np.zeros((4, 2, 3), np.uint8), np.zeros((4, 2), np.uint8)], r"photographs\[1\] is uint8 \(4, 2\)"),
        ([np.zeros((3, 4, 2), np.uint8)], r"\(height, width, 3\)"),
        ([np.zeros((0, 2, 3), np.uint8)], "at least one pixel"),
        (["file.png"], "is str"),
    ],
)
def test_images_that_are_none(bad, message):
    with pytest.raises(InputError, match=message):
        check_images(bad, "photographs")


def test_lengths():
    check_lengths(2, titles=["a", "b"], nothing=None, numbers=np.zeros(2))
    with pytest.raises(InputError, match="titles has 1 entries; expected 2"):
        check_lengths(2, names=["a", "b"], titles=["a"])


def test_boxes_are_as_high_as_the_tallest_image_needs():
    images = [np.zeros((height, 16, 3), np.uint8) for height in (16, 48, 32)]
    assert box_height(images, 0.5) == pytest.approx(1.5)


def test_captions_that_fit_stay():
    assert fit_captions(["26.1 dB", "two\nlines"], 2.0) == (["26.1 dB", "two\nlines"], SMALL)
    assert fit_captions([], 1.0) == ([], SMALL)


@pytest.mark.parametrize("width", [0.8, 0.5, 0.3])
def test_captions_are_made_smaller_and_then_shorter(width):
    captions, size = fit_captions(["identity 0132", "identity 0132 in camera 3\nrate 4"], width)
    assert 6.0 <= size < SMALL
    assert all(text_width(caption, size) <= width for caption in captions)
    assert captions[1].split("\n")[0].endswith("…")
    assert captions[1].split("\n")[1].startswith("r")
