"""What resolution-adaptive masks learned: their values by level and depth, and how far they moved from their start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crreid.errors import InputError
from crreid.figures.style import INK, MEASURED, MUTED, SMALL, method_styles, new_figure, place, readable, styled

__all__ = ["resolution_masks"]

WIDE = 7.6
LEFT, RIGHT, TOP, BOTTOM = 0.85, 0.12, 0.42, 0.62
HEIGHT, ROW, GAP = 2.3, 0.25, 0.42  # inches: of the values, of a level's row below, between both
COLUMNS = ("position", "depth", "level", "rate", "value", "start")
START = "#D9D9D9"
LEAST = 10.0  # per cent: where the strongest colour starts at the least, so that next to nothing looks like it


@styled
def resolution_masks(masks: pd.DataFrame) -> Figure:
    """Masks of every level at every position of the network, from the input to the output.

    Above, the mean of a mask's elements with the range of its middle 80 per cent, on grey the same of all masks of the
    position before training; below, how far an element moved on average, as a share of the standard deviation of all
    elements before training.

    Args:
        masks: One line an element: columns position, depth (0 nearest the input), level (1 the lowest), rate, value and
            start in [0, 1], as from `crreid.study.lrar.learned_masks`.

    Raises:
        InputError: No rows, a missing column, or a value that is no number from 0 to 1.
    """
    _check(masks)
    positions = masks.sort_values("depth")["position"].unique().tolist()
    rates = sorted(masks["rate"].unique())
    width, depth = WIDE - LEFT - RIGHT, len(rates) * ROW
    figure = new_figure(WIDE, TOP + HEIGHT + GAP + depth + BOTTOM)
    upper = place(figure, LEFT, TOP, width, HEIGHT)
    _draw_values(upper, masks, positions, rates)
    lower = place(figure, LEFT, TOP + HEIGHT + GAP, width, depth)
    _draw_moved(lower, masks, positions, rates)
    return figure


def _check(masks: pd.DataFrame) -> None:
    for column in COLUMNS:
        if column not in masks.columns:
            raise InputError(f"masks lacks the column {column!r}; expected {', '.join(COLUMNS)}")
    if masks.empty:
        raise InputError("masks is empty; expected a row for each element of a mask")
    for column in ("value", "start"):
        values = masks[column].to_numpy(dtype=float)
        wrong = values[~((values >= 0) & (values <= 1))]
        if len(wrong):
            raise InputError(f"masks has {column} {wrong[0]}; expected a number from 0 to 1")


def _draw_values(axes: Axes, masks: pd.DataFrame, positions: list[str], rates: list[float]) -> None:
    styles = method_styles([f"{rate:g}" for rate in rates])
    low, high = 1.0, 0.0
    for place_, position in enumerate(positions):
        start = masks.loc[masks["position"] == position, "start"]
        bottom, top = np.percentile(start, (10, 90))
        axes.fill_between([place_ - 0.46, place_ + 0.46], bottom, top, color=START, linewidth=0, zorder=1)
        axes.plot([place_ - 0.46, place_ + 0.46], [start.mean()] * 2, color="white", linewidth=1.5, zorder=1.5)
        low, high = min(low, float(bottom)), max(high, float(top))
    step = 0.76 / max(len(rates), 1)
    for order, rate in enumerate(rates):
        line = styles[f"{rate:g}"]
        of_rate = masks[masks["rate"] == rate].groupby("position")["value"]
        table = of_rate.quantile(np.array([0.1, 0.9])).unstack().assign(mean=of_rate.mean()).loc[positions]
        places = np.arange(len(positions)) + (order - (len(rates) - 1) / 2) * step
        axes.vlines(places, table[0.1], table[0.9], color=line.colour, linewidth=1.2, label="_range")
        look: dict[str, Any] = {
            "color": line.colour,
            "markersize": 5.5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.4,
        }
        axes.plot(places, table["mean"], line.marker, linestyle="none", label=f"rate {rate:g}", **look)
        low, high = min(low, float(table[0.1].min())), max(high, float(table[0.9].max()))
    room = 0.06 * max(high - low, 0.02)
    axes.set(xlim=(-0.5, len(positions) - 0.5), ylim=(low - room, high + room), ylabel="mask (factor of a channel)")
    axes.set_xticks([])
    axes.fill_between([], [], color=START, linewidth=0, label="before training")
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=len(rates) + 1,
        borderaxespad=0.2,
        handlelength=1.2,
        handletextpad=0.4,
        columnspacing=1.5,
    )


def _draw_moved(axes: Axes, masks: pd.DataFrame, positions: list[str], rates: list[float]) -> None:
    """A row a level, a column a position: the mean absolute change as a share of the start's spread, ever stronger."""
    spread = max(float(masks["start"].std(ddof=0)), 1e-6)
    moved = masks.assign(moved=100 * (masks["value"] - masks["start"]).abs() / spread)
    table = moved.groupby(["rate", "position"])["moved"].mean().unstack()[positions]
    numbers = table.to_numpy()
    most = max(float(numbers.max()), LEAST)
    axes.imshow(
        np.array([[_tint(value / most) for value in row] for row in numbers]), aspect="auto", interpolation="nearest"
    )
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for row, values in enumerate(numbers):
        for column, value in enumerate(values):
            text = f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
            colour = "white" if value > 0.6 * most else INK
            axes.text(column, row, text, ha="center", va="center", size=SMALL, color=colour)
    axes.set_title(
        "mean movement of an element, in per cent of the spread before training",
        size=9,
        pad=4,
        color=MUTED,
        weight="normal",
    )
    axes.set_yticks(range(len(rates)), [f"rate {rate:g}" for rate in rates])
    axes.set_xticks(range(len(positions)), [position.removeprefix("layer") for position in positions])
    axes.tick_params(length=0)
    axes.set_xlabel("position in the network, stage and block, from the input to the output")


def _tint(share: float) -> tuple[float, float, float]:
    """From white to blue, as a share of 1."""
    colour = readable(MEASURED)
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return tuple(1 - share * (1 - channel) for channel in channels)  # type: ignore[return-value]
