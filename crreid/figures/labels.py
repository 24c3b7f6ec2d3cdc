"""Labels beside points: broken where they are long, moved apart as little as it takes to read every one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crreid.figures.style import text_width

__all__ = ["broken", "spread"]


def broken(text: str, width: float, size: float, weight: str = "normal") -> str:
    """The text in lines that take at most a width in inches, broken at spaces; a word that is longer stays whole.

    Args:
        text: In one line.
        width: In inches.
        size: Of the type, in points.
        weight: Of the type.
    """
    lines: list[str] = []
    for word in text.split(" "):
        if lines and text_width(f"{lines[-1]} {word}", size, weight) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def spread(values: Sequence[float], gaps: float | Sequence[float], low: float, high: float) -> NDArray[np.float64]:
    """Places near the values that lie apart; their order stays, equal values keep the order of the list.

    Neighbours that would touch form a block around the mean of what its members want (pool adjacent violators), which
    moves the labels least in the sense of squares.

    Args:
        values: Where the labels want to be.
        gaps: The room that each label takes along the axis, or one for all; neighbours keep half of both apart.
        low: Where the axis starts.
        high: Where it ends; labels that do not all fit go beyond it.

    Returns:
        (labels,) the places, in the order of `values`.
    """
    wanted = np.asarray(values, dtype=np.float64)
    room = np.broadcast_to(np.asarray(gaps, dtype=np.float64), wanted.shape)
    order = np.argsort(wanted, kind="stable")
    room = room[order]
    steps = np.concatenate([[0.0], np.cumsum((room[1:] + room[:-1]) / 2)]) if len(wanted) else np.zeros(0)
    blocks: list[tuple[float, int]] = []  # mean and length of what members want, less their steps
    for value in wanted[order] - steps:
        block = (float(value), 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, count = blocks.pop()
            total = count + block[1]
            block = ((mean * count + block[0] * block[1]) / total, total)
        blocks.append(block)
    moved = np.array([mean for mean, count in blocks for _ in range(count)], dtype=np.float64)
    if len(moved):
        # shifting the whole by limits keeps it monotone, so labels still lie apart
        moved = np.maximum(np.minimum(moved, high - steps[-1]), low)
    places = np.empty_like(wanted)
    places[order] = moved + steps
    return places
