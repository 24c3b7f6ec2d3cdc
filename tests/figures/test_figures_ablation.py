import math

import pytest
from matplotlib.colors import to_hex

from crreid.errors import InputError
from crreid.figures.ablation import ablation
from crreid.figures.style import MEASURED, PUBLISHED

PAPER = {"ID": 84.7, "SR+ID": 87.6, "SR+ID+PS": 91.5}
HERE = {"HRNet-ReID-H alone": [22.0, 24.0, 20.0], "ID": [60.0, 66.0], "SR+ID": [64.0], "SR+ID+PS": [100.0]}


def bars(figure, name):
    (axes,) = figure.axes
    return [bar for container in axes.containers if container.get_label() == name for bar in container]


def test_lengths_of_bars():
    figure = ablation(PAPER, HERE)
    assert [bar.get_width() for bar in bars(figure, "published")] == [84.7, 87.6, 91.5]
    assert [bar.get_width() for bar in bars(figure, "measured")] == [22.0, 63.0, 64.0, 100.0]
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(HERE)
    assert axes.get_xlim()[0] == 0


def test_published_and_measured_differ_without_colour():
    figure = ablation(PAPER, HERE)
    for bar in bars(figure, "published"):
        assert bar.get_hatch()
        assert to_hex(bar.get_edgecolor()).upper() == PUBLISHED
        assert to_hex(bar.get_facecolor()) == "#ffffff"
    for bar in bars(figure, "measured"):
        assert not bar.get_hatch()
        assert to_hex(bar.get_facecolor()).upper() == MEASURED


def test_no_line_joins_published_and_measured():
    (axes,) = ablation(PAPER, HERE).axes
    for line in axes.lines:
        assert len(set(line.get_ydata())) == 1  # within the bar of one row
        assert not set(PAPER.values()) & set(line.get_xdata())


def test_values_are_printed(texts, assert_readable):
    figure = ablation(
        PAPER, HERE, published_name="published, MLR-Market-1501", measured_name="measured, synthetic data"
    )
    expected = {"84.7", "87.6", "91.5", "22.0 ± 2.0", "63.0 ± 4.2", "64.0 (1 seed)", "100.0 (1 seed)", "not published"}
    assert expected <= set(texts(figure))
    assert {"published, MLR-Market-1501", "measured, synthetic data", "rank-1 (per cent)"} <= set(texts(figure))
    assert_readable(figure)


def test_deviations_and_seeds_are_drawn():
    (axes,) = ablation(PAPER, HERE).axes
    seeds = [list(line.get_xdata()) for line in axes.lines if line.get_label() == "_seeds"]
    assert seeds == [HERE["HRNet-ReID-H alone"], HERE["ID"]]
    segment = axes.collections[0].get_segments()[0]
    assert segment[:, 0].tolist() == [20.0, 24.0]


def test_rows_that_only_the_paper_has(texts, assert_readable):
    figure = ablation(PAPER, {"SR+ID": [50.0]}, published_name="published, " * 5, measured_name="measured here")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["SR+ID", "ID", "SR+ID+PS"]
    assert texts(figure).count("not measured") == 2
    assert_readable(figure)


def test_nothing_published():
    figure = ablation({"ID": None}, {"ID": [50.0]})
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["measured"]


@pytest.mark.parametrize(
    ("published", "measured", "message"),
    [
        ({}, {}, "are empty"),
        ({"ID": math.nan}, {}, "row ID: published is nan"),
        ({}, {"ID": [50.0, 101.0]}, "row ID: measured is 101.0; expected per cent"),
        ({}, {"ID": [-1.0]}, "row ID: measured is -1.0"),
    ],
)
def test_bad_input(published, measured, message):
    with pytest.raises(InputError, match=message):
        ablation(published, measured)


def test_svg_is_deterministic(svg):
    assert svg(ablation(PAPER, HERE)) == svg(ablation(PAPER, HERE))
