import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crreid.errors import InputError
from crreid.figures.method_cost import method_cost, pareto_front

COSTS = pd.DataFrame(
    [
        ("ResNet-50", 33.3, 0.296e9, 52.0),
        ("DenseNet-121", 33.8, 0.463e9, 31.0),
        ("PCB", 25.4, 0.497e9, 39.0),
        ("HRNet-W32-C", 29.6, 0.262e9, 38.0),
        ("RAIN", 29.6, 0.179e9, 40.0),
        ("CAD-Net", 29.6, 0.447e9, 21.0),
        ("LRAR", 31.0, 0.296e9, 51.0),
        ("HRNet-ReID-H alone", 29.6, 0.134e9, 62.0),
        ("PS-HRNet", 43.8, 0.217e9, 35.0),
    ],
    columns=["row", "rank1", "multiply_adds", "pairs_per_second"],
)


def front(axes):
    (line,) = [line for line in axes.lines if line.get_label() == "_front"]
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_points_are_where_the_numbers_say_and_fronts_join_the_best(assert_readable, texts):
    figure = method_cost(COSTS, measured_name="measured here, synthetic images")
    for axes, column, scale in zip(figure.axes, ("multiply_adds", "pairs_per_second"), (1e-9, 1), strict=True):
        points = [
            (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
            for line in axes.lines
            if line.get_label() == "_measured"
        ]
        np.testing.assert_allclose(points, np.stack([COSTS[column] * scale, COSTS["rank1"]], axis=1))
    np.testing.assert_allclose(front(figure.axes[0]), [(0.134, 29.6), (0.217, 43.8)])
    np.testing.assert_allclose(front(figure.axes[1]), [(62, 29.6), (52, 33.3), (35, 43.8)])
    assert all(texts(figure).count(row) == 2 for row in COSTS["row"])
    assert_readable(figure)


@pytest.mark.parametrize(
    "costs",
    [
        COSTS.iloc[:1],
        COSTS.assign(rank1=25.0),
        COSTS.assign(multiply_adds=COSTS["multiply_adds"] ** 2),
        COSTS.assign(pairs_per_second=COSTS["pairs_per_second"] / 50),
    ],
)
def test_other_costs_can_be_read(costs, assert_readable):
    assert_readable(method_cost(costs))


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=8))
def test_front_is_what_the_definition_says(pairs):
    names = [f"m{place}" for place in range(len(pairs))]
    costs, values = (pd.Series(np.array(column, float), index=names) for column in zip(*pairs, strict=True))
    kept = pareto_front(costs, values)
    best = {cost: max(value for other, value in pairs if other <= cost) for cost, _ in pairs}
    cheapest = {value: min(cost for cost, other in pairs if other >= value) for _, value in pairs}
    wanted = {
        name
        for name, (cost, value) in zip(names, pairs, strict=True)
        if best[cost] == value and cheapest[value] == cost
    }
    assert set(kept) == wanted
    assert costs[kept].is_monotonic_increasing


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (COSTS.iloc[:0], "costs is empty"),
        (COSTS.drop(columns="rank1"), "lacks the column 'rank1'"),
        (pd.concat([COSTS, COSTS]), "costs has ResNet-50 twice"),
        (COSTS.assign(rank1=101.0), "method ResNet-50: rank1 is 101.0"),
        (COSTS.assign(pairs_per_second=0.0), "method ResNet-50: pairs_per_second is 0.0"),
    ],
)
def test_bad_input(costs, message):
    with pytest.raises(InputError, match=message):
        method_cost(costs)


def test_svg_is_deterministic(svg):
    assert svg(method_cost(COSTS)) == svg(method_cost(COSTS))
