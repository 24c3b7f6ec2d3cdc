from itertools import chain, pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex

from crreid.errors import InputError
from crreid.figures.ranked_lists import CROSS, TICK, ranked_lists
from crreid.figures.style import RIGHT, WRONG

HITS = [[True, False, True, False], [False, False, True]]


def make(images, **changes):
    options = {
        "query_images": images(2),
        "restored_images": images(2),
        "gallery_images": [images(4), images(3)],
        "right": HITS,
        "query_titles": ["identity 5, camera 1, rate 2", "identity 7, camera 2, rate 4"],
        "distances": [[0.1, 0.2, 0.3, 0.4], [0.15, 0.25, 1.35]],
    }
    return ranked_lists(**(options | changes))


def gallery(figure):
    return [axes for axes in figure.axes if axes.get_gid()]


def test_frames_and_marks_say_right_and_wrong(images):
    figure = make(images)
    assert len(figure.axes) == 2 * 2 + 4 + 3
    for axes, hit in zip(gallery(figure), chain(*HITS), strict=True):
        assert axes.get_gid() == ("right" if hit else "wrong")
        assert {to_hex(spine.get_edgecolor()).upper() for spine in axes.spines.values()} == {RIGHT if hit else WRONG}
        assert all(spine.get_visible() for spine in axes.spines.values())
        assert [text.get_text() for text in axes.texts] == [TICK if hit else CROSS]


def test_texts(images, texts, assert_readable):
    figure = make(images)
    expected = {"query", "restored", "rank 1", "2", "3", "4", "identity 5, camera 1, rate 2", "0.10", "1.35"}
    assert expected <= set(texts(figure))
    assert_readable(figure)


def test_without_restoration_titles_and_distances(images, texts, assert_readable):
    figure = make(images, restored_images=None, query_titles=None, distances=None)
    assert len(figure.axes) == 2 + 4 + 3
    assert "restored" not in texts(figure)
    assert_readable(figure)


def test_ten_images_leave_a_gap_after_the_query(images, assert_readable):
    figure = make(
        images, gallery_images=[images(10)] * 2, right=np.eye(2, 10, dtype=bool), distances=np.full((2, 10), 0.5)
    )
    boxes = [axes.get_position() for axes in figure.axes[:12]]
    gaps = [second.x0 - first.x1 for first, second in pairwise(boxes)]
    assert np.argmax(gaps) == 1
    assert gaps[1] > 3 * gaps[0]
    assert figure.get_size_inches()[0] < 7.7
    assert_readable(figure)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_images": []}, "query_images is empty"),
        ({"right": [[True]]}, "right has 1 entries; expected 2"),
        ({"right": [[True] * 4, [True] * 4]}, r"right\[1\] has 4 entries; expected 3"),
        ({"distances": [[0.1], [0.1]]}, r"distances\[0\] has 1 entries; expected 4"),
        ({"restored_images": []}, "restored_images has 0 entries"),
        ({"query_titles": ["one"]}, "query_titles has 1 entries"),
        ({"gallery_images": [[], []]}, r"gallery_images\[0\] is empty"),
    ],
)
def test_bad_input(images, changes, message):
    with pytest.raises(InputError, match=message):
        make(images, **changes)


def test_too_many_images(images):
    with pytest.raises(InputError, match="at most 12"):
        ranked_lists(images(1), None, [images(13)], [[True] * 13])


def test_svg_is_deterministic(images, svg):
    assert svg(make(images)) == svg(make(images))
