import math

import pytest

from crreid.errors import InputError
from crreid.figures.two_metrics import two_metrics

PAPER = {"rank1": {"AAP": 94.0, "AMP": 93.6, "DPFL": 88.9}, "map": {"AAP": 83.8, "AMP": None}}
HERE = {"rank1": {"AAP": [93.0, 94.0], "AMP": [92.0]}, "map": {"AAP": [80.0, 82.0], "AMP": [79.0]}}


def drawn(axes, label):
    return [float(line.get_xdata()[0]) for line in axes.lines if line.get_label() == label]


def test_dots_of_both_panels(texts, assert_readable):
    figure = two_metrics(PAPER, HERE, published_name="published, Market-1501", measured_name="measured, synthetic data")
    left, right = figure.axes
    assert (drawn(left, "_published"), drawn(left, "_measured")) == ([94.0, 93.6, 88.9], [93.5, 92.0])
    assert (drawn(right, "_published"), drawn(right, "_measured")) == ([83.8], [81.0, 79.0])
    assert [label.get_text() for label in left.get_yticklabels()] == ["AAP", "AMP", "DPFL"]
    assert left.get_xlabel().startswith("rank-1")
    assert right.get_xlabel().startswith("mean average precision")
    found = texts(figure)
    assert {"93.5 ± 0.7", "92.0 (1 seed)", "81.0 ± 1.4", "88.9"} <= set(found)
    assert (found.count("not published"), found.count("not measured")) == (2, 2)
    assert_readable(figure)


def test_published_are_hollow_and_measured_solid():
    for line in two_metrics(PAPER, HERE).axes[0].lines:
        if line.get_label() == "_published":
            assert (line.get_marker(), line.get_markerfacecolor()) == ("D", "white")
        if line.get_label() == "_measured":
            assert line.get_marker() == "o"
            assert line.get_markerfacecolor() != "white"


def test_no_tick_above_a_hundred_and_all_dots_inside():
    (axes,) = two_metrics({}, {"rank1": {"a": [99.0, 100.0], "b": [40.0]}}, metrics={"rank1": "rank-1"}).axes
    assert max(axes.get_xticks()) <= 100
    low, high = axes.get_xlim()
    segment = axes.collections[0].get_segments()[0]
    assert low < 40
    assert segment[:, 0].max() < high


def test_long_legend_breaks(assert_readable):
    assert_readable(two_metrics(PAPER, HERE, published_name="published, " * 5, measured_name="measured here, " * 4))


@pytest.mark.parametrize(
    ("published", "measured", "options", "message"),
    [
        ({}, {}, {}, "are empty"),
        (PAPER, HERE, {"metrics": {}}, "metrics has 0 entries"),
        ({"rank1": {"a": math.nan}}, {}, {}, "row a: published rank1 is nan"),
        ({}, {"map": {"a": [50.0, 101.0]}}, {}, "row a: measured map is 101.0; expected per cent"),
    ],
)
def test_bad_input(published, measured, options, message):
    with pytest.raises(InputError, match=message):
        two_metrics(published, measured, **options)


def test_svg_is_deterministic(svg):
    assert svg(two_metrics(PAPER, HERE)) == svg(two_metrics(PAPER, HERE))
