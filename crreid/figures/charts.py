"""Charts on tidy frames: values by rate, bars beside published numbers, points with names.

Of a frame with columns test and protocol, a chart draws what it is about (all queries as drawn, or all at one rate) and
multi-shot, unless the frame holds another protocol alone. Several seeds become a mean and a standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from crreid.errors import InputError
from crreid.figures.style import INK, MEASURED, MUTED, SMALL, WIDTH, Look, broken, looks, styled, text_width

LABELS = {
    **{f"rank{rank}": f"rank-{rank} (per cent)" for rank in (1, 5, 10, 20)},
    "map_hit": "mAP (per cent)",
    "map_trapezoid": "mAP, trapezoid (per cent)",
    "psnr": "PSNR (dB)",
    "l1": "L_SR (lower is better)",
    "ssim": "SSIM",
    "lpips": "LPIPS (lower is better)",
}
"""What axes and panels call the values of a column; others are called as they are."""

_OTHER = Look(colour="#7A7A7A", marker="o", ink=MUTED)
_DASHED: dict[str, Any] = {"color": MUTED, "linewidth": 1.2, "linestyle": (0, (4, 3)), "zorder": 1.5}


@styled
def by_rate(
    frame: pd.DataFrame,
    *,
    metrics: Sequence[str] = ("rank1",),
    seen: Sequence[float] = (),
    chance: float | None = None,
    rows: Sequence[str] = (),
) -> Figure:
    """Draw values against the downsampling rate of all queries: one panel per metric, one curve per row.

    Args:
        frame: Columns row, rate, value and metric or measure: scores, or restoration quality, whose column `input`, if
            there is one, becomes a grey curve.
        metrics: Of the column metric or measure, e.g. ("rank1", "map_hit") or ("psnr", "ssim").
        seen: Rates of the training, marked on the axis; what lies above them is shaded.
        chance: Rank-1 of a random ranking in per cent; a dashed line in the panel of rank1.
        rows: Which rows, in this order; empty for all. The same list gives the same looks in every chart.
    """
    tables = [_at_rates(frame, metric, rows) for metric in metrics]
    styles = looks([*(rows or frame["row"]), "input"]) | {"input": _OTHER}
    figure, panels = _panels(len(metrics), 3.1)
    for axes, metric, table in zip(panels, metrics, tables, strict=True):
        order = [row for row in styles if (table["row"] == row).any()]
        colours, markers = [styles[row].colour for row in order], [styles[row].marker for row in order]
        axis: dict[str, Any] = {"x": "rate", "y": "value", "hue": "row", "style": "row", "errorbar": "sd", "ax": axes}
        axis |= {"hue_order": order, "style_order": order, "dashes": False, "legend": False}
        sns.lineplot(table, palette=colours, markers=markers, **axis)  # type: ignore[no-untyped-call]
        _rate_axis(axes, table, metric, seen)
        if chance is not None and metric == "rank1":
            axes.axhline(chance, label="chance", **_DASHED)
            write(axes, f"chance {chance:.1f}", (axes.get_xlim()[0], chance), (4, 8), MUTED)
        means = table.groupby(["rate", "row"])["value"].mean()
        if len(order) <= 2 and len(means) <= 12:
            for rate, row, value in means.reset_index().itertuples(index=False):
                above = value >= means[rate].max()
                write(axes, f"{value:.1f}", (rate, value), (0, 12 if above else -12), styles[row].ink, ha="center")
    ends = {str(row): (ends.index[-1][0], ends.iloc[-1]) for row, ends in means.groupby("row")}
    name_ends(figure, panels[-1], {row: ends[row] for row in order}, styles)
    return figure


@styled
def bars(
    scores: pd.DataFrame,
    *,
    metrics: Sequence[str] = ("rank1",),
    published: pd.DataFrame | None = None,
    names: tuple[str, str] = ("measured here", "published"),
    rows: Sequence[str] = (),
) -> Figure:
    """Draw a bar per row, one panel per metric, and the published number as a hollow bar below it.

    Args:
        scores: Columns row, metric, value in per cent.
        metrics: One panel each.
        published: Columns row, metric, value, of the same data set; None or empty for no published numbers.
        names: What the two kinds of bars are, for the legend.
        rows: Which rows, in this order; empty for all, measured ones first.
    """
    both = _chosen(scores, "drawn", ("row", "metric", "value"), rows).assign(here=True)
    if published is not None:
        both = pd.concat([both, _chosen(published, "", ("row", "metric", "value"), rows).assign(here=False)])
    both = both[both["metric"].isin(metrics)]
    if both.empty:
        raise InputError(f"scores has no {' or '.join(metrics)} of all queries; expected at least one row of it")
    order, two = list(rows or dict.fromkeys(both["row"])), not both["here"].all()
    figure, panels = _panels(len(metrics), 0.75 + (0.48 if two else 0.33) * len(order))
    for axes, metric in zip(panels, metrics, strict=True):
        for (row, here), values in both[both["metric"] == metric].groupby(["row", "here"])["value"]:
            place = order.index(row) + (0 if not two else -0.2 if here else 0.2)
            mean, deviation, face = values.mean(), values.std(), MEASURED if here else "white"
            axes.barh(place, mean, 0.36 if two else 0.6, facecolor=face, edgecolor=MEASURED, linewidth=1.2)
            text, end = f"{mean:.1f}", mean
            if len(values) > 1:
                text, end = f"{mean:.1f} ± {deviation:.1f}", mean + deviation
                axes.errorbar(mean, place, xerr=deviation, color=INK, capsize=2.5, linewidth=1.2)
            write(axes, text, (end, place), (4, 0), INK if here else MUTED)
        labels = [broken(row, 1.7) if axes is panels[0] else "" for row in order]
        axes.set_yticks(range(len(order)), labels, color=INK)
        axes.tick_params(axis="y", length=0)
        axes.set(ylim=(len(order) - 0.5, -0.5), xlabel=LABELS.get(metric, metric))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", visible=False)
    if two:
        _two_kinds(figure, names, color=MEASURED, marker="s")
    figure.draw_without_rendering()
    for axes in panels:  # room for the values right of the bars, now that the panels' widths are known
        room = max((text_width(text.get_text()) for text in axes.texts), default=0.0) + 0.15
        axes.set_xlim(0, axes.dataLim.x1 / (1 - min(0.8, room * figure.dpi / axes.bbox.width)))
    return figure


@styled
def scatter(
    frame: pd.DataFrame,
    x: str,
    y: str = "rank1",
    *,
    xlabel: str = "",
    log: bool = False,
    better: Literal["", "low", "high"] = "",
    names: tuple[str, str] = ("measured here", "published"),
) -> Figure:
    """Draw a named point per row: filled where measured, hollow where published; names move to where they can be read.

    Args:
        frame: Columns row, x, y; a column source, if there is one, says `measured` or `published`.
        x: Column of the horizontal axis, e.g. multiply_adds or year.
        y: Column of the vertical axis.
        xlabel: Label of the horizontal axis; empty for the column's name.
        log: Whether the horizontal axis is logarithmic; its values are above 0.
        better: Which end of x is better: a dashed line then joins the measured rows that no other beats in both.
        names: What filled and hollow points are, for the legend.
    """
    table = _chosen(frame if "source" in frame else frame.assign(source="measured"), "", ("row", x, y), ())
    if table.empty or (log and table[x].min() <= 0):
        expected = f"numbers{' above 0' if log else ''} of {x} and {y}"
        raise InputError(f"frame has the {x} {table[x].min():g}; expected {expected}")
    groups = table.groupby(["source", "row"], sort=False)
    points = groups[[x, y]].mean().assign(deviation=groups[y].std()).reset_index()
    figure, (axes,) = _panels(1, 4.2)
    here = points[points["source"] == "measured"]
    styles = looks(list(here["row"]))
    for point in points.to_dict("records"):
        look, filled = styles.get(point["row"], _OTHER), point["source"] == "measured"
        face, size = (look.colour, 8) if filled else ("white", 6.5)
        axes.plot(point[x], point[y], look.marker, color=look.colour, mfc=face, markersize=size, label=point["row"])
        if point["deviation"] > 0:
            axes.errorbar(point[x], point[y], point["deviation"], color=INK, capsize=2.5, linewidth=1.1, zorder=1.9)
    if better:
        best_first = here.sort_values([x, y], ascending=[better == "low", False])
        front = best_first[best_first[y] > best_first[y].cummax().shift(fill_value=-math.inf)]
        axes.plot(front[x], front[y], label="_front", **_DASHED)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if points[x].max() < 100 * points[x].min() else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    elif points[x].nunique() <= 10:
        axes.set_xticks(sorted(points[x].unique()))
    axes.set(xlabel=xlabel or x, ylabel=LABELS.get(y, y))
    axes.margins(0.12, 0.1)
    if len(here) < len(points):
        _two_kinds(figure, names, color=MUTED, marker="o")
    named = zip(points["row"], points["source"] == "measured", points[x], points[y], strict=True)
    name_points(figure, axes, named, lambda row: styles.get(row, _OTHER))
    return figure


def _chosen(frame: pd.DataFrame, test: str, columns: Sequence[str], rows: Sequence[str]) -> pd.DataFrame:
    """Return the lines of a test, of multi-shot where there are several protocols, and of some rows (empty for all)."""
    for column in columns:
        if column not in frame.columns:
            raise InputError(f"frame lacks the column {column!r}; it has {', '.join(map(str, frame.columns))}")
    if test and "test" in frame:
        frame = frame[(frame["test"] == test) & (frame["rate"].isna() == (test == "drawn"))]
    if test and "protocol" in frame and frame["protocol"].isin(["multi_shot"]).any():
        frame = frame[frame["protocol"] == "multi_shot"]
    return (frame[frame["row"].isin(rows)] if len(rows) else frame).dropna(subset=list(columns))


def _at_rates(frame: pd.DataFrame, metric: str, rows: Sequence[str]) -> pd.DataFrame:
    """Return columns row, rate, value of one metric; what the input is worth counts as a row of that name."""
    column = "measure" if "measure" in frame else "metric"
    table = _chosen(frame, "uniform", ("row", "rate", column, "value"), rows)
    table = table[table[column] == metric]
    if table.empty:
        raise InputError(f"frame has no {metric} by rate; expected lines with a rate, of scores the test 'uniform'")
    if "input" in table:
        table = pd.concat([table, table.assign(row="input", value=table["input"])]).dropna(subset="value")
    return table[["row", "rate", "value"]].astype({"rate": float}).reset_index(drop=True)


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes beside each other, of a height in inches."""
    figure = Figure(figsize=(WIDTH, 0.3 + height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False).flat)


def _rate_axis(axes: Axes, table: pd.DataFrame, metric: str, seen: Sequence[float]) -> None:
    """Set limits and ticks of an axis of rates, and mark those of the training."""
    low, high = table["rate"].min(), table["rate"].max()
    room = 0.05 * max(high - low, 1.0)
    axes.set(xlabel="downsampling rate", ylabel=LABELS.get(metric, metric))
    axes.set_xticks(sorted({rate for rate in table["rate"] if rate == round(rate)}))
    axes.grid(axis="x", visible=False)
    if "per cent" in LABELS.get(metric, ""):
        axes.set_ylim(0, 1.18 * max(table["value"].max(), 1.0))
    marked, edge = [rate for rate in seen if low <= rate <= high], axes.get_xaxis_transform()
    axes.plot(marked, [0] * len(marked), "^", color=INK, markersize=5, transform=edge, clip_on=False, label="_seen")
    if len(seen) and max(seen) < high:
        axes.axvspan(max(seen), high + room, color="#F0F0F0", linewidth=0, zorder=0)
        middle = (max(seen) + high + room) / 2
        axes.text(middle, 0.985, "unseen", transform=edge, ha="center", va="top", size=SMALL, color=MUTED)
    axes.set_xlim(low - room, high + room)


def _two_kinds(figure: Figure, names: tuple[str, str], **look: Any) -> None:
    """Explain filled and hollow marks above the panels."""
    look |= {"linestyle": "", "markersize": 8}
    kinds = zip(names, (look, look | {"markerfacecolor": "white"}), strict=True)
    handles = [Line2D([], [], label=name, **kind) for name, kind in kinds]
    beside = sum(map(text_width, names)) + 1.2 < WIDTH
    figure.legend(handles=handles, loc="outside upper left", ncols=2 if beside else 1)


_LINE = 0.18  # inches of a line of small text


def write(axes: Axes, text: str, at: Any, offset: Any, ink: str, **options: Any) -> Annotation:
    """Write small text with a white edge so many points from a place in data coordinates."""
    halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    options = {"textcoords": "offset points", "annotation_clip": False, "zorder": 6, "va": "center", **options}
    return axes.annotate(text, at, offset, size=SMALL, color=ink, path_effects=halo, **options)


def spread(wanted: Sequence[float], gaps: Sequence[float], low: float, high: float) -> NDArray[np.float64]:
    """Return places near the wanted ones that lie apart, moved least in the sense of squares; the order stays.

    `gaps` are the room that each takes. What does not fit between `low` and `high`, the ends of the axis, goes beyond.
    """
    order, room = np.argsort(wanted, kind="stable"), np.asarray(gaps, dtype=float)
    steps = np.concatenate([[0.0], np.cumsum((room[order][1:] + room[order][:-1]) / 2)])
    moved = isotonic_regression(np.asarray(wanted, dtype=float)[order] - steps)
    places = np.empty(len(order))
    places[order] = np.maximum(np.minimum(moved, high - steps[-1]), low) + steps  # limits keep labels apart
    return places


def name_ends(figure: Figure, axes: Axes, ends: Mapping[str, tuple[float, float]], looks: Mapping[str, Look]) -> None:
    """Name curves, by their last points, right of the axes, moved apart where the names would touch."""
    edge, names = axes.get_yaxis_transform(), {row: broken(row, 1.5, "bold") for row in ends}
    bold: dict[str, Any] = {"xycoords": edge, "weight": "bold"}
    texts = [write(axes, names[row], (1, y), (5, 0), looks[row].ink, **bold) for row, (_, y) in ends.items()]
    figure.draw_without_rendering()  # only now the height of the axes is known
    right, (low, high) = axes.get_xlim()[1], axes.get_ylim()
    line = _LINE * (high - low) * figure.dpi / axes.bbox.height
    gaps = [(name.count("\n") + 1) * line for name in names.values()]
    heights = spread([y for _, y in ends.values()], gaps, low, high)
    for text, (row, (x, y)), height in zip(texts, ends.items(), heights, strict=True):
        text.xy = (1, height)
        axes.plot([x, right], [y, height], color=looks[row].colour, linewidth=0.7, label="_leader", zorder=1.5)
    axes.set(xlim=(None, right), ylim=(low, high))


def name_points(figure: Figure, axes: Axes, points: Iterable[tuple[str, bool, float, float]], look: Any) -> None:
    """Write each point's name (name, bold, x, y) at the nearest place where it covers no point and no other name."""
    figure.draw_without_rendering()
    inches = [(axes.transData.transform((x, y)) / figure.dpi, (x, y), name, bold) for name, bold, x, y in points]
    corners = axes.bbox.get_points() / figure.dpi
    taken = [np.concatenate([place - 0.07, place + 0.07]) for place, *_ in inches]
    ups = [sign * up for up in np.arange(0, 1.2, 0.06) for sign in (1, -1)]
    for place, at, name, bold in sorted(inches, key=lambda one: -one[0][1]):
        weight = "bold" if bold else "normal"
        half = np.array([text_width(name, weight=weight) + 0.02, _LINE - 0.02]) / 2
        sides = [(side * (0.14 + half[0]), up) for up in ups for side in (1, -1, 0) if side or abs(up) > 0.12]
        boxes = [np.concatenate([place + shift - half, place + shift + half]) for shift in sides]
        outside = [(corners[0] - box[:2]).clip(0).sum() + (box[2:] - corners[1]).clip(0).sum() for box in boxes]
        covered = [_shared(box, taken) for box in boxes]
        best = int(np.argmin(np.round(np.add(outside, covered), 6)))  # the first, thus the nearest, of equals
        taken.append(boxes[best])
        x, y = 72 * np.array(sides[best])
        style = {"ha": "center", "va": "center_baseline", "weight": weight}
        write(axes, name, at, (x, y), look(name).ink, **style).set_in_layout(False)
        if abs(y) > 9:
            arrow = {"arrowstyle": "-", "color": look(name).colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 4}
            start = (x - np.sign(x) * 72 * half[0], y)
            axes.annotate("", at, start, textcoords="offset points", arrowprops=arrow).set_in_layout(False)


def _shared(box: NDArray[np.float64], others: Sequence[NDArray[np.float64]]) -> float:
    """Return the area that a box (left, bottom, right, top) shares with others."""
    every = np.stack(others)
    sides = np.minimum(box[2:], every[:, 2:]) - np.maximum(box[:2], every[:, :2])
    return float(sides.clip(min=0).prod(axis=1).sum())
