"""One grid for every picture: people, degradations, restored images, maps of errors and ranked lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from crreid.errors import InputError
from crreid.figures.style import CORRECT, DPI, FALSE, MUTED, SMALL, WIDTH, broken, styled, text_width

UInt8Image = NDArray[np.uint8]

_WIDEST, _GAP, _LINE = 110, 8, 20  # pixels of the page: of an image, between images, of a line of text


@styled
def images(
    rows: Sequence[Sequence[UInt8Image | None]],
    *,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    frames: Sequence[Sequence[bool | None]] = (),
) -> Figure:
    """Draw a grid of images, e.g. a row per person or query.

    Images of any size fill their places. A column without any image is a narrow gap.

    Args:
        rows: (height, width, 3) uint8 each, or None for an empty place; all rows are equally long.
        columns: Heads of the columns; empty for none.
        labels: Left of the rows; empty for none.
        captions: By row and column, below the images, broken into lines; "" for none.
        frames: By row and column: True for a correct match (green, ✓), False for a false one (red, ✗), None for none.

    Example:
        >>> images([[query, None, *found]], columns=["query", "", "1", "2"], frames=[[None, None, True, False]])
    """
    _check(rows, columns=[columns], labels=[labels], captions=captions, frames=frames)
    count, gaps = len(rows[0]), [all(image is None for image in column) for column in zip(*rows, strict=True)]
    left = _GAP + (round(DPI * max(map(text_width, labels))) + _GAP if len(labels) else 0)
    cell = min(_WIDEST, (int(WIDTH * DPI) - left - 2 * _GAP * sum(gaps)) // (count - sum(gaps)) - _GAP)
    if cell < 20:
        raise InputError(f"rows have {count} images; expected fewer, they would be narrower than 20 pixels")
    tall = round(cell * max(image.shape[0] / image.shape[1] for row in rows for image in row if image is not None))
    steps = [2 * _GAP if gap else cell + _GAP for gap in gaps]
    heads = [broken(head, (step + _GAP) / DPI, "bold") for head, step in zip(columns, steps, strict=False)]
    texts = [[broken(text, cell / DPI) for text in row] for row in captions] or [[""] * count] * len(rows)
    below = [_LINE * max(text.count("\n") + (text != "") for text in row) for row in texts]
    top = _GAP + _LINE * max((head.count("\n") + 1 for head in heads), default=0)
    xs = left + np.cumsum([0, *steps])
    ys = top + np.cumsum([0, *(tall + _GAP + lines for lines in below)])

    figure = Figure(figsize=(xs[-1] / DPI, ys[-1] / DPI))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, xs[-1]), ylim=(ys[-1], 0), autoscale_on=False)
    axes.set_axis_off()
    for x, step, head in zip(xs, steps, heads, strict=False):
        axes.text(x + (step - _GAP) / 2, top - 4, head, ha="center", va="bottom", size=SMALL, weight="bold")
    for y, label in zip(ys, labels, strict=False):
        axes.text(left - _GAP, y + tall / 2, label, ha="right", va="center", size=SMALL)
    for row, column in np.ndindex(len(rows), count):
        image, x, y = rows[row][column], int(xs[column]), int(ys[row])
        if image is None:
            continue
        axes.imshow(image, extent=(x, x + cell, y + tall, y), aspect="auto")
        axes.text(x + cell / 2, y + tall + 3, texts[row][column], ha="center", va="top", size=SMALL, color=MUTED)
        correct = frames[row][column] if len(frames) else None
        if correct is not None:
            colour, mark = (CORRECT, "✓") if correct else (FALSE, "✗")
            axes.add_patch(Rectangle((x, y), cell, tall, fill=False, edgecolor=colour, linewidth=2))
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
            axes.text(x + 8, y + 9, mark, ha="center", va="center", size=8, color="white", bbox=box)
    return figure


def error_map(image: UInt8Image, original: UInt8Image, *, most: float = 50) -> UInt8Image:
    """Return where an image differs from its original, as colours from black (none) to pale yellow (`most` or more).

    All are (height, width, 3) uint8; `most` is an absolute error in grey levels of 255, mean of the three channels.
    """
    if image.shape != original.shape:
        raise InputError(f"image has the shape {image.shape}; expected {original.shape}, the original's")
    error = np.abs(image.astype(np.float32) - original.astype(np.float32)).mean(axis=2)
    colours: UInt8Image = mpl.colormaps["magma"](error / most, bytes=True)[..., :3]
    return colours


def _check(rows: Sequence[Sequence[Any]], **tables: Sequence[Sequence[Any]]) -> None:
    """Check that rows are images, and that what belongs to them has their shape, or is empty."""
    if not any(image is not None for row in rows for image in row):
        raise InputError("rows has no image; expected at least one")
    for image in (image for row in rows for image in row if image is not None):
        if getattr(image, "dtype", None) != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            found = f"{getattr(image, 'dtype', type(image).__name__)} of shape {tuple(np.shape(image))}"
            raise InputError(f"rows has an image of {found}; expected uint8 of shape (height, width, 3)")
    lengths = [len(row) for row in rows]
    expected = {"columns": lengths[:1], "labels": [len(rows)]}
    for name, table in {"rows": rows, **tables}.items():
        shape, wanted = [len(row) for row in table], expected.get(name, lengths[:1] * len(rows))
        if shape not in ([], [0], wanted):
            raise InputError(f"{name} has the lengths {shape}; expected {wanted}")
