"""How near restored images come to the originals: PSNR and SSIM by the rate of what came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crreid.errors import InputError
from crreid.figures.labels import broken, spread
from crreid.figures.style import (
    MUTED,
    SMALL,
    LineStyle,
    method_styles,
    new_figure,
    place,
    styled,
    text_width,
)

__all__ = ["restoration_quality"]

LABELS = {"psnr": "PSNR (dB)", "ssim": "SSIM"}
RATE_LABEL = "rate by which images are shrunk"
WIDE = 7.6  # inches, for two panels
HEIGHT, LINE = 2.6, 0.15
LONG = 1.05  # inches: longer names are broken


@styled
def restoration_quality(scores: pd.DataFrame, *, unseen: float | None = None) -> Figure:
    """PSNR and SSIM against the rate, one panel each, one line a row; each line is named at its end.

    Several numbers of one row and rate, e.g. of several seeds, become their mean and a band of one standard deviation.
    Rates are spaced evenly; axes start where the numbers do, as neither measure has a zero that means anything here.

    Args:
        scores: Columns row, rate, psnr in dB and ssim, at most 1.
        unseen: The least rate that training did not show; rates from there on stand on grey.

    Raises:
        InputError: No rows, a missing column, a number that is not finite, an SSIM above 1, or a row that lacks a rate.
    """
    tables = {metric: _table(scores, metric) for metric in LABELS}
    rows, rates = list(tables["psnr"][0].columns), list(tables["psnr"][0].index)
    styles = method_styles(rows)
    named = max(text_width(broken(row, LONG, SMALL, "bold"), SMALL, "bold") for row in rows) + 0.32
    left, top, bottom, between = 0.6, 0.34, 0.55, 0.72
    width = (WIDE - left - between - 2 * named) / 2
    if width < 1.2:
        raise InputError("scores has a row with too long a word in its name; expected at most about 15 letters")
    figure = new_figure(WIDE, top + HEIGHT + bottom)
    for index, (metric, (mean, deviation)) in enumerate(tables.items()):
        axes = place(figure, left + index * (width + named + between), top, width, HEIGHT)
        axes.set(xlim=(-0.15, len(rates) - 0.85), ylabel=LABELS[metric], xlabel=RATE_LABEL)
        axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
        axes.grid(axis="x", visible=False)
        axes.set_ylim(*_limits(mean, deviation))
        if unseen is not None:
            _shade(axes, rates, unseen)
        for row in rows:
            _draw(axes, mean[row], deviation[row], styles[row])
        _name(axes, mean, styles)
    return figure


def _table(scores: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means and deviations of a metric, rates by rows."""
    for column in ("row", "rate", metric):
        if column not in scores.columns:
            raise InputError(f"scores lacks the column {column!r}; expected row, rate, psnr, ssim")
    if scores.empty:
        raise InputError("scores is empty; expected a line for each row and rate")
    most = 1.0 if metric == "ssim" else np.inf
    for row, rate, value in scores[["row", "rate", metric]].itertuples(index=False):
        if not (np.isfinite(value) and value <= most):
            expected = "a finite number" if metric == "psnr" else "a number of at most 1"
            raise InputError(f"scores of {row} at rate {rate:g}: {metric} is {value}; expected {expected}")
    groups = scores.groupby(["rate", "row"])[metric]
    order = list(dict.fromkeys(scores["row"]))
    mean, deviation = groups.mean().unstack()[order], groups.std().unstack()[order]
    for row in order:
        if mean[row].isna().any():
            rate = mean.index[mean[row].isna()][0]
            raise InputError(f"scores has no line of {row} at rate {rate:g}; expected all rows at all rates")
    return mean, deviation


def _limits(mean: pd.DataFrame, deviation: pd.DataFrame) -> tuple[float, float]:
    """A little beyond everything that is drawn."""
    around = deviation.fillna(0.0)
    low, high = float((mean - around).min().min()), float((mean + around).max().max())
    room = 0.08 * max(high - low, 0.02)
    return low - room, high + room


def _shade(axes: Axes, rates: list[float], unseen: float) -> None:
    """Grey behind the rates from the first unseen one on."""
    beyond = [index for index, rate in enumerate(rates) if rate >= unseen]
    if not beyond:
        return
    axes.axvspan(beyond[0] - 0.5, axes.get_xlim()[1], color="#F1F1F1", zorder=0, linewidth=0)
    middle = (beyond[0] - 0.5 + axes.get_xlim()[1]) / 2
    axes.annotate(
        "not trained on",
        (middle, 1),
        (0, 3),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="center",
        size=SMALL,
        color=MUTED,
        annotation_clip=False,
    )


def _draw(axes: Axes, mean: pd.Series[float], deviation: pd.Series[float], line: LineStyle) -> None:
    places, values = np.arange(len(mean)), mean.to_numpy()
    if deviation.notna().all():
        spread_ = deviation.to_numpy()
        axes.fill_between(places, values - spread_, values + spread_, color=line.colour, alpha=0.18, linewidth=0)
    look: dict[str, Any] = {
        "color": line.colour,
        "linestyle": line.dashes,
        "marker": line.marker,
        "markeredgecolor": "white",
    }
    axes.plot(places, values, label=str(mean.name), clip_on=False, **look)


def _name(axes: Axes, mean: pd.DataFrame, styles: Mapping[str, LineStyle]) -> None:
    """Names beside the last points, moved apart where they would touch."""
    ends, (low, high), last = mean.iloc[-1], axes.get_ylim(), axes.get_xlim()[1]
    unit = (high - low) / HEIGHT
    names = [broken(row, LONG, SMALL, "bold") for row in mean.columns]
    rooms = [(name.count("\n") + 1) * LINE * unit for name in names]
    for row, name, height in zip(mean.columns, names, spread(ends.to_list(), rooms, low, high), strict=True):
        start, stop = (len(mean) - 1, ends[row]), (last + 0.12, height)
        line = styles[row]
        axes.plot(*zip(start, stop, strict=True), color=line.colour, linewidth=0.7, clip_on=False, label="_leader")
        text: dict[str, Any] = {
            "size": SMALL,
            "weight": "bold",
            "color": line.ink,
            "va": "center",
            "linespacing": 1.0,
            "annotation_clip": False,
        }
        axes.annotate(name, stop, (2, 0), textcoords="offset points", **text)
