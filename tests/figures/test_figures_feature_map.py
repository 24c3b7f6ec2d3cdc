from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from crreid.errors import InputError
from crreid.figures.feature_map import FeaturePoints, feature_map

RATES = (1.0, 2.0, 3.0, 4.0)


def points(people=10, seed=0):
    identities = np.repeat(np.arange(100, 100 + people), 2 * len(RATES)).tolist()
    rates = np.tile(RATES, 2 * people).tolist()
    places = np.random.default_rng(seed).normal(size=(len(rates), 2)).astype(np.float32)
    return FeaturePoints(places=places, identities=identities, rates=rates)


def test_every_row_has_two_panels_with_all_points(texts, assert_readable):
    rows = {"CAD-Net without D_F": points(seed=1), "CAD-Net": points()}
    figure = feature_map(rows, captions={"CAD-Net": "a probe tells high from low: 63 % (chance 50)"})
    assert len(figure.axes) == 4
    for axes, name in zip(figure.axes, np.repeat(list(rows), 2), strict=True):
        drawn = np.concatenate([collection.get_offsets() for collection in axes.collections])
        expected = rows[name].places
        assert np.allclose(np.sort(drawn, axis=0), np.sort(expected, axis=0))
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert left < expected[:, 0].min() <= expected[:, 0].max() < right
        assert low < expected[:, 1].min() <= expected[:, 1].max() < high
        assert right - left == pytest.approx(high - low)
    found = texts(figure)
    assert {"CAD-Net without D_F", "CAD-Net", "a probe tells high from low: 63 % (chance 50)"} <= set(found)
    assert found.count("coloured by identity") == found.count("coloured by resolution") == 2
    assert_readable(figure)


def test_colours_say_who_on_the_left_and_which_rate_on_the_right():
    rows = points(people=3)
    left, right = feature_map({"A": rows}).axes
    for axes, kinds in ((left, rows.identities), (right, rows.rates)):
        groups = [collection.get_offsets() for collection in axes.collections]
        assert len(groups) == len(set(kinds))
        for kind, group in zip(sorted(set(kinds)), groups, strict=True):
            assert np.allclose(group, rows.places[np.array(kinds) == kind])
        looks = {
            (to_hex(one.get_facecolor()[0], keep_alpha=False), one.get_paths()[0].vertices.tobytes())
            for one in axes.collections
        }
        assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == len(groups)


def test_all_sizes_are_readable(assert_readable):
    for people in (1, 6, 18):
        assert_readable(feature_map({"A": points(people)}))


def test_the_same_every_time(svg):
    assert svg(feature_map({"A": points()})) == svg(feature_map({"A": points()}))


def test_bad_input():
    one = points()
    cases = [
        ({}, {}, "panels is empty"),
        ({"A": replace(one, rates=one.rates[1:])}, {}, "expected one of each for every point"),
        ({"A": replace(one, places=one.places[:, :1])}, {}, r"places of shape \(80, 1\)"),
        ({"A": replace(one, places=one.places * np.nan)}, {}, "a place that is not finite"),
        ({"A": one, "B": points(9)}, {}, "'B'.* shows other persons or rates than 'A'"),
        ({"A": points(19)}, {}, "19 persons at 4 rates; expected at most 18"),
        ({"A": one}, {"B": "text"}, "captions has the row 'B'; expected one of A"),
    ]
    for panels, captions, message in cases:
        with pytest.raises(InputError, match=message):
            feature_map(panels, captions=captions)
