"""Sheets of pedestrian boxes: a sample of a data set, persons across cameras, one image at several rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from crreid.data.degradation import Degradation, degrade, shrink
from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.figures.panels import LINE, box_height, check_images, check_lengths, fit_captions, show_image
from crreid.figures.style import MUTED, SMALL, WIDTH, new_figure, place, styled, text_width, write

__all__ = ["contact_sheet", "degradation_sheet", "identities_across_cameras"]

GAP = 0.06
MARGIN = 0.08
WIDEST_BOX = 0.9  # a few images are not blown up to fill the page


@styled
def contact_sheet(
    images: Sequence[UInt8Image],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 8,
    row_labels: Sequence[str] | None = None,
) -> Figure:
    """A grid of images in reading order.

    Args:
        images: (height, width, 3) uint8 each; sizes may differ.
        titles: Small captions below the images, one an image; lines are broken by newlines.
        columns: Images in a row.
        row_labels: Left of the rows, one a row.

    Raises:
        InputError: No image, something that is none, fewer than one column, or lists of another length.
    """
    check_images(images, "images")
    if columns < 1:
        raise InputError(f"columns must be at least 1, not {columns}")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    check_lengths(len(images), titles=titles)
    check_lengths(rows, row_labels=row_labels)

    labels = [] if row_labels is None else list(row_labels)
    left = MARGIN + max((text_width(label, SMALL) + 0.1 for label in labels), default=0.0)
    width = min(WIDEST_BOX, (WIDTH - left - MARGIN + GAP) / columns - GAP)
    if width < 0.15:
        raise InputError(f"columns is {columns}; expected fewer, the images would be narrower than 0.15 inches")
    height = box_height(images, width)
    captions, size = fit_captions([] if titles is None else list(titles), width)
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    step = height + lines * LINE + GAP

    figure = new_figure(left + columns * (width + GAP) - GAP + MARGIN, 2 * MARGIN + rows * step - GAP)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        x, y = left + column * (width + GAP), MARGIN + row * step
        show_image(place(figure, x, y, width, height), image)
        if captions:
            write(figure, x + width / 2, y + height + 0.02, captions[index], ha="center", size=size, color=MUTED)
    for row, label in enumerate(labels):
        write(figure, left - 0.1, MARGIN + row * step + height / 2, label, ha="right", va="center", size=SMALL)
    return figure


@styled
def identities_across_cameras(
    images: Sequence[UInt8Image], identities: Sequence[int], cameras: Sequence[int], *, images_per_camera: int = 2
) -> Figure:
    """The same persons in all cameras: a row an identity, a group of columns a camera; what does not exist stays empty.

    Args:
        images: (height, width, 3) uint8 each.
        identities: Of the images; rows come in the order in which they appear.
        cameras: Of the images; groups are sorted.
        images_per_camera: At most so many images of an identity in a camera, the first ones.

    Raises:
        InputError: No image, something that is none, lists of another length, or too many cameras for a page.
    """
    check_images(images, "images")
    check_lengths(len(images), identities=identities, cameras=cameras)
    if images_per_camera < 1:
        raise InputError(f"images_per_camera must be at least 1, not {images_per_camera}")
    found: dict[int, dict[int, list[UInt8Image]]] = {}
    for image, identity, camera in zip(images, identities, cameras, strict=True):
        found.setdefault(int(identity), {}).setdefault(int(camera), []).append(image)
    groups = sorted({int(camera) for camera in cameras})

    left = MARGIN + max(0.4, *(text_width(f"{identity}", SMALL) for identity in found)) + 0.25
    between, top, gap = 0.16, 0.28, 0.03
    room = (WIDTH - left - MARGIN - between * (len(groups) - 1)) / len(groups)
    width = min(WIDEST_BOX, (room + gap) / images_per_camera - gap)
    if width < 0.15:
        raise InputError(f"{len(groups)} cameras of {images_per_camera} images are too many; expected fewer on a page")
    room = images_per_camera * (width + gap) - gap
    height = box_height(images, width)

    total = left + len(groups) * (room + between) - between + MARGIN
    figure = new_figure(total, top + len(found) * (height + GAP) - GAP + MARGIN)
    name = "camera " if room > text_width("camera 88", SMALL) else ""
    write(figure, left - 0.1, top - 0.05, "identity", ha="right", va="bottom", size=SMALL, color=MUTED)
    for column, camera in enumerate(groups):
        x = left + column * (room + between)
        write(figure, x + room / 2, top - 0.05, f"{name}{camera}", ha="center", va="bottom", size=SMALL, color=MUTED)
        for row, (identity, of_identity) in enumerate(found.items()):
            y = top + row * (height + GAP)
            for index, image in enumerate(of_identity.get(camera, ())[:images_per_camera]):
                show_image(place(figure, x + index * (width + gap), y, width, height), image)
            if column == 0:
                write(figure, left - 0.1, y + height / 2, f"{identity}", ha="right", va="center", size=SMALL)
    return figure


@styled
def degradation_sheet(
    image: UInt8Image,
    rates: Sequence[float] = (1, 2, 3, 4, 8),
    *,
    size: tuple[int, int] | None = None,
    degradation: Degradation | None = None,
) -> Figure:
    """One image at several rates: what is left of it, true to scale, beside the enlarged image that networks see.

    Args:
        image: (height, width, 3) uint8.
        rates: At least 1; 1 is the image itself.
        size: (height, width) of the networks' input; None = the image's own.
        degradation: How images are shrunk and enlarged; None = the default.

    Raises:
        InputError: No image, no rate, or one below 1.
    """
    check_images([image], "image")
    if not len(rates):
        raise InputError("rates is empty; expected at least one rate, e.g. 1, 2, 3, 4")
    degradation = degradation or Degradation()
    small = [shrink(image, rate, degradation) for rate in rates]
    shares = [part.shape[1] / image.shape[1] if rate > 1 else 0.0 for part, rate in zip(small, rates, strict=True)]

    gap, between, top, bottom = 0.05, 0.2, 0.28, 0.42
    gaps = 2 * MARGIN + sum(gap for share in shares if share) + between * (len(rates) - 1)
    width = min(WIDEST_BOX * 1.2, (WIDTH - gaps) / (len(rates) + sum(shares)))
    height = box_height([image], width)
    figure = new_figure(gaps + width * (len(rates) + sum(shares)), top + height + bottom)
    x = MARGIN
    for rate, part, share in zip(rates, small, shares, strict=True):
        start = x
        if share:
            part_height = height * part.shape[0] / image.shape[0]
            show_image(place(figure, x, top + height - part_height, share * width, part_height), part)
            x += share * width + gap
        seen = degrade(image, rate, size or (image.shape[0], image.shape[1]), degradation)
        show_image(place(figure, x, top, width, height), seen, aspect="auto")
        x += width
        middle, pixels = (start + x) / 2, f"{part.shape[0]} × {part.shape[1]}\npixels"
        write(figure, middle, top - 0.06, f"rate {rate:g}", ha="center", va="bottom", weight="bold", size=10)
        write(figure, middle, top + height + 0.05, pixels, ha="center", size=SMALL, color=MUTED)
        x += between
    return figure
