"""What methods gain and cost: rank-1 against multiply-adds and against the speed of training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from crreid.errors import InputError
from crreid.figures.style import (
    MUTED,
    RANK1_LABEL,
    SMALL,
    WIDTH,
    LineStyle,
    method_styles,
    new_figure,
    place,
    styled,
    text_width,
    write,
)

__all__ = ["method_cost", "pareto_front"]

HEIGHT, LINE, CLEAR, GAP = 2.6, 0.15, 0.06, 0.03  # inches: of a panel, of a name, around a point, between names
COLUMNS = ("row", "rank1", "multiply_adds", "pairs_per_second")
STEPS = (0.0, 0.1, 0.2, 0.32, 0.46, 0.62, 0.8)  # inches that a name moves up or down to find room


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One panel: which column, under which label, whether less of it is better."""

    column: str
    label: str
    less: bool


PANELS = (
    _Panel(column="multiply_adds", label="multiply-adds per image (billions), fewer to the left", less=True),
    _Panel(column="pairs_per_second", label="training pairs per second, faster to the right", less=False),
)


def pareto_front(costs: pd.Series[float], values: pd.Series[float]) -> list[str]:
    """The names, by rising cost, of which no other has a value as high for as little; of equals all stay.

    Args:
        costs: By name; less is better.
        values: By the same names; more is better.
    """
    beaten = {
        one
        for one in costs.index
        for other in costs.index
        if costs[other] <= costs[one]
        and values[other] >= values[one]
        and (costs[other] < costs[one] or values[other] > values[one])
    }
    return [str(name) for name in costs.sort_values(kind="stable").index if name not in beaten]


@styled
def method_cost(costs: pd.DataFrame, *, measured_name: str = "measured here") -> Figure:
    """One point a method in each of two panels: rank-1 against multiply-adds, and against pairs a second in training.

    Both axes of cost are logarithmic. A dashed line joins the methods that no other beats at less cost.

    Args:
        costs: One line a method: row, rank1 in per cent, multiply_adds of an image, pairs_per_second of training, both
            above 0, as `crreid.study.method_costs.method_costs` measures them.
        measured_name: What the points are, e.g. `measured here, synthetic data`.

    Raises:
        InputError: No rows, a missing column, a method twice, or a number out of range.
    """
    _check(costs)
    known = costs.set_index("row")[list(COLUMNS[1:])].astype(float)
    styles = method_styles(list(known.index))
    left, top, between, bottom = 0.62, 0.34, 0.66, 0.5
    figure = new_figure(WIDTH, top + len(PANELS) * HEIGHT + (len(PANELS) - 1) * between + bottom)
    write(figure, left, 0.08, f"{measured_name}; dashed: no method is better at less cost", size=SMALL, color=MUTED)
    for number, panel in enumerate(PANELS):
        axes = place(figure, left, top + number * (HEIGHT + between), WIDTH - left - 0.1, HEIGHT)
        _draw(axes, known, panel, styles)
    return figure


def _check(costs: pd.DataFrame) -> None:
    for column in COLUMNS:
        if column not in costs.columns:
            raise InputError(f"costs lacks the column {column!r}; expected {', '.join(COLUMNS)}")
    if costs.empty:
        raise InputError("costs is empty; expected a row for each method")
    if costs["row"].duplicated().any():
        raise InputError(f"costs has {costs.loc[costs['row'].duplicated(), 'row'].iloc[0]} twice; expected it once")
    for row, rank1, *others in costs[list(COLUMNS)].itertuples(index=False):
        if not (np.isfinite(rank1) and 0 <= rank1 <= 100):
            raise InputError(f"method {row}: rank1 is {rank1}; expected per cent, from 0 to 100")
        for column, value in zip(COLUMNS[2:], others, strict=True):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"method {row}: {column} is {value}; expected a finite number above 0")


def _draw(axes: Axes, known: pd.DataFrame, panel: _Panel, styles: dict[str, LineStyle]) -> None:
    values = known[panel.column] * (1e-9 if panel.column == "multiply_adds" else 1.0)
    axes.set(xscale="log", xlabel=panel.label, ylabel=RANK1_LABEL)
    low, high = float(values.min()), float(values.max())
    room = max((high / low) ** 0.14, 1.25)
    bottom, top = float(known["rank1"].min()), float(known["rank1"].max())
    margin = max(0.12 * (top - bottom), 1.0)
    axes.set(xlim=(low / room, high * room), ylim=(bottom - margin, top + margin))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))  # shorter than halves
    ticks = _ticks(low / room, high * room)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xticks(ticks)
    front = known.loc[pareto_front(values if panel.less else 1 / values, known["rank1"])]
    axes.plot(values[front.index], front["rank1"], "--", color=MUTED, linewidth=1, label="_front", zorder=1)
    for row, line in styles.items():
        axes.plot(
            values[row], known["rank1"][row], line.marker, color=line.colour, markersize=8, label="_measured", zorder=3
        )
    _name(axes, values, known["rank1"], styles, list(front.index))


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten, or as many of their multiples as it takes for three ticks."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 2, 3, 5, 7), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [factor * 10.0**power for power in exponents for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            break
    return ticks


def _name(
    axes: Axes, values: pd.Series[float], rank1: pd.Series[float], styles: dict[str, LineStyle], front: list[str]
) -> None:
    """Names beside the points, where no other name, point or front is; a line leads to those further away."""
    (left, right), (low, high) = np.log10(axes.get_xlim()), axes.get_ylim()
    width = axes.get_position().width * WIDTH
    points = {
        str(row): ((np.log10(values[row]) - left) / (right - left) * width, (rank1[row] - low) / (high - low) * HEIGHT)
        for row in values.index
    }
    filled = [*points.values(), *_between([points[row] for row in front])]
    taken = [(x - CLEAR, y - CLEAR, x + CLEAR, y + CLEAR) for x, y in filled]
    for row in sorted(points, key=lambda name: -points[name][1]):
        box = _free(points[row], text_width(row, SMALL, "bold"), taken, width)
        taken.append(box)
        beside = box[0] > points[row][0]
        end = (box[0] if beside else box[2]), (box[1] + box[3]) / 2
        line: dict[str, Any] = {"color": styles[row].colour, "linewidth": 0.7, "label": "_leader", "zorder": 1.5}
        xs, ys = zip(points[row], end, strict=True)
        axes.plot(
            10 ** (left + np.array(xs) / width * (right - left)), low + np.array(ys) / HEIGHT * (high - low), **line
        )
        at = 10 ** (left + end[0] / width * (right - left)), low + end[1] / HEIGHT * (high - low)
        align = "left" if beside else "right"
        axes.text(*at, row, va="center", ha=align, size=SMALL, weight="bold", color=styles[row].ink)


def _between(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places along a broken line, from its corners."""
    return [
        (x + (right - x) * part / 12, y + (top - y) * part / 12)
        for (x, y), (right, top) in pairwise(corners)
        for part in range(1, 12)
    ]


def _free(
    point: tuple[float, float], length: float, taken: list[tuple[float, float, float, float]], width: float
) -> tuple[float, float, float, float]:
    """The box of a name, (left, bottom, right, top) in inches, nearest to its point that covers nothing."""
    x, y = point
    candidates = [
        (start, y + up - LINE / 2, start + length, y + up + LINE / 2)
        for step in STEPS
        for beside in (0.1, 0.25, 0.45)
        for up in ((0.0,) if step == 0 else (step, -step))
        for start in (x + beside, x - beside - length)
    ]
    inside = [box for box in candidates if box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= HEIGHT]
    inside = inside or candidates
    return min(inside, key=lambda box: sum(_shared(box, other) for other in taken))


def _shared(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Square inches that two boxes share, a gap between them counted."""
    across = min(one[2], other[2]) - max(one[0], other[0]) + GAP
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0.0) * max(down, 0.0)
