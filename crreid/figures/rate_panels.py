"""Many systems against the rate: a panel each, the others in grey behind it, and bold where it is the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crreid.errors import InputError
from crreid.figures.panels import LINE, fit_captions
from crreid.figures.style import (
    INK,
    MUTED,
    RANK1_LABEL,
    RATE_LABEL,
    SMALL,
    LineStyle,
    method_styles,
    new_figure,
    place,
    styled,
    text_width,
    write,
)

__all__ = ["rate_panels"]

WIDE = 8.4  # inches
COLUMNS = 5
LEFT, TOP, BOTTOM, BETWEEN, TITLE, HEIGHT = 0.55, 0.1, 0.72, 0.17, 0.42, 1.45
MARKS = ("bold: where it is the best", "○ where the best system changes", "▲ rates of the training")
OTHERS, BAND = "#C6C6C6", "#EFF4F8"


@styled
def rate_panels(scores: pd.DataFrame, best: pd.DataFrame, *, seen: Sequence[float] = ()) -> Figure:
    """Rank-1 against the rate, one panel a system: its curve in colour, all others in grey.

    Several rows of one system and rate, e.g. of several seeds, become their mean. The curve is bold where no other is
    higher, and hollow circles stand where the best system changes. Numbers are rank-1 at the first and the last rate.

    Args:
        scores: Columns method, rate and rank1 in per cent, as from `crreid.figures.resolution_curve.resolution_scores`.
        best: Columns system, start, stop (rates), in order, as from `crreid.study.unseen.best_by_rate`.
        seen: Rates of the training: marked on the axis, the range between them shaded.

    Raises:
        InputError: No rows, a missing column, a number that is not finite, or a system that lacks a rate.
    """
    means = _means(scores)
    styles = method_styles(list(means.columns))
    columns = min(COLUMNS, len(means.columns))
    rows = math.ceil(len(means.columns) / columns)
    width = (WIDE - LEFT - 0.12 - (COLUMNS - 1) * BETWEEN) / COLUMNS
    total = LEFT + columns * width + (columns - 1) * BETWEEN + 0.12
    marks = _marks(seen, total - LEFT)
    below = BOTTOM + (len(marks) - 1) * LINE
    figure = new_figure(total, TOP + rows * (TITLE + HEIGHT) + (rows - 1) * 0.12 + below)
    last = 0.0
    for index, system in enumerate(means.columns):
        row, column = divmod(index, columns)
        left, top = LEFT + column * (width + BETWEEN), TOP + row * (TITLE + HEIGHT + 0.12)
        axes = place(figure, left, top + TITLE, width, HEIGHT)
        lowest = index + columns >= len(means.columns)
        _prepare(axes, means, seen, first=column == 0, lowest=lowest)
        _draw(axes, means, str(system), styles[system], best)
        _title(figure, left, top, width, str(system), styles[system], _where(best, str(system)))
        last = max(last, top + TITLE + HEIGHT)
    _explain(figure, last, total, marks)
    return figure


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    """Rates by systems, in the order of the scores."""
    for column in ("method", "rate", "rank1"):
        if column not in scores.columns:
            raise InputError(f"scores lacks the column {column!r}; expected method, rate, rank1")
    if scores.empty:
        raise InputError("scores is empty; expected a row for each system and rate")
    values = scores["rank1"].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise InputError(f"scores has rank1 {values[~np.isfinite(values)][0]}; expected a finite number")
    means = scores.groupby(["rate", "method"])["rank1"].mean().unstack()[list(dict.fromkeys(scores["method"]))]
    for system in means.columns:
        if means[system].isna().any():
            rate = means.index[means[system].isna()][0]
            raise InputError(f"scores has no row of {system} at rate {rate:g}; expected all systems at all rates")
    return means


def _prepare(axes: Axes, means: pd.DataFrame, seen: Sequence[float], *, first: bool, lowest: bool) -> None:
    """Axes that all panels share, the seen rates marked."""
    low, high = float(means.index[0]), float(means.index[-1])
    room = 0.04 * max(high - low, 1.0)
    most = float(means.to_numpy().max())
    step = next(step for step in (5, 10, 20, 25) if most <= 4.4 * step or step == 25)
    axes.set(xlim=(low - room, high + room), ylim=(0, max(1.12 * most, step)))
    axes.set_yticks(np.arange(0, max(1.12 * most, step + 1), step))
    whole = [rate for rate in means.index if rate == int(rate)]
    axes.set_xticks(whole, [f"{rate:g}" for rate in whole])
    axes.grid(axis="x", visible=False)
    axes.tick_params(labelleft=first, labelbottom=lowest, labelsize=SMALL)
    if len(seen):
        axes.axvspan(min(seen), max(seen), color=BAND, linewidth=0, zorder=0, label="_seen")
        axes.plot(
            list(seen),
            [0] * len(seen),
            "^",
            color=INK,
            markersize=4.5,
            markeredgewidth=0,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            zorder=5,
            label="_seen",
        )


def _draw(axes: Axes, means: pd.DataFrame, system: str, line: LineStyle, best: pd.DataFrame) -> None:
    rates, own = means.index.to_numpy(dtype=float), means[system].to_numpy()
    for other in means.columns:
        if other != system:
            axes.plot(rates, means[other], color=OTHERS, linewidth=0.8, label="_other", zorder=1.5)
    for start, stop in best.loc[best["system"] == system, ["start", "stop"]].itertuples(index=False):
        inside = np.array([start, *rates[(rates > start) & (rates < stop)], stop])
        heights = np.interp(inside, rates, own)
        axes.plot(inside, heights, color=line.colour, linewidth=6, alpha=0.35, label="_best", zorder=2)
        changes = [rate for rate in (start, stop) if rates[0] < rate < rates[-1]]
        look: dict[str, Any] = {
            "markerfacecolor": "white",
            "markeredgecolor": INK,
            "markersize": 5.5,
            "label": "_change",
            "zorder": 4,
        }
        axes.plot(changes, np.interp(changes, rates, own), "o", linestyle="none", **look)
    axes.plot(rates, own, color=line.colour, linewidth=1.8, marker=line.marker, markersize=3.5, label=system, zorder=3)
    halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    for place_, side in ((0, "left"), (-1, "right")) if len(rates) > 1 else ((0, "left"),):
        axes.annotate(
            f"{own[place_]:.1f}",
            (rates[place_], own[place_]),
            (0, 5),
            textcoords="offset points",
            ha=side,
            va="bottom",
            size=SMALL,
            color=line.ink,
            path_effects=halo,
            zorder=6,
        )


def _where(best: pd.DataFrame, system: str) -> str:
    parts = [
        f"{round(start, 1):g}–{round(stop, 1):g}"
        for start, stop in best.loc[best["system"] == system, ["start", "stop"]].itertuples(index=False)
    ]
    return f"best at {', '.join(parts)}" if parts else "nowhere the best"


def _title(figure: Figure, left: float, top: float, width: float, system: str, line: LineStyle, said: str) -> None:
    (name,), size = fit_captions([system], width / 1.15)  # bold type is wider
    write(figure, left, top, name, size=max(size, SMALL), weight="bold", color=line.ink)
    (said,), size = fit_captions([said], width)
    write(figure, left, top + 0.19, said, size=size, color=INK if said.startswith("best") else MUTED)


def _explain(figure: Figure, bottom: float, total: float, marks: Sequence[str]) -> None:
    """Axis labels of all panels, and what the marks mean."""
    height = figure.get_size_inches()[1]
    write(figure, (LEFT + total) / 2, bottom + 0.24, RATE_LABEL, ha="center")
    write(figure, 0.05, (TOP + TITLE + bottom) / 2, RANK1_LABEL, rotation=90, va="center")
    text = "\n".join(marks)
    write(figure, (LEFT + total) / 2, height - 0.06, text, ha="center", va="bottom", size=SMALL, color=MUTED)


def _marks(seen: Sequence[float], width: float) -> list[str]:
    """What the marks mean, in lines of a width in inches."""
    lines: list[str] = []
    for mark in MARKS if len(seen) else MARKS[:-1]:
        longer = f"{lines[-1]}     {mark}" if lines else mark
        if lines and text_width(longer, SMALL) <= width:
            lines[-1] = longer
        else:
            lines.append(mark)
    return lines
