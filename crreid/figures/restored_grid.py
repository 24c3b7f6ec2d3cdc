"""The same persons at every rate: what came in, what each method makes of it, and where it errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from matplotlib.figure import Figure

from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.figures.error_maps import ERROR_COLOURS, absolute_error, error_bar, error_scale
from crreid.figures.panels import LINE, box_height, check_images, fit_captions, show_image
from crreid.figures.style import MUTED, SMALL, new_figure, place, styled, text_width, write

__all__ = ["RestoredRow", "restored_grid"]

INPUT, ORIGINAL = "input", "original"
WIDE = 7.6
MARGIN, GAP, BETWEEN, TOUCH = 0.08, 0.09, 0.16, 0.02
BAR = 0.82  # inches of the colour bar with its labels, and the gap before it
WIDEST = 0.75


@dataclass(frozen=True, kw_only=True, eq=False)
class RestoredRow:
    """One person at one rate.

    Attributes:
        rate: By which the image was shrunk.
        low: What is left of it: (H/rate, W/rate, 3) uint8 at its own size, shown with hard pixels.
        images: What each method makes of it, by the column's name, e.g. bicubic, solo SR, SR+ID, SR+ID+PS;
            (H, W, 3) uint8.
        original: Of the images' size.
        captions: By the column's name small text below its image, e.g. `26.1 dB, 0.91`; may lack columns.
        person: Rows of one person stand together; `` for one person only.
    """

    rate: float
    low: UInt8Image
    images: Mapping[str, UInt8Image]
    original: UInt8Image
    captions: Mapping[str, str] = field(default_factory=dict)
    person: str = ""


@styled
def restored_grid(rows: Sequence[RestoredRow], *, errors: bool = True) -> Figure:
    """A row for each person and rate: input, each restoration with the map of its errors beside it, original.

    Errors are absolute, mean of the three channels, in grey levels of 255, and on one scale for the whole figure.

    Args:
        rows: In the order shown; all with the same columns.
        errors: False leaves the maps and their colour bar out.

    Raises:
        InputError: No row, rows of other columns, something that is no image, an image that is not of its original's
            size, a caption of no column, or more columns than fit.
    """
    _check(rows)
    names = list(rows[0].images)
    left = MARGIN + max(text_width(_label(row), SMALL) for row in rows) + 0.1
    boxes = 2 + len(names) * (2 if errors else 1)
    gaps = GAP * (len(names) + 1) + (TOUCH * len(names) if errors else 0)
    right = MARGIN + (BAR if errors else 0.0)
    width = min(WIDEST, (WIDE - left - right - gaps) / boxes)
    if width < 0.25:
        raise InputError(f"rows have {len(names)} restorations; expected fewer, images would be below 0.25 inches")
    pair = 2 * width + TOUCH if errors else width
    height = box_height([row.original for row in rows], width)
    lefts = [left, *(left + width + GAP + index * (pair + GAP) for index in range(len(names) + 1))]
    texts, size = _fitted(rows, names, pair, width)
    step = height + (LINE if any(texts) else 0) + 0.07
    breaks = [BETWEEN if a.person != b.person else 0.0 for a, b in pairwise(rows)]
    top = 0.26
    tops = [top + index * step + sum(breaks[:index]) for index in range(len(rows))]

    total = lefts[-1] + width
    figure = new_figure(total + right, tops[-1] + step + MARGIN - 0.07)
    _head(figure, names, lefts, [width, *[pair] * len(names), width], errors)
    maps = {
        (index, name): absolute_error(row.images[name], row.original)
        for index, row in enumerate(rows)
        for name in names
    }
    scale = error_scale(maps.values())
    for index, (row, y) in enumerate(zip(rows, tops, strict=True)):
        write(figure, left - 0.1, y + height / 2, _label(row), ha="right", va="center", size=SMALL)
        show_image(place(figure, lefts[0], y, width, height), _hard_pixels(row.low), aspect="auto")
        show_image(place(figure, lefts[-1], y, width, height), row.original)
        for name, x in zip(names, lefts[1:-1], strict=True):
            show_image(place(figure, x, y, width, height), row.images[name])
            if errors:
                at = place(figure, x + width + TOUCH, y, width, height)
                show_image(at, maps[index, name], cmap=ERROR_COLOURS, norm=scale)
        for name, text in texts[index].items():
            column = [INPUT, *names, ORIGINAL].index(name)
            middle = lefts[column] + (pair if name in names else width) / 2
            write(figure, middle, y + height + 0.02, text, ha="center", size=size, color=MUTED)
    if errors:
        error_bar(figure, total + 0.14, top, min(2.6, tops[-1] + height - top), scale)
    return figure


def _hard_pixels(image: UInt8Image) -> UInt8Image:
    """Each pixel as a square of many, so that the page's own pixels do not make some wider than others."""
    factor = -(-1024 // image.shape[0])
    pixels: UInt8Image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    return pixels


def _label(row: RestoredRow) -> str:
    return f"{row.person}\nrate {row.rate:g}" if row.person else f"rate {row.rate:g}"


def _head(figure: Figure, names: Sequence[str], lefts: Sequence[float], widths: Sequence[float], errors: bool) -> None:
    """What the columns are, in one size that fits all."""
    columns = [INPUT, *(f"{name}, error" if errors else name for name in names), ORIGINAL]
    ratio = max(text_width(name, SMALL, "bold") / width for name, width in zip(columns, widths, strict=True))
    size = SMALL / max(1.0, ratio / 0.98)
    for name, left, width in zip(columns, lefts, widths, strict=True):
        write(figure, left + width / 2, 0.21, name, ha="center", va="bottom", size=size, weight="bold")


def _fitted(
    rows: Sequence[RestoredRow], names: Sequence[str], pair: float, width: float
) -> tuple[list[dict[str, str]], float]:
    """Captions by row and column, and one size for all that fits where they stand."""
    every = [(index, name, text) for index, row in enumerate(rows) for name, text in row.captions.items()]
    sizes = []
    for room, wide in ((pair, True), (width, False)):
        sizes.append(fit_captions([text for _, name, text in every if (name in names) == wide], room)[1])
    size = min(sizes)
    texts: list[dict[str, str]] = [{} for _ in rows]
    for index, name, text in every:
        texts[index][name] = text
    return texts, size


def _check(rows: Sequence[RestoredRow]) -> None:
    if not len(rows):
        raise InputError("rows is empty; expected at least one person at one rate")
    names = list(rows[0].images)
    for index, row in enumerate(rows):
        if not row.images or list(row.images) != names:
            found = ", ".join(row.images) or "none"
            raise InputError(f"rows[{index}] has the images {found}; expected {', '.join(names) or 'at least one'}")
        check_images([row.low], f"rows[{index}].low")
        check_images([row.original], f"rows[{index}].original")
        for name, image in row.images.items():
            check_images([image], f"rows[{index}].images[{name!r}]")
            if image.shape != row.original.shape:
                expected = f"{row.original.shape} as of the original"
                raise InputError(f"rows[{index}].images[{name!r}] has the shape {image.shape}; expected {expected}")
        for name in row.captions:
            if name not in (INPUT, *names, ORIGINAL):
                columns = ", ".join([INPUT, *names, ORIGINAL])
                raise InputError(f"rows[{index}].captions has the column {name!r}; expected one of {columns}")
