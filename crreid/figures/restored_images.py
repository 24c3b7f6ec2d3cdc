"""Restored images between what came in and what should have come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.figures.error_maps import ERROR_COLOURS, absolute_error, error_bar, error_scale
from crreid.figures.labels import broken
from crreid.figures.panels import LINE, box_height, check_images, check_lengths, fit_captions, show_image
from crreid.figures.style import MUTED, SMALL, WIDTH, new_figure, place, styled, text_width, write

__all__ = ["LOW", "TRUTH", "restored_images"]

LOW, TRUTH = "low resolution", "ground truth"
MARGIN, GAP, BETWEEN = 0.08, 0.06, 0.2
BAR = 0.75  # inches of the colour bar with its labels
LONG = 0.7  # inches: longer names of rows are broken


@styled
def restored_images(
    low: Sequence[UInt8Image],
    restored: Mapping[str, Sequence[UInt8Image]],
    truth: Sequence[UInt8Image],
    rates: Sequence[float],
    *,
    captions: Mapping[str, Sequence[str]] | None = None,
    errors: bool = False,
) -> Figure:
    """Columns are images, grouped by rate; rows are low resolution, restorations, ground truth and, if wanted, errors.

    Args:
        low: Low-resolution images, enlarged; (height, width, 3) uint8, all of one size.
        restored: By the row's name the restored images, e.g. {"SR+ID+PS": [...]}.
        truth: High-resolution images.
        rates: Of the images; columns are sorted by it.
        captions: By the row's name (`LOW`, `TRUTH` or one of `restored`) small text below its images, e.g. `26.1 dB`.
        errors: Adds a map of absolute errors, mean of the three channels in grey levels of 255, of the
            low-resolution images and of each restoration, all on one scale (to the 99.5th percentile of all).

    Raises:
        InputError: No image, images of several sizes, lists whose lengths do not match, or captions of no row.
    """
    images = _check(low, restored, truth, rates, captions or {})
    factors = np.array(rates, dtype=float)
    order = [int(index) for index in np.argsort(factors, kind="stable")]
    ordered = [float(rate) for rate in factors[order]]
    maps = {
        name: [absolute_error(*pair) for pair in zip(images[name], truth, strict=True)] for name in (LOW, *restored)
    }
    rows = [_Row(label=broken(name, LONG, SMALL), images=images[name], name=name) for name in images]
    rows += [_Row(label=f"error of\n{name}", images=maps[name], name="") for name in maps if errors]

    left = MARGIN + max(text_width(row.label, SMALL) for row in rows) + 0.1
    right = MARGIN + (BAR if errors else 0.0)
    breaks = np.cumsum([0.0] + [BETWEEN if a != b else GAP for a, b in pairwise(ordered)])
    width = min(0.95, (WIDTH - left - right - float(breaks[-1])) / len(low))
    if width < 0.2:
        raise InputError(f"low has {len(low)} images; expected fewer, they would be narrower than 0.2 inches")
    height, xs = box_height(low, width), [left + float(gap) + width * column for column, gap in enumerate(breaks)]
    texts, size = _fitted(captions or {}, width)
    below = [LINE * max((1 + text.count("\n") for text in texts.get(row.name, ())), default=0) for row in rows]
    tops = [0.28 + float(down) for down in np.cumsum([0.0, *(height + GAP + extra for extra in below)])]

    figure = new_figure(xs[-1] + width + right, tops[-1] - GAP + MARGIN)
    for rate in dict.fromkeys(ordered):
        of_rate = [x for x, of_column in zip(xs, ordered, strict=True) if of_column == rate]
        middle = (of_rate[0] + of_rate[-1] + width) / 2
        write(figure, middle, 0.22, f"rate {rate:g}", ha="center", va="bottom", weight="bold")
    scale = error_scale(part for row in maps.values() for part in row)
    for row, top in zip(rows, tops, strict=False):
        write(figure, left - 0.1, top + height / 2, row.label, ha="right", va="center", size=SMALL)
        for x, index in zip(xs, order, strict=True):
            show_image(place(figure, x, top, width, height), row.images[index], cmap=ERROR_COLOURS, norm=scale)
            if row.name in texts:
                text = texts[row.name][index]
                write(figure, x + width / 2, top + height + 0.02, text, ha="center", size=size, color=MUTED)
    if errors:
        first = tops[len(images)]
        error_bar(figure, xs[-1] + width + 0.12, first, min(3.0, tops[-1] - GAP - first), scale)
    return figure


@dataclass(frozen=True, kw_only=True)
class _Row:
    """Images of one kind; the name, empty for maps of errors, is the one that captions go by."""

    label: str
    images: Sequence[np.ndarray]
    name: str


def _fitted(captions: Mapping[str, Sequence[str]], width: float) -> tuple[dict[str, list[str]], float]:
    """Captions that fit below their images, and one size for those of all rows."""
    fitted, size = fit_captions([text for texts in captions.values() for text in texts], width)
    left = iter(fitted)
    return {name: [next(left) for _ in texts] for name, texts in captions.items()}, size


def _check(
    low: Sequence[UInt8Image],
    restored: Mapping[str, Sequence[UInt8Image]],
    truth: Sequence[UInt8Image],
    rates: Sequence[float],
    captions: Mapping[str, Sequence[str]],
) -> dict[str, Sequence[UInt8Image]]:
    """All images by the name of their row, in order."""
    if not restored:
        raise InputError("restored is empty; expected the images of at least one restoration")
    check_images(low, "low")
    for name in restored:
        if name in (LOW, TRUTH):
            raise InputError(f"restored has a row {name!r}; expected another name than those of the other rows")
    rows = {LOW: low, **restored, TRUTH: truth}
    check_lengths(len(low), **rows, rates=rates)
    for name, images in rows.items():
        check_images(images, name)
        for index, image in enumerate(images):
            if image.shape != low[0].shape:
                raise InputError(
                    f"{name}[{index}] has the shape {image.shape}; expected {low[0].shape} as of the first image"
                )
    for name, texts in captions.items():
        if name not in rows:
            raise InputError(f"captions has the row {name!r}; expected one of {', '.join(rows)}")
        check_lengths(len(low), **{f"captions of {name}": texts})
    return rows
