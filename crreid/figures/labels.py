"""Small text in charts: names at curves and points, moved apart as little as it takes to read every one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from crreid.figures.style import SMALL, Look, broken, text_width

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
