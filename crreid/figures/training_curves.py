"""Loss terms and learning rate by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from crreid.errors import InputError
from crreid.figures.style import (
    EPOCH_LABEL,
    LEARNING_RATE_LABEL,
    MUTED,
    WIDTH,
    LineStyle,
    method_styles,
    new_figure,
    styled,
    text_width,
)

__all__ = ["training_curves"]

TITLES = {
    "ce": "cross entropy",
    "triplet": "triplet",
    "sr": "restoration",
    "ps": "pseudo-Siamese",
    "total": "sum of terms",
}
NOT_TERMS = ("epoch", "learning_rate", "pairs_per_second", "seconds")
PANEL_HEIGHT, STRIP_HEIGHT = 1.5, 0.75


@styled
def training_curves(epochs: Mapping[str, Sequence[Mapping[str, Any]]], *, terms: Sequence[str] = ()) -> Figure:
    """Small multiples: a panel for each loss term, as weighted in the sum, a line for each row, the rate in a strip.

    Args:
        epochs: By the row's name its epochs, as in `Record.measured["epochs"]`: epoch (from 0; shown from 1),
            learning_rate and the terms.
        terms: Which terms, in this order; empty for all, in the order of `TITLES`, then others, the sum last.

    Raises:
        InputError: No row, a row without epochs, a field that is missing or not finite, or a term that no row has.
    """
    _check(epochs)
    found = list(dict.fromkeys(name for of_row in epochs.values() for name in of_row[0] if name not in NOT_TERMS))
    shown = list(terms) or sorted(found, key=_place)
    for term in shown:
        if term not in found:
            raise InputError(f"no row has the loss term {term!r}; expected one of {', '.join(found)}")
    styles = method_styles(list(epochs))
    columns = min(len(shown), 2 if len(shown) in (2, 4) else 3)
    rows = math.ceil(len(shown) / columns)
    widths = [text_width(name, 9) + 0.7 for name in epochs]
    per_line = len(widths) if sum(widths) < WIDTH else max(1, int(WIDTH / max(widths)))
    legend_lines = math.ceil(len(epochs) / per_line)

    height = rows * PANEL_HEIGHT + STRIP_HEIGHT + 0.2 * legend_lines + 0.25
    figure = new_figure(WIDTH, height, layout="constrained")
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[PANEL_HEIGHT] * rows + [STRIP_HEIGHT])
    longest = max(len(of_row) for of_row in epochs.values())
    for index, term in enumerate(shown):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        axes.set_title(TITLES.get(term, term))
        _draw(axes, epochs, term, styles, longest)
        if index % columns == 0:
            axes.set_ylabel("loss")
    strip = figure.add_subplot(grid[rows, :])
    _draw_learning_rate(strip, epochs, styles, longest)
    figure.align_ylabels(figure.axes[:-1])
    handles, names = _legend(figure, list(epochs))
    figure.legend(handles, names, loc="outside upper left", ncols=min(per_line, len(names)), handlelength=1.8)
    return figure


def _place(term: str) -> int:
    """Where a term's panel comes."""
    order = [*(name for name in TITLES if name != "total"), "", "total"]
    return order.index(term if term in order else "")


def _check(epochs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    if not epochs:
        raise InputError("epochs is empty; expected the epochs of at least one row")
    for row, of_row in epochs.items():
        if not of_row:
            raise InputError(f"epochs of {row} is empty; expected at least one epoch")
        fields = list(dict.fromkeys(["epoch", "learning_rate", *of_row[0]]))
        for index, values in enumerate(of_row):
            for field in fields:
                value = values.get(field)
                if not isinstance(value, int | float) or not math.isfinite(value):
                    raise InputError(f"epochs of {row}, entry {index}: {field} is {value}; expected a finite number")


def _draw(
    axes: Axes,
    epochs: Mapping[str, Sequence[Mapping[str, Any]]],
    field: str,
    styles: Mapping[str, LineStyle],
    longest: int,
) -> None:
    """The lines of one field; a marker at the last epoch tells rows apart without colour."""
    for row, of_row in epochs.items():
        if field not in of_row[0]:
            continue
        line, numbers = styles[row], [values["epoch"] + 1 for values in of_row]
        axes.plot(
            numbers,
            [values[field] for values in of_row],
            color=line.colour,
            linestyle=line.dashes,
            marker=line.marker,
            markevery=[len(of_row) - 1],
            linewidth=1.5,
            label=row,
            clip_on=False,
        )
    if all(values.get(field, 0) >= 0 for of_row in epochs.values() for values in of_row):
        axes.set_ylim(bottom=0)
    axes.set_xlim(1 if longest > 1 else 0.5, max(longest, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))


def _draw_learning_rate(
    axes: Axes, epochs: Mapping[str, Sequence[Mapping[str, Any]]], styles: Mapping[str, LineStyle], longest: int
) -> None:
    schedules = {tuple(values["learning_rate"] for values in of_row) for of_row in epochs.values()}
    if len(schedules) == 1:
        first = next(iter(epochs))
        _draw(
            axes,
            {first: epochs[first]},
            "learning_rate",
            {first: LineStyle(colour=MUTED, marker="o", dashes="-")},
            longest,
        )
    else:
        _draw(axes, epochs, "learning_rate", styles, longest)
    axes.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_title(LEARNING_RATE_LABEL)
    axes.set_xlabel(EPOCH_LABEL)


def _legend(figure: Figure, names: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Each row's line once, in the order given."""
    found: dict[str, Any] = {}
    for axes in figure.axes[:-1]:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    shown = [name for name in names if name in found]
    return [found[name] for name in shown], shown
