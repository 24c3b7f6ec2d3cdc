"""Rows of a table as bars: what was published beside what was measured here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crreid.errors import InputError
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
    styled,
    text_width,
)

__all__ = ["ablation"]

THICK = 0.36  # of a bar, where 1 is from row to row
ROW = 0.52


@styled
def ablation(
    published: Mapping[str, float | None],
    measured: Mapping[str, Sequence[float]],
    *,
    label: str = RANK1_LABEL,
    published_name: str = "published",
    measured_name: str = "measured",
) -> Figure:
    """Two bars a row: published hollow and hatched, measured solid with every seed as a dot and their deviation.

    Rows come in the order of `measured`, then those that were only published.

    Args:
        published: The paper's number of each row in [0, 100]; a row may be missing or None.
        measured: Of each row the numbers of all seeds in [0, 100].
        label: Of the axis.
        published_name: In the legend, e.g. `published, MLR-Market-1501`.
        measured_name: In the legend, e.g. `measured, synthetic data, 3 seeds`.

    Raises:
        InputError: No row, or a number that is not finite or out of [0, 100].
    """
    rows = list(dict.fromkeys([*measured, *published]))
    _check(rows, published, measured)
    left = max(text_width(row, 10) for row in rows) + 0.2
    beside = text_width(f"{published_name}{measured_name}", 9) + 1.3 < WIDTH
    top, bottom, right = 0.36 if beside else 0.54, 0.55, 1.0
    figure = new_figure(WIDTH, top + len(rows) * ROW + bottom)
    axes = place(figure, left, top, WIDTH - left - right, len(rows) * ROW)
    axes.set(xlim=(0, 100), ylim=(len(rows) - 0.5, -0.5), xlabel=label)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(axis="y", length=0, labelsize=10, labelcolor=INK)
    axes.grid(axis="y", visible=False)
    for index, row in enumerate(rows):
        _draw_published(axes, index - THICK / 2 - 0.03, published.get(row), published_name)
        _draw_measured(axes, index + THICK / 2 + 0.03, measured.get(row, ()), measured_name)
    handles, names = axes.get_legend_handles_labels()
    found = dict(zip(names, handles, strict=True))
    keys = [name for name in (published_name, measured_name) if name in found]
    axes.legend(
        [found[name] for name in keys],
        keys,
        loc="lower right",
        bbox_to_anchor=(1 + right / (WIDTH - left - right), 1.0),
        ncols=2 if beside else 1,
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.4,
    )
    return figure


def _draw_published(axes: Axes, y: float, value: float | None, name: str) -> None:
    if value is None:
        _note(axes, y, 0, "not published", MUTED)
        return
    axes.barh(y, value, THICK, facecolor="white", edgecolor=PUBLISHED, hatch="////", linewidth=1, label=name)
    _note(axes, y, value, f"{value:.1f}", PUBLISHED)


def _draw_measured(axes: Axes, y: float, values: Sequence[float], name: str) -> None:
    if not len(values):
        _note(axes, y, 0, "not measured", MUTED)
        return
    mean = statistics.fmean(values)
    axes.barh(y, mean, THICK, color=MEASURED, linewidth=0, label=name)
    if len(values) == 1:
        _note(axes, y, mean, f"{mean:.1f} (1 seed)", MEASURED)
        return
    deviation = statistics.stdev(values)
    axes.errorbar(mean, y - 0.08, xerr=deviation, color=INK, capsize=2.5, linewidth=1.3, label="_deviation")
    axes.plot(values, [y + 0.07] * len(values), "o", color="white", markeredgecolor=INK, markersize=3, label="_seeds")
    _note(axes, y, max(mean + deviation, *values), f"{mean:.1f} ± {deviation:.1f}", MEASURED)


def _note(axes: Axes, y: float, value: float, text: str, colour: str) -> None:
    axes.annotate(
        text,
        (value, y),
        (5, 0),
        textcoords="offset points",
        va="center",
        size=SMALL,
        color=colour,
        annotation_clip=False,
    )


def _check(rows: Sequence[str], published: Mapping[str, float | None], measured: Mapping[str, Sequence[float]]) -> None:
    if not rows:
        raise InputError("published and measured are empty; expected at least one row")
    for row in rows:
        paper = published.get(row)
        numbers = [("published", value) for value in ([] if paper is None else [paper])]
        for source, value in [*numbers, *(("measured", value) for value in measured.get(row, ()))]:
            if not (math.isfinite(value) and 0 <= value <= 100):
                raise InputError(f"row {row}: {source} is {value}; expected per cent, a number from 0 to 100")
