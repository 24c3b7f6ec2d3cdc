"""Rank-1 of published methods by year and family, and what was measured here, marked apart."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crreid.errors import InputError
from crreid.figures.labels import broken, spread
from crreid.figures.style import (
    INK,
    MEASURED,
    MUTED,
    PUBLISHED,
    RANK1_LABEL,
    SMALL,
    WIDTH,
    new_figure,
    place,
    readable,
    styled,
    text_width,
)

__all__ = ["rank1_by_year"]

# blue is left to what was measured; a family looks the same whichever others a data set has
FAMILY_STYLES = {
    "conventional re-ID": (PUBLISHED, "o"),
    "dictionary and metric learning": ("#E69F00", "s"),
    "super-resolution": ("#D55E00", "^"),
    "resolution-invariant representation": ("#009E73", "D"),
    "super-resolution and representation": ("#CC79A7", "v"),
}
OTHER_STYLES = (("#56B4E9", "P"), (INK, "X"), ("#8A6D3B", "<"), ("#7F3C8D", ">"))
HEIGHT, LINE = 3.7, 0.15
BEFORE, AFTER, GAP = 0.1, 0.05, 0.17  # inches: before a point, after its name, between the two
LANE, LANES, CLEAR = 0.1, 3, 0.09  # inches: points that would cover one another stand side by side
LONG = 1.0  # inches: longer names are broken
COLUMNS = ("method", "year", "family", "rank1", "measured")


@dataclass(frozen=True, kw_only=True)
class _Point:
    """One method: where its point is, in inches and per cent, and how it looks."""

    name: str
    rank1: float
    lane: int
    colour: str
    marker: str
    measured: bool

    @property
    def weight(self) -> str:
        return "bold" if self.measured else "normal"

    @property
    def lines(self) -> int:
        return self.name.count("\n") + 1


@styled
def rank1_by_year(
    methods: pd.DataFrame, *, published_name: str = "published", measured_name: str = "measured here"
) -> Figure:
    """Rank-1 against the year of publication: a column a year, as wide as its names; years without a method are absent.

    Published numbers are hollow, in their family's colour and marker; measured ones are solid blue stars with bold
    names. A question mark follows the name of a published number that is doubtful.

    Args:
        methods: One row a point: method, year, family, rank1 in per cent, measured (bool) and, if wanted, suspect
            (bool), as from `crreid.study.published.published_rank1`.
        published_name: Title of the legend's families, e.g. `published, MLR-Market-1501`.
        measured_name: In the legend, e.g. `measured here, synthetic data`.

    Raises:
        InputError: No rows, a missing column, a method twice, more than four families besides the known, or a rank-1
            out of [0, 100].
    """
    _check(methods)
    styles = _styles(list(dict.fromkeys(methods.loc[~methods["measured"].astype(bool), "family"])))
    limits = _limits(methods["rank1"].to_numpy(dtype=float))
    unit = (limits[1] - limits[0]) / HEIGHT
    years = sorted(methods["year"].astype(int).unique().tolist())
    columns = {year: _points(methods[methods["year"] == year], styles, unit) for year in years}
    needs = [_need(points) for points in columns.values()]
    left, right, bottom = 0.58, 0.05, 0.5
    keys = [*styles, *([measured_name] if methods["measured"].any() else [])]
    lines = _legend_lines(keys)
    top = 0.3 + 0.19 * lines
    spare = max(0.0, WIDTH - left - right - sum(needs)) / len(needs)
    widths = [need + spare for need in needs]
    figure = new_figure(left + sum(widths) + right, top + HEIGHT + bottom)
    axes = place(figure, left, top, sum(widths), HEIGHT)
    axes.set(xlim=(0, sum(widths)), ylim=limits, ylabel=RANK1_LABEL, xlabel="year of publication")
    axes.grid(axis="x", visible=False)
    start, middles = 0.0, []
    for index, (width, points) in enumerate(zip(widths, columns.values(), strict=True)):
        if index % 2:
            axes.axvspan(start, start + width, color="#F5F5F5", zorder=0, linewidth=0)
        _draw(axes, points, start + BEFORE, limits)
        middles.append(start + width / 2)
        start += width
    axes.set_xticks(middles, [str(year) for year in columns])
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    _legend(axes, styles, keys, published_name, lines)
    return figure


def _check(methods: pd.DataFrame) -> None:
    for column in COLUMNS:
        if column not in methods.columns:
            raise InputError(f"methods lacks the column {column!r}; expected {', '.join(COLUMNS)}")
    if methods.empty:
        raise InputError("methods is empty; expected a row for each method")
    for method, rank1 in methods[["method", "rank1"]].itertuples(index=False):
        if not (np.isfinite(rank1) and 0 <= rank1 <= 100):
            raise InputError(f"method {method}: rank1 is {rank1}; expected per cent, a number from 0 to 100")
    twice = methods[methods.duplicated(["method", "measured"])]
    if len(twice):
        raise InputError(f"methods has {twice['method'].iloc[0]} twice; expected one row a method, e.g. mean of seeds")


def _styles(families: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each family, those that are known first."""
    others = [family for family in families if family not in FAMILY_STYLES]
    if len(others) > len(OTHER_STYLES):
        raise InputError(f"methods has {len(others)} families besides the known; expected at most {len(OTHER_STYLES)}")
    known = {family: look for family, look in FAMILY_STYLES.items() if family in families}
    return known | dict(zip(others, OTHER_STYLES, strict=False))


def _points(of_year: pd.DataFrame, styles: dict[str, tuple[str, str]], unit: float) -> list[_Point]:
    """A year's points from the least up, each in the first lane where it covers no other; unit is per cent an inch."""
    points: list[_Point] = []
    for row in of_year.sort_values("rank1", kind="stable").to_dict("records"):
        rank1, measured = float(row["rank1"]), bool(row["measured"])
        near = {point.lane for point in points if rank1 - point.rank1 < CLEAR * unit}
        free = [lane for lane in range(LANES) if lane not in near]
        colour, marker = (MEASURED, "*") if measured else styles[row["family"]]
        name = broken(str(row["method"]), LONG, SMALL, "bold")
        points.append(
            _Point(
                name=f"{name} ?" if _is_suspect(row) else name,
                rank1=rank1,
                lane=free[0] if free else len(points) % LANES,
                colour=colour,
                marker=marker,
                measured=measured,
            )
        )
    return points


def _is_suspect(row: dict[Hashable, object]) -> bool:
    """Whether a published number is doubtful; rows that were joined from several tables may not say."""
    return row.get("suspect") is True and not row["measured"]


def _need(points: list[_Point]) -> float:
    """Inches that a year's points and names take."""
    widest = max(text_width(point.name, SMALL, point.weight) for point in points)
    return BEFORE + LANE * max(point.lane for point in points) + GAP + widest + AFTER


def _limits(values: np.ndarray) -> tuple[float, float]:
    """From the ten below the least to the ten above the greatest, and a little room."""
    low, high = 10 * np.floor(values.min() / 10), 10 * np.ceil(values.max() / 10)
    return float(max(0, low) - (1 if low > 0 else 0)), float(max(high, low + 10) + 1)


def _draw(axes: Axes, points: list[_Point], x: float, limits: tuple[float, float]) -> None:
    """Points of one year and their names, each joined to its point."""
    unit = (limits[1] - limits[0]) / HEIGHT
    rooms = [point.lines * LINE * unit for point in points]
    heights = spread([point.rank1 for point in points], rooms, limits[0] + 0.07 * unit, limits[1] - 0.07 * unit)
    names = x + LANE * max(point.lane for point in points) + GAP
    for point, height in zip(points, heights, strict=True):
        fill, at = point.colour if point.measured else "white", x + LANE * point.lane
        axes.plot([at, names - 0.02], [point.rank1, height], color=point.colour, linewidth=0.6, zorder=2)
        axes.plot(
            at,
            point.rank1,
            point.marker,
            color=point.colour,
            markerfacecolor=fill,
            markeredgewidth=1.2,
            markersize=9 if point.measured else 5.5,
            zorder=4 if point.measured else 3,
            clip_on=False,
        )
        text: dict[str, Any] = {"size": SMALL, "weight": point.weight, "va": "center", "color": readable(point.colour)}
        axes.text(names, height, point.name, linespacing=1.0, **text)


def _legend_lines(keys: list[str]) -> int:
    """Lines of the legend when entries of one width are set side by side."""
    widest = max(text_width(key, 9) for key in keys) + 0.42
    per_line = max(1, int((WIDTH - 0.1) / widest))
    return -(-len(keys) // per_line)


def _legend(axes: Axes, styles: dict[str, tuple[str, str]], keys: list[str], published_name: str, lines: int) -> None:
    handles = []
    for key in keys:
        colour, marker = styles.get(key, (MEASURED, "*"))
        fill, size = ("white", 5.5) if key in styles else (colour, 9)
        options: dict[str, Any] = {"markerfacecolor": fill, "markersize": size, "markeredgewidth": 1.2, "linestyle": ""}
        handles.append(Line2D([], [], color=colour, marker=marker, label=key, **options))
    legend = axes.legend(
        handles=handles,
        title=published_name,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=-(-len(keys) // lines),
        alignment="left",
        borderaxespad=0.2,
        handlelength=1.0,
        handletextpad=0.5,
        columnspacing=1.2,
        title_fontproperties={"size": 9, "weight": "bold"},
    )
    legend.get_title().set_color(MUTED)
