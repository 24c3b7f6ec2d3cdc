import math

import numpy as np
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.figures.module_cost import module_cost

COLUMNS = ("module", "rank1", "multiply_adds", "parameters", "latency_milliseconds", "peak_bytes", "published_rank1")
COSTS = pd.DataFrame(
    [
        ("Bicubic", 41.0, 0, 0, 0.2, 2**20, 64.7),
        ("SRCNN", 43.0, 2.27e9, 69_251, 9.0, 60 * 2**20, 62.1),
        ("VDSR", 47.3, 21.8e9, 667_008, 61.0, 120 * 2**20, 68.2),
        ("RCAN", 48.0, 31e9, 15_296_931, 410.0, 300 * 2**20, 73.1),
        ("VDSR-CA", 47.0, 21.9e9, 677_448, 72.0, 122 * 2**20, 72.3),
    ],
    columns=COLUMNS,
)


def drawn(axes, label):
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines if line.get_label() == label
    ]


def test_points_and_bars(texts, assert_readable):
    figure = module_cost(COSTS, published_name="published, MLR-Market-1501", measured_name="measured, synthetic data")
    scatter, *bars = figure.axes
    assert [y for _, y in drawn(scatter, "_measured")] == list(COSTS["rank1"])
    assert [y for _, y in drawn(scatter, "_published")] == list(COSTS["published_rank1"])
    for panel, (column, scale) in zip(
        bars, {"parameters": 1e3, "latency_milliseconds": 1, "peak_bytes": 2**20}.items(), strict=True
    ):
        assert [bar.get_width() for bar in panel.patches] == pytest.approx(list(COSTS[column] / scale))
    assert {"15,297", "0.20", "300", "none", "published, MLR-Market-1501"} <= set(texts(figure))
    assert_readable(figure)


def test_multiply_adds_are_logarithmic_with_ticks_at_their_places():
    axes = module_cost(COSTS).axes[0]
    xs = dict(zip(COSTS["module"], (x for x, _ in drawn(axes, "_measured")), strict=True))
    decade = (xs["RCAN"] - xs["SRCNN"]) / math.log10(31 / 2.27)
    assert xs["VDSR"] - xs["SRCNN"] == pytest.approx(decade * math.log10(21.8 / 2.27))
    ticks = {label.get_text(): tick for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    assert ticks["10"] == pytest.approx(xs["SRCNN"] + decade * math.log10(10 / 2.27))
    assert ticks["none"] == xs["Bicubic"] < xs["SRCNN"]


def test_seeds_become_mean_and_deviation(assert_readable):
    both = pd.concat([COSTS, COSTS.assign(rank1=COSTS["rank1"] + 2)])
    figure = module_cost(both.drop(columns="published_rank1"))
    axes = figure.axes[0]
    assert [y for _, y in drawn(axes, "_measured")] == list(COSTS["rank1"] + 1)
    segment = axes.collections[0].get_segments()[0]
    assert np.diff(segment[:, 1]) == pytest.approx(2 * math.sqrt(2))
    assert segment[:, 1].min() > axes.get_ylim()[0]
    assert_readable(figure)


@pytest.mark.parametrize(
    "costs",
    [
        COSTS.iloc[:1],
        COSTS.iloc[1:2],
        COSTS.assign(multiply_adds=COSTS["multiply_adds"] / 1e4),
        COSTS.assign(rank1=47.0, multiply_adds=1e9),
        COSTS.drop(columns=["latency_milliseconds", "peak_bytes"]).assign(published_rank1=math.nan),
    ],
)
def test_other_modules_can_be_read(costs, assert_readable):
    assert_readable(module_cost(costs))


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (COSTS.iloc[:0], "costs is empty"),
        (COSTS.drop(columns="parameters"), "lacks the column 'parameters'"),
        (COSTS.assign(rank1=120.0), "module Bicubic: rank1 is 120.0; expected per cent"),
        (COSTS.assign(multiply_adds=-1.0), "module Bicubic: multiply_adds is -1.0; expected a finite number"),
        (COSTS.assign(peak_bytes=math.nan), "module Bicubic: peak_bytes is nan"),
    ],
)
def test_bad_input(costs, message):
    with pytest.raises(InputError, match=message):
        module_cost(costs)


def test_svg_is_deterministic(svg):
    assert svg(module_cost(COSTS)) == svg(module_cost(COSTS))
