"""How retrieval suffers as queries get smaller: scores against the rate of all queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from crreid.errors import InputError
from crreid.figures.labels import spread
from crreid.figures.style import (
    INK,
    MAP_LABEL,
    MUTED,
    RANK1_LABEL,
    RATE_LABEL,
    SMALL,
    WIDTH,
    LineStyle,
    method_styles,
    new_figure,
    place,
    styled,
    text_width,
)

if TYPE_CHECKING:
    from crreid.records import Record

__all__ = ["resolution_curve", "resolution_scores"]

LABELS = {"rank1": RANK1_LABEL, "map_hit": MAP_LABEL, "map_trapezoid": MAP_LABEL}
WIDE = 7.6  # inches, for two panels
LIMITS = (10, 25, 50, 100)
MOST_LABELLED = 2  # with more methods, or near the axis, values at the points would cover one another
ROW = 0.17
HEIGHT = 2.5


def resolution_scores(records: Mapping[str, Sequence[Record]], *, protocol: str = "multi_shot") -> pd.DataFrame:
    """Scores at every query rate that the records hold.

    Args:
        records: Of each method, one a seed.
        protocol: `multi_shot` or `single_shot`.

    Returns:
        Columns method, seed, rate, rank1 and, under multi-shot, map_hit and map_trapezoid, in per cent.

    Raises:
        InputError: A record was not tested at single rates.
    """
    rows = []
    for method, of_method in records.items():
        for seed, record in enumerate(of_method):
            tests = [name for name in record.measured["scores"] if name.startswith("rate ")]
            if not tests:
                raise InputError(f"record {record.digest} of {method} has no scores by query rate; expected `rate 1` …")
            for test in tests:
                metrics = ("rank1",) if protocol == "single_shot" else ("rank1", "map_hit", "map_trapezoid")
                scores = {metric: record.score(metric, test=test, protocol=protocol) for metric in metrics}
                rows.append({"method": method, "seed": seed, "rate": float(test.removeprefix("rate ")), **scores})
    if not rows:
        raise InputError("records is empty; expected at least one record of one method")
    return pd.DataFrame(rows)


@styled
def resolution_curve(
    scores: pd.DataFrame, *, metrics: Sequence[str] = ("rank1",), chance: float | None = None
) -> Figure:
    """Scores against the rate by which all queries were shrunk; one panel a metric, one curve a method.

    Several rows of one method and rate, e.g. of several seeds, become their mean and a band of one standard deviation.
    Rates are spaced evenly. At the end of each curve stands what it lost on the way.

    Args:
        scores: Columns method, rate, and the metrics in per cent, as from `resolution_scores`.
        metrics: One or two of the columns, e.g. rank1 and map_trapezoid.
        chance: Rank-1 of a random ranking in per cent; a dashed line in the panel of rank1.

    Raises:
        InputError: No rows, a missing column, a number that is not finite, or a method that lacks a rate.
    """
    means, deviations = _tables(scores, metrics)
    methods, rates = list(means[metrics[0]].columns), list(means[metrics[0]].index)
    styles = method_styles(methods)
    most, least = (function([means[metric].to_numpy() for metric in metrics]) for function in (np.max, np.min))
    limit = next(limit for limit in LIMITS if limit >= 1.05 * most or limit == LIMITS[-1])
    crowded = len(methods) > MOST_LABELLED or (len(methods) > 1 and least < 0.15 * limit)
    in_rows = len(methods) if crowded else 0
    names = [text_width(method, SMALL, "bold") for method in methods]
    drops = text_width(f"{_drop(-88.8)} from rate {rates[0]:g}", SMALL)
    last, between = max([*names, drops]) + 0.2, 1.15
    left, top, bottom = 0.62, 0.2, 0.6 + in_rows * ROW + (0.06 if in_rows else 0)
    total = WIDTH if len(metrics) == 1 else WIDE
    width = (total - left - last - between * (len(metrics) - 1)) / len(metrics)
    figure = new_figure(total, top + HEIGHT + bottom)
    for index, metric in enumerate(metrics):
        axes = place(figure, left + index * (width + between), top, width, HEIGHT)
        mean, deviation = means[metric], deviations[metric]
        _prepare(axes, rates, LABELS.get(metric, f"{metric} (per cent)"), limit, in_rows)
        if chance is not None and metric == "rank1":
            _draw_chance(axes, chance)
        for method in methods:
            _draw_curve(axes, mean[method], deviation[method], styles[method], method)
        if in_rows:
            _values_below(axes, mean, styles)
        else:
            _values_at_points(axes, mean, styles)
        _label_ends(axes, mean, styles, named=index == len(metrics) - 1)
    return figure


def _tables(scores: pd.DataFrame, metrics: Sequence[str]) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Of each metric the means and the deviations, rates by methods."""
    if not 1 <= len(metrics) <= 2:
        raise InputError(f"metrics has {len(metrics)} entries; expected one or two")
    for column in ("method", "rate", *metrics):
        if column not in scores.columns:
            raise InputError(f"scores lacks the column {column!r}; it has {', '.join(map(str, scores.columns))}")
    if scores.empty:
        raise InputError("scores is empty; expected a row for each method and rate")
    means, deviations = {}, {}
    order = list(dict.fromkeys(scores["method"]))
    for metric in metrics:
        values = scores[metric].to_numpy(dtype=float)
        if not np.isfinite(values).all():
            raise InputError(f"scores has {metric} {values[~np.isfinite(values)][0]}; expected a finite number")
        groups = scores.groupby(["rate", "method"])[metric]
        means[metric] = _rates_by_methods(groups.mean())[order]
        deviations[metric] = _rates_by_methods(groups.std())[order]
        for method in order:
            if means[metric][method].isna().any():
                rate = means[metric].index[means[metric][method].isna()][0]
                raise InputError(f"scores has no row of {method} at rate {rate:g}; expected all methods at all rates")
    return means, deviations


def _rates_by_methods(values: pd.Series[float]) -> pd.DataFrame:
    """A series with the index (rate, method) as a table; not a number where there is none."""
    return values.reset_index(name="value").pivot_table("value", "rate", "method", dropna=False)


def _prepare(axes: Axes, rates: Sequence[float], label: str, limit: int, in_rows: int) -> None:
    axes.set(xlim=(-0.3, len(rates) - 0.7), ylim=(0, 1.05 * limit), ylabel=label)
    axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set_yticks(np.linspace(0, limit, 6).astype(int))
    axes.grid(axis="x", visible=False)
    axes.set_xlabel(RATE_LABEL, labelpad=3 + (72 * ROW * in_rows + 5 if in_rows else 0))


def _draw_chance(axes: Axes, chance: float) -> None:
    axes.axhline(chance, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="chance", zorder=1.5)
    left = axes.get_xlim()[0]
    above = (4, 3)
    axes.annotate(f"chance {chance:.1f}", (left, chance), above, textcoords="offset points", size=SMALL, color=MUTED)


def _draw_curve(axes: Axes, mean: pd.Series[float], deviation: pd.Series[float], line: LineStyle, name: str) -> None:
    places, values = np.arange(len(mean)), mean.to_numpy()
    if deviation.notna().all():
        band = deviation.to_numpy()
        axes.fill_between(places, values - band, values + band, color=line.colour, alpha=0.18, linewidth=0)
    axes.plot(
        places,
        values,
        color=line.colour,
        linestyle=line.dashes,
        marker=line.marker,
        markeredgecolor="white",
        label=name,
    )


def _values_at_points(axes: Axes, mean: pd.DataFrame, styles: Mapping[str, LineStyle]) -> None:
    """One method: above. Two: the better one above, the other below, at each rate."""
    halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    for place_, (_, at_rate) in enumerate(mean.iterrows()):
        for order, method in enumerate(at_rate.sort_values(ascending=False, kind="stable").index):
            offset, alignment = ((0, 6), "bottom") if order == 0 else ((0, -6), "top")
            axes.annotate(
                f"{at_rate[method]:.1f}",
                (place_, at_rate[method]),
                offset,
                textcoords="offset points",
                ha="center",
                va=alignment,
                size=SMALL,
                color=styles[method].ink,
                path_effects=halo,
            )


def _values_below(axes: Axes, mean: pd.DataFrame, styles: Mapping[str, LineStyle]) -> None:
    """Values in a row a method below the rates, with the method's marker at the left."""
    transform = axes.get_xaxis_transform()
    for row, method in enumerate(mean.columns):
        line, down = styles[method], -(0.27 + (row + 0.5) * ROW) / HEIGHT
        key = axes.transAxes + ScaledTranslation(-0.17, 0, axes.figure.dpi_scale_trans)
        axes.plot([0], [down], line.marker, color=line.colour, transform=key, clip_on=False, label="_key")
        for place_, value in enumerate(mean[method]):
            axes.text(
                place_,
                down,
                f"{value:.1f}",
                transform=transform,
                ha="center",
                va="center",
                size=SMALL,
                color=line.ink,
            )


def _label_ends(axes: Axes, mean: pd.DataFrame, styles: Mapping[str, LineStyle], *, named: bool) -> None:
    """Name, in one panel, and loss beside the last point of each curve, moved apart where they would touch."""
    lines = 2 if named else 1
    ends, span = mean.iloc[-1], axes.get_ylim()[1]
    heights = spread(ends.tolist(), lines * 0.15 / HEIGHT * span, 0.1 / HEIGHT * span, span)
    for method, height in zip(mean.columns, heights, strict=True):
        lost = f"{_drop(ends[method] - mean[method].iloc[0])} from rate {mean.index[0]:g}" if len(mean) > 1 else ""
        text = lost if named else lost.split(" ")[0]
        at = (1.0, height)
        options: dict[str, Any] = {
            "xycoords": axes.get_yaxis_transform(),
            "textcoords": "offset points",
            "annotation_clip": False,
        }
        if named:
            up = "bottom" if lost else "center"
            axes.annotate(method, at, (6, 0), va=up, size=SMALL, weight="bold", color=styles[method].ink, **options)
        axes.annotate(text, at, (6, 0), va="top" if named else "center", size=SMALL, color=INK, **options)
        start, stop = (len(mean) - 1 + 0.06, ends[method]), (len(mean) - 0.7, height)
        axes.plot(*zip(start, stop, strict=True), color=styles[method].colour, linewidth=0.7, label="_leader")


def _drop(difference: float) -> str:
    return f"{'−' if difference < 0 else '+'}{abs(difference):.1f}"
