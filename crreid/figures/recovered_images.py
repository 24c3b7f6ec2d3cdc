"""Images that a network recovers from features: of each person, at each resolution, what came in and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.figures.panels import LINE, box_height, check_images, fit_captions, show_image
from crreid.figures.style import MUTED, SMALL, new_figure, place, styled, text_width, write

__all__ = ["RecoveredImage", "recovered_images"]

WIDE = 7.6
MARGIN, TOUCH, BETWEEN = 0.08, 0.03, 0.16
WIDEST = 0.95
GIVEN, RECOVERED = "input", "recovered"


@dataclass(frozen=True, kw_only=True, eq=False)
class RecoveredImage:
    """One person at one resolution; images are (H, W, 3) uint8, of one size.

    Attributes:
        rate: By which the image was shrunk; 1 is high resolution.
        given: What the network sees, enlarged to its input size.
        recovered: What it makes of it.
        captions: Small text below both, e.g. `26.1 dB, 0.91`; may be empty.
    """

    rate: float
    given: UInt8Image
    recovered: UInt8Image
    captions: tuple[str, str] = ("", "")


@styled
def recovered_images(rows: Mapping[str, Sequence[RecoveredImage]], *, unseen: float | None = None) -> Figure:
    """A row a person; for each resolution the input and beside it what was recovered.

    Args:
        rows: By the person's label, all with the same rates in the same order.
        unseen: The least rate that training did not show; rates from there on are marked.

    Raises:
        InputError: No row or image, rows of other rates, images of other sizes, or more rates than fit.
    """
    rates, size = _check(rows)
    left = MARGIN + max(text_width(label, SMALL) for label in rows) + 0.1
    room = WIDE - left - MARGIN - BETWEEN * (len(rates) - 1)
    width = min(WIDEST, (room / len(rates) - TOUCH) / 2)
    if width < 0.3:
        raise InputError(f"rows show {len(rates)} rates; expected fewer, images would be below 0.3 inches")
    height = box_height([size], width)
    pair = 2 * width + TOUCH
    lefts = [left + index * (pair + BETWEEN) for index in range(len(rates))]
    texts = [text for row in rows.values() for image in row for text in image.captions]
    fitted, small = fit_captions(texts, width)
    captions = iter(fitted)
    step = height + (LINE + 0.06 if any(texts) else 0.06)
    top = 0.5
    figure = new_figure(lefts[-1] + pair + MARGIN, top + len(rows) * step + 0.02)
    for rate, x in zip(rates, lefts, strict=True):
        write(figure, x + pair / 2, 0.06, _title(rate, unseen), ha="center", weight="bold", size=SMALL)
        for offset, name in ((0.0, GIVEN), (width + TOUCH, RECOVERED)):
            write(figure, x + offset + width / 2, top - 0.05, name, ha="center", va="bottom", size=SMALL, color=MUTED)
    for index, (label, row) in enumerate(rows.items()):
        y = top + index * step
        write(figure, left - 0.1, y + height / 2, label, ha="right", va="center", size=SMALL)
        for x, image in zip(lefts, row, strict=True):
            for offset, pixels in ((0.0, image.given), (width + TOUCH, image.recovered)):
                show_image(place(figure, x + offset, y, width, height), pixels)
                if text := next(captions):
                    middle = x + offset + width / 2
                    write(figure, middle, y + height + 0.02, text, ha="center", size=small, color=MUTED)
    return figure


def _title(rate: float, unseen: float | None) -> str:
    if rate == 1:
        return "high resolution"
    return f"rate {rate:g} (unseen)" if unseen is not None and rate >= unseen else f"rate {rate:g}"


def _check(rows: Mapping[str, Sequence[RecoveredImage]]) -> tuple[list[float], UInt8Image]:
    """The rates, and an image of the size that all have."""
    if not rows or not all(rows.values()):
        raise InputError("rows is empty or has a person without images; expected at least one image of each person")
    first = next(iter(rows.values()))
    rates = [image.rate for image in first]
    for label, row in rows.items():
        if [image.rate for image in row] != rates:
            raise InputError(f"rows[{label!r}] has other rates than the first row; expected {rates}")
        for image in row:
            check_images([image.given], f"rows[{label!r}].given")
            check_images([image.recovered], f"rows[{label!r}].recovered")
            for pixels in (image.given, image.recovered):
                if pixels.shape != first[0].given.shape:
                    expected = f"{first[0].given.shape} as of the first image"
                    raise InputError(f"rows[{label!r}] has an image of shape {pixels.shape}; expected {expected}")
    return rates, first[0].given
