"""Image panels, which several figures are made of: checked, framed, captioned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.figures.style import SMALL, text_width

__all__ = ["LINE", "box_height", "check_images", "check_lengths", "fit_captions", "frame", "show_image"]

LINE = 0.155
"""Inches from one line of small type to the next."""


def check_images(images: Sequence[UInt8Image], name: str) -> None:
    """Raises InputError unless there is an image and each is (height, width, 3) uint8; `name` says whose they are."""
    if not len(images):
        raise InputError(f"{name} is empty; expected at least one image")
    for index, image in enumerate(images):
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"{name}[{index}] is {found}; expected an image of shape (height, width, 3), uint8")
        if 0 in image.shape:
            raise InputError(f"{name}[{index}] has the shape {image.shape}; expected at least one pixel")


def check_lengths(expected: int, **lists: Sequence[Any] | None) -> None:
    """Raises InputError naming the first list whose length is not the expected one; None stands for no list."""
    for name, items in lists.items():
        if items is not None and len(items) != expected:
            raise InputError(f"{name} has {len(items)} entries; expected {expected}, one for each image or row")


def box_height(images: Sequence[UInt8Image], width: float) -> float:
    """Inches of height that give the tallest of the images, by its proportions, room in boxes of a width in inches."""
    return width * min(4.0, max(float(image.shape[0] / image.shape[1]) for image in images))


def show_image(axes: Axes, image: np.ndarray, **options: Any) -> None:
    """Draws an image without ticks, smoothly resampled; in a box of other proportions it is centred."""
    axes.imshow(image, interpolation="antialiased", **options)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def frame(axes: Axes, colour: str, width: float) -> None:
    """Frames an image in a colour; the width is in points."""
    axes.spines[:].set(visible=True, color=colour, linewidth=width)


def fit_captions(captions: Sequence[str], width: float, *, smallest: float = 6.0) -> tuple[list[str], float]:
    """Makes captions fit a width in inches.

    Returns:
        The captions and one size in points for all: small type, or less down to `smallest`; a line that is too long
        even then ends in an ellipsis.
    """
    width *= 0.97  # neighbours do not touch
    widest = max((text_width(caption, SMALL) for caption in captions), default=0.0)
    size = SMALL if widest <= width else max(smallest, SMALL * width / widest)
    fitted = ["\n".join(_shorten(line, width, size) for line in caption.split("\n")) for caption in captions]
    return fitted, size


def _shorten(line: str, width: float, size: float) -> str:
    if text_width(line, size) <= width * 1.001:
        return line
    while line and text_width(f"{line}…", size) > width:
        line = line[:-1]
    return f"{line.rstrip()}…"
