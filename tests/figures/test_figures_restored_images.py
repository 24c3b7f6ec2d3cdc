import numpy as np
import pytest

from crreid.errors import InputError
from crreid.figures.restored_images import LOW, TRUTH, restored_images


def make(images, **changes):
    pictures = images(8)
    options = {
        "low": pictures[:4],
        "restored": {"SR+ID": pictures[2:6], "SR+ID+PS": pictures[3:7]},
        "truth": pictures[4:],
        "rates": [4, 2, 3, 2],
    }
    return restored_images(**(options | changes))


def test_rows_and_columns_by_rate(images, texts, assert_readable):
    figure = make(images)
    pictures = images(8)
    order = [1, 3, 2, 0]
    expected = [pictures[start + index] for start in (0, 2, 3, 4) for index in order]
    found = [axes.images[0].get_array() for axes in figure.axes]
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    labels = ["rate 2", "rate 3", "rate 4", "low\nresolution", "SR+ID", "SR+ID+PS", "ground\ntruth"]
    assert texts(figure) == labels
    assert_readable(figure)


def test_captions_stand_below_their_images(images, assert_readable):
    captions = {"SR+ID": [f"{index}6.1 dB\nSSIM 0.{index}1" for index in range(4)]}
    figure = make(images, captions=captions)
    order = [1, 3, 2, 0]
    boxes = [axes.get_position() for axes in figure.axes[4:8]]
    written = {text.get_text(): text for text in figure.texts}
    for box, index in zip(boxes, order, strict=True):
        text = written[captions["SR+ID"][index]]
        assert text.get_position()[0] == pytest.approx((box.x0 + box.x1) / 2)
        assert box.y0 - 0.05 < text.get_position()[1] < box.y0
    assert_readable(figure)


def test_error_maps_share_one_scale(images, assert_readable):
    figure = make(images, errors=True)
    assert len(figure.axes) == 4 * 4 + 3 * 4 + 1
    maps = [axes.images[0] for axes in figure.axes[16:28]]
    pictures = images(8)
    expected = np.abs(pictures[1].astype(float) - pictures[5]).mean(axis=2)  # low resolution, first of rate 2
    assert np.allclose(maps[0].get_array(), expected, atol=1e-4)
    assert {image.get_clim() for image in maps} == {(0.0, maps[0].get_clim()[1])}
    assert figure.axes[28].get_ylim() == pytest.approx(maps[0].get_clim())
    assert "grey levels" in figure.axes[28].get_ylabel()
    assert_readable(figure)


def test_perfect_restoration_has_black_error_maps(images):
    pictures = images(1)
    figure = restored_images(pictures, {"restored": pictures}, pictures, [1], errors=True)
    assert all(axes.images[0].get_array().max() == 0 for axes in figure.axes[3:5])
    assert figure.axes[3].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"restored": {}}, "restored is empty"),
        ({"low": []}, "low is empty"),
        ({"rates": [1]}, "rates has 1 entries; expected 4"),
        ({"restored": {"SR+ID": []}}, "SR.ID has 0 entries; expected 4"),
        ({"restored": {LOW: []}}, "expected another name"),
        ({"captions": {"SR": ["a"] * 4}}, "captions has the row 'SR'"),
        ({"captions": {TRUTH: ["a"]}}, "captions of ground truth has 1 entries"),
    ],
)
def test_bad_input(images, changes, message):
    with pytest.raises(InputError, match=message):
        make(images, **changes)


def test_images_of_several_sizes(images):
    with pytest.raises(InputError, match=r"ground truth\[0\] has the shape \(48, 16, 3\)"):
        make(images, truth=images(4, 48))


def test_too_many_columns(images):
    pictures = images(40)
    with pytest.raises(InputError, match="expected fewer"):
        restored_images(pictures, {"restored": pictures}, pictures, [2] * 40)


def test_svg_is_deterministic(images, svg):
    assert svg(make(images, errors=True)) == svg(make(images, errors=True))
