import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crreid.figures.labels import broken, spread
from crreid.figures.style import text_width


@given(st.lists(st.floats(0, 100), max_size=8), st.data())
def test_labels_lie_apart_in_order_and_within(values, data):
    gaps = data.draw(st.lists(st.floats(1, 8), min_size=len(values), max_size=len(values)))
    places = spread(values, gaps, 0.0, 100.0)
    order = np.argsort(values, kind="stable")
    room = np.array(gaps)[order]
    assert places.shape == (len(values),)
    assert (np.diff(places[order]) >= (room[1:] + room[:-1]) / 2 - 1e-6).all()
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in places)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_one_gap_for_all_and_an_axis_that_starts_above_zero(values):
    places = spread(values, 5.0, 3.0, 105.0)
    assert (np.diff(np.sort(places)) >= 5 - 1e-6).all()
    assert places.min() >= 3 - 1e-6
    assert places.max() <= 105 + 1e-6
    assert (np.argsort(values, kind="stable") == np.argsort(places, kind="stable")).all()


def test_labels_that_are_apart_stay():
    assert spread([40.0, 10.0, 70.0], 5.0, 0.0, 100.0).tolist() == [40.0, 10.0, 70.0]
    assert spread(np.array([40.0, 10.0, 70.0]), 5.0, 3.0, 105.0).tolist() == [40.0, 10.0, 70.0]


def test_labels_move_as_little_as_possible():
    assert spread([50.0, 50.0], 10.0, 0.0, 100.0).tolist() == [45.0, 55.0]
    assert spread([50.0, 50.0, 20.0], 10.0, 0.0, 100.0).tolist() == [45.0, 55.0, 20.0]
    assert spread([99.0, 99.0], [4.0, 8.0], 0.0, 100.0).tolist() == pytest.approx([94.0, 100.0])


def test_labels_that_do_not_fit_start_at_the_low_end():
    assert spread([1.0, 2.0, 3.0], 10.0, 0.0, 5.0).tolist() == [0.0, 10.0, 20.0]


@given(st.text("ab ", max_size=30), st.floats(0.1, 2))
def test_broken_text_keeps_its_words_and_fits(text, width):
    lines = broken(text, width, 9).split("\n")
    assert " ".join(lines) == text
    assert all(text_width(line, 9) <= width or " " not in line.strip() for line in lines)


def test_text_that_fits_stays():
    assert broken("SR+ID+PS", 2.0, 9) == "SR+ID+PS"
    assert broken("one two", 0.3, 9) == "one\ntwo"
