"""What a super-resolution module gains and costs: rank-1 against multiply-adds, and the other costs as bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crreid.errors import InputError
from crreid.figures.labels import spread
from crreid.figures.style import (
    INK,
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
)

__all__ = ["module_cost"]

COLUMNS = ("module", "rank1", "multiply_adds", "parameters")
HEIGHT, LINE, ROW = 2.7, 0.15, 0.24
MULTIPLY_ADDS_LABEL = "multiply-adds of the module per image (billions)"


BESIDE = 0.16  # inches from the last point of a group to its names


@dataclass(frozen=True, kw_only=True)
class _Bars:
    """A panel of bars: which column, under which title, in which unit."""

    column: str
    title: str
    scale: float


BARS = (
    _Bars(column="parameters", title="parameters (thousands)", scale=1e-3),
    _Bars(column="latency_milliseconds", title="latency (ms)", scale=1.0),
    _Bars(column="peak_bytes", title="peak memory (MiB)", scale=2.0**-20),
)


@styled
def module_cost(
    costs: pd.DataFrame, *, published_name: str = "published", measured_name: str = "measured here"
) -> Figure:
    """One point a module: rank-1 against multiply-adds on a logarithmic axis; below, bars of the other costs.

    A module without multiply-adds, e.g. bicubic enlargement, stands left of the axis' break. Several lines of one
    module, e.g. of several seeds, become their mean and a bar of one standard deviation.

    Args:
        costs: Columns module, rank1 in per cent, multiply_adds (of one image, at least 0), parameters (at least 0) and,
            if wanted, latency_milliseconds and peak_bytes, as `crreid.evaluation.cost` measures them, and
            published_rank1 in per cent (not a number where none): hollow, at the multiply-adds of what was measured.
        published_name: In the legend, e.g. `published, MLR-Market-1501`.
        measured_name: In the legend, e.g. `measured here, synthetic data`.

    Raises:
        InputError: No rows, a missing column, or a number that is not finite or out of range.
    """
    _check(costs)
    bars = [bar for bar in BARS if bar.column in costs.columns]
    modules = list(dict.fromkeys(costs["module"]))
    means = costs.groupby("module", sort=False)[[c for c in costs.columns if c != "module"]].mean()
    deviations = costs.groupby("module", sort=False)["rank1"].std()
    styles = method_styles(modules)
    named = "published_rank1" in means
    beside = text_width(f"{published_name}{measured_name}", 9) + 1.0 < WIDTH
    left, between, bottom = 0.62, 0.95, 0.12
    top = 0.1 + (0 if not named else 0.25 if beside else 0.45)
    down = top + HEIGHT + between
    figure = new_figure(WIDTH, down + len(modules) * ROW + bottom)
    axes = place(figure, left, top, WIDTH - left - 0.1, HEIGHT)
    xs = _prepare(axes, means)
    axes.set(ylim=_limits(means, deviations), ylabel=RANK1_LABEL)
    for module in modules:
        _draw(axes, xs[module], means.loc[module], deviations[module], styles[module])
    _name(axes, means, xs, styles)
    if named:
        _legend(axes, published_name, measured_name, beside)
    _draw_bars(figure, means, bars, styles, down)
    return figure


def _check(costs: pd.DataFrame) -> None:
    for column in COLUMNS:
        if column not in costs.columns:
            raise InputError(f"costs lacks the column {column!r}; expected {', '.join(COLUMNS)}")
    if costs.empty:
        raise InputError("costs is empty; expected a row for each module")
    highest = {"rank1": 100.0, "published_rank1": 100.0}
    for column in (*COLUMNS[1:], "latency_milliseconds", "peak_bytes", "published_rank1"):
        if column not in costs.columns:
            continue
        most = highest.get(column, np.inf)
        for module, value in costs[["module", column]].itertuples(index=False):
            if column == "published_rank1" and np.isnan(value):
                continue
            if not (np.isfinite(value) and 0 <= value <= most):
                expected = "per cent, from 0 to 100" if most == 100 else "a finite number of at least 0"
                raise InputError(f"module {module}: {column} is {value}; expected {expected}")


def _prepare(axes: Axes, means: pd.DataFrame) -> pd.Series[float]:
    """Sets the axis of multiply-adds, in inches behind its labels, and returns where on it each module is."""
    billions = means["multiply_adds"] / 1e9
    positive = billions[billions > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
    inches = axes.get_position().width * WIDTH
    names = {module: text_width(module, SMALL, "bold") + BESIDE + 0.1 for module in means.index}
    free = [0.2 + names[module] for module in means.index if billions[module] == 0]
    start = max(free, default=0.0)  # inches where the logarithmic part starts
    room = inches - start - 0.2 - max(names.values())
    unit = max(float(np.log10(high / low)), 0.3) / room  # decades an inch
    axes.set(xlim=(0, inches), xlabel=MULTIPLY_ADDS_LABEL)
    if free:
        axes.axvline(start, color="#BBBBBB", linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    reach = low * 10 ** (-0.2 * unit), low * 10 ** ((inches - start - 0.2) * unit)
    ticks = {f"{value:g}": start + 0.2 + float(np.log10(value / low)) / unit for value in _ticks(*reach)}
    ticks |= {"none": 0.2} if free else {}
    axes.set_xticks(list(ticks.values()), list(ticks))
    places = start + 0.2 + np.log10(billions.where(billions > 0, low).to_numpy(dtype=float) / low) / unit
    return pd.Series(np.where(billions > 0, places, 0.2), index=billions.index)


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten and, where these are few, their double and fivefold."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    tens = [10.0**exponent for exponent in exponents if low <= 10.0**exponent <= high]
    if len(tens) >= 3:
        return tens
    return [f * 10.0**e for e in exponents for f in (1, 2, 5) if low <= f * 10.0**e <= high]


def _limits(means: pd.DataFrame, deviations: pd.Series[float]) -> tuple[float, float]:
    around = deviations.fillna(0.0)
    ends = [means["rank1"] - around, means["rank1"] + around]
    values = pd.concat([*ends, *([means["published_rank1"]] if "published_rank1" in means else [])]).dropna()
    low, high = float(values.min()), float(values.max())
    room = max(0.1 * (high - low), 1.0)
    return max(0.0, low - room), high + room


def _draw(axes: Axes, x: float, mean: pd.Series[float], deviation: float, line: LineStyle) -> None:
    if np.isfinite(deviation):
        axes.errorbar(x, mean["rank1"], deviation, color=INK, capsize=2.5, linewidth=1.1, zorder=2)
    axes.plot(x, mean["rank1"], line.marker, color=line.colour, markersize=8, label="_measured", zorder=3)
    if np.isfinite(mean.get("published_rank1", np.nan)):
        look: dict[str, Any] = {
            "color": line.colour,
            "markerfacecolor": "white",
            "markersize": 6.5,
            "markeredgewidth": 1.3,
        }
        axes.plot(x, mean["published_rank1"], line.marker, label="_published", zorder=3, **look)


def _name(axes: Axes, means: pd.DataFrame, xs: pd.Series[float], styles: dict[str, LineStyle]) -> None:
    """Names right of the points; those of points near each other stand in one column beyond the last of these."""
    low, high = axes.get_ylim()
    unit = (high - low) / HEIGHT
    groups: list[list[str]] = []
    for module in xs.sort_values(kind="stable").index:
        if groups and xs[module] - xs[groups[-1][-1]] < text_width(groups[-1][-1], SMALL, "bold") + BESIDE + 0.1:
            groups[-1].append(module)
        else:
            groups.append([module])
    for group in groups:
        column = max(xs[module] for module in group) + BESIDE
        heights = spread(means.loc[group, "rank1"].to_list(), LINE * unit, low, high)
        for module, height in zip(group, heights, strict=True):
            line = styles[module]
            ends = [xs[module], column - 0.02], [means["rank1"][module], height]
            axes.plot(*ends, color=line.colour, linewidth=0.7, label="_leader", zorder=1.5)
            axes.text(column, height, module, va="center", size=SMALL, weight="bold", color=line.ink)


def _legend(axes: Axes, published_name: str, measured_name: str, beside: bool) -> None:
    handles = [
        Line2D([], [], color=MUTED, marker="o", linestyle="", markersize=size, markerfacecolor=fill, label=name)
        for name, size, fill in ((published_name, 6.5, "white"), (measured_name, 8, MUTED))
    ]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=2 if beside else 1,
        borderaxespad=0.1,
        handletextpad=0.2,
        columnspacing=1.4,
    )


def _draw_bars(
    figure: Figure, means: pd.DataFrame, bars: list[_Bars], styles: dict[str, LineStyle], top: float
) -> None:
    """A panel for each cost, with the value at each bar."""
    left = max(text_width(module, 9) for module in means.index) + 0.15
    gap = 0.2
    width = (WIDTH - left - 0.08 - gap * (len(bars) - 1)) / len(bars)
    for index, bar in enumerate(bars):
        axes = place(figure, left + index * (width + gap), top, width, len(means) * ROW)
        values = means[bar.column] * bar.scale
        labels = [_short(value) for value in values]
        room = 1 - (max(text_width(label, SMALL) for label in labels) + 0.08) / width
        axes.set(xlim=(0, max(float(values.max()), 1e-9) / room), ylim=(len(means) - 0.5, -0.5))
        axes.barh(range(len(means)), values, 0.62, color=[styles[module].colour for module in means.index])
        for row, (value, label) in enumerate(zip(values, labels, strict=True)):
            axes.annotate(label, (value, row), (3, -0.5), textcoords="offset points", va="center", size=SMALL)
        axes.set_yticks(range(len(means)), list(means.index) if index == 0 else [])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_xticks([])
        axes.grid(False)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(bar.title, size=SMALL, weight="normal", color=MUTED, pad=3)


def _short(value: float) -> str:
    """Two digits that matter or more, and thousands set off."""
    if value == 0:
        return "0"
    digits = max(0, 1 - int(np.floor(np.log10(value))))
    return f"{value:,.{digits}f}"
