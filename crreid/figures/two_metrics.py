"""Rows of a table by two metrics side by side: what was published beside what was measured here, as dots."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from crreid.errors import InputError
from crreid.figures.style import (
    INK,
    MAP_LABEL,
    MEASURED,
    MUTED,
    PUBLISHED,
    RANK1_LABEL,
    SMALL,
    WIDTH,
    new_figure,
    place,
    styled,
    text_width,
)

__all__ = ["two_metrics"]

WIDE = 7.6
ROW, BESIDE = 0.42, 0.78  # inches: from row to row, for the value beside a dot
LABELS = {"rank1": RANK1_LABEL, "map": MAP_LABEL}
UP, DOWN = -0.18, 0.18  # of a row: published above, measured below

Published = Mapping[str, Mapping[str, float | None]]
Measured = Mapping[str, Mapping[str, Sequence[float]]]


@styled
def two_metrics(
    published: Published,
    measured: Measured,
    *,
    metrics: Mapping[str, str] = LABELS,
    published_name: str = "published",
    measured_name: str = "measured here",
) -> Figure:
    """Two dots a row in each panel: published a hollow diamond, measured solid, with every seed and their deviation.

    Axes start where the numbers do, so that rows less than a point apart can be told apart; bars from zero are
    `crreid.figures.ablation`. Rows come in the order of `measured`, then those that were only published.

    Args:
        published: By metric the paper's number of each row in [0, 100]; a row may be missing or None.
        measured: By metric, of each row the numbers of all seeds in [0, 100].
        metrics: Titles of the panels, one or two.
        published_name: In the legend, e.g. `published, Market-1501`.
        measured_name: In the legend, e.g. `measured here, synthetic data, 3 seeds`.

    Raises:
        InputError: No row, none or more than two metrics, or a number that is not finite or out of [0, 100].
    """
    rows = _rows(published, measured, metrics)
    left = max(text_width(row, 10) for row in rows) + 0.2
    beside = left + text_width(f"{published_name}{measured_name}", 9) + 1.0 < WIDE
    top, bottom, between = (0.36 if beside else 0.56), 0.55, 0.15
    total = WIDE if len(metrics) == 2 else WIDTH
    width = (total - left - 0.1 - between * (len(metrics) - 1)) / len(metrics)
    figure = new_figure(total, top + len(rows) * ROW + bottom)
    for index, (metric, title) in enumerate(metrics.items()):
        axes = place(figure, left + index * (width + between), top, width, len(rows) * ROW)
        paper, here = published.get(metric, {}), measured.get(metric, {})
        low, high = _limits(paper, here, width)
        axes.set(xlim=(low, high), ylim=(len(rows) - 0.5, -0.5), xlabel=title)
        ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
        axes.set_xticks([tick for tick in ticks if low <= tick <= min(high, 100)])
        axes.set_yticks(range(len(rows)), rows if index == 0 else [])
        axes.tick_params(axis="y", length=0, labelsize=10, labelcolor=INK)
        axes.grid(axis="y", visible=False)
        for number, row in enumerate(rows):
            if number % 2 == 0:
                axes.axhspan(number - 0.5, number + 0.5, color="#F7F7F7", linewidth=0, zorder=0)
            _draw_published(axes, number + UP, paper.get(row))
            _draw_measured(axes, number + DOWN, here.get(row, ()))
    _legend(figure.axes[0], published_name, measured_name, beside)
    return figure


def _rows(published: Published, measured: Measured, metrics: Mapping[str, str]) -> list[str]:
    """The rows' names in order, after a look at all numbers."""
    if not 1 <= len(metrics) <= 2:
        raise InputError(f"metrics has {len(metrics)} entries; expected one or two")
    here = [row for metric in metrics for row in measured.get(metric, {})]
    rows = list(dict.fromkeys([*here, *(row for metric in metrics for row in published.get(metric, {}))]))
    if not rows:
        raise InputError("published and measured are empty; expected at least one row")
    for metric in metrics:
        for row in rows:
            paper = published.get(metric, {}).get(row)
            numbers = [("published", value) for value in ([] if paper is None else [paper])]
            numbers += [("measured", value) for value in measured.get(metric, {}).get(row, ())]
            for source, value in numbers:
                if not (math.isfinite(value) and 0 <= value <= 100):
                    expected = "per cent, a number from 0 to 100"
                    raise InputError(f"row {row}: {source} {metric} is {value}; expected {expected}")
    return rows


def _limits(
    published: Mapping[str, float | None], measured: Mapping[str, Sequence[float]], width: float
) -> tuple[float, float]:
    """Around all numbers, with room for values right of the last."""
    numbers = [value for value in published.values() if value is not None]
    for values in measured.values():
        reach = statistics.stdev(values) if len(values) > 1 else 0.0
        numbers += [*values, *(statistics.fmean(values) + sign * reach for sign in (-1, 1) if len(values))]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 100.0)
    span = max(high - low, 1.0)
    unit = span / (width - BESIDE - 0.25)  # points an inch
    return low - 0.12 * unit, low - 0.12 * unit + width * unit


def _draw_published(axes: Axes, y: float, value: float | None) -> None:
    if value is None:
        _note(axes, y, axes.get_xlim()[0], "not published", MUTED)
        return
    axes.plot(value, y, "D", color=PUBLISHED, markerfacecolor="white", markeredgewidth=1.2, label="_published")
    _note(axes, y, value, f"{value:.1f}", PUBLISHED)


def _draw_measured(axes: Axes, y: float, values: Sequence[float]) -> None:
    if not len(values):
        _note(axes, y, axes.get_xlim()[0], "not measured", MUTED)
        return
    mean = statistics.fmean(values)
    axes.plot(mean, y, "o", color=MEASURED, markersize=7, label="_measured", zorder=3)
    if len(values) == 1:
        _note(axes, y, mean, f"{mean:.1f} (1 seed)", MEASURED)
        return
    deviation = statistics.stdev(values)
    axes.errorbar(mean, y, xerr=deviation, color=MEASURED, capsize=2.5, linewidth=1.1, zorder=2, label="_deviation")
    look: dict[str, Any] = {"color": "white", "markeredgecolor": INK, "markersize": 3, "markeredgewidth": 0.7}
    axes.plot(values, [y] * len(values), "o", label="_seeds", zorder=4, **look)
    _note(axes, y, max(mean + deviation, *values), f"{mean:.1f} ± {deviation:.1f}", MEASURED)


def _note(axes: Axes, y: float, x: float, text: str, colour: str) -> None:
    options: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
    axes.annotate(text, (x, y), (6, 0), size=SMALL, color=colour, **options)


def _legend(axes: Axes, published_name: str, measured_name: str, beside: bool) -> None:
    handles = [
        Line2D([], [], color=PUBLISHED, marker="D", linestyle="", markerfacecolor="white", label=published_name),
        Line2D([], [], color=MEASURED, marker="o", linestyle="", markersize=7, label=measured_name),
    ]
    options: dict[str, Any] = {
        "borderaxespad": 0.2,
        "handletextpad": 0.2,
        "columnspacing": 1.4,
        "ncols": 2 if beside else 1,
    }
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.01, 1.0), **options)
