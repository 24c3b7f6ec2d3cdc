import numpy as np
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.figures.rate_panels import rate_panels

RATES = (1.0, 1.5, 2.0, 4.0, 8.0)
VALUES = {
    "ResNet-50": (70, 65, 50, 20, 5),
    "HRNet-ReID-H alone": (72, 50, 30, 10, 2),
    "PS-HRNet": (60, 58, 55, 40, 12.3),
}
BEST = pd.DataFrame(
    [("HRNet-ReID-H alone", 1.0, 1.06), ("ResNet-50", 1.06, 1.86), ("PS-HRNet", 1.86, 8.0)],
    columns=["system", "start", "stop"],
)


def scores(values=VALUES, seeds=1):
    return pd.DataFrame(
        [
            {"method": method, "seed": seed, "rate": rate, "rank1": value + seed}
            for method, of_method in values.items()
            for seed in range(seeds)
            for rate, value in zip(RATES, of_method, strict=True)
        ]
    )


def lines(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def test_a_panel_a_system_with_the_others_in_grey(texts, assert_readable):
    figure = rate_panels(scores(), BEST, seen=(2, 4))
    assert len(figure.axes) == 3
    for axes, (method, values) in zip(figure.axes, VALUES.items(), strict=True):
        (own,) = lines(axes, method)
        assert own.get_ydata().tolist() == list(values)
        assert len(lines(axes, "_other")) == 2
        assert axes.get_ylim() == figure.axes[0].get_ylim()
    found = texts(figure)
    assert all(found.count(method) == 1 for method in VALUES)
    assert {"60.0", "12.3", "best at 1.9–8", "best at 1.1–1.9", "rank-1 (per cent)"} <= set(found)
    assert_readable(figure)


def test_the_curve_is_bold_where_it_is_the_best(texts):
    resnet, _, ours = rate_panels(scores(), BEST).axes
    (bold,) = lines(ours, "_best")
    assert bold.get_xdata().tolist() == [1.86, 2, 4, 8]
    assert bold.get_ydata()[1:].tolist() == [55, 40, 12.3]
    assert [change.get_xdata().tolist() for change in lines(ours, "_change")] == [[1.86]]
    assert [change.get_xdata().tolist() for change in lines(resnet, "_change")] == [[1.06, 1.86]]
    nowhere = rate_panels(scores(), BEST[BEST["system"] == "PS-HRNet"])
    assert texts(nowhere).count("nowhere the best") == 2
    assert not lines(nowhere.axes[0], "_best")


def test_seen_rates_are_marked_and_shaded(texts):
    axes = rate_panels(scores(), BEST, seen=(2, 3, 4)).axes[0]
    (marks,) = lines(axes, "_seen")
    assert list(marks.get_xdata()) == [2, 3, 4]
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == (2, 2)
    without = rate_panels(scores(), BEST)
    assert not without.axes[0].patches
    assert not any("training" in text for text in texts(without))


def test_ten_systems_are_told_apart(assert_readable, texts):
    values = {f"a system named {number}": np.array((60, 58, 55, 40, 12)) + number for number in range(10)}
    best = pd.DataFrame([("a system named 9", 1.0, 8.0)], columns=["system", "start", "stop"])
    figure = rate_panels(scores(values), best, seen=(2, 4))
    assert len(figure.axes) == 10
    assert all(name in texts(figure) for name in values)
    assert_readable(figure)


def test_seeds_become_their_mean():
    (own,) = lines(rate_panels(scores(seeds=3), BEST).axes[0], "ResNet-50")
    assert own.get_ydata().tolist() == [71, 66, 51, 21, 6]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (scores().iloc[:0], "scores is empty"),
        (scores().drop(columns="rate"), "lacks the column 'rate'"),
        (scores().assign(rank1=np.inf), "rank1 inf; expected a finite number"),
        (scores().iloc[:-1], "no row of PS-HRNet at rate 8"),
    ],
)
def test_bad_input(changed, message):
    with pytest.raises(InputError, match=message):
        rate_panels(changed, BEST)


def test_svg_is_deterministic(svg):
    assert svg(rate_panels(scores(), BEST, seen=(2,))) == svg(rate_panels(scores(), BEST, seen=(2,)))
