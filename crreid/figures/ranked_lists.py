"""What a query finds: its nearest gallery images in order, the right ones framed and ticked."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.figures.panels import LINE, box_height, check_images, check_lengths, fit_captions, frame, show_image
from crreid.figures.style import MUTED, RIGHT, SMALL, WRONG, new_figure, place, styled, write

__all__ = ["ranked_lists"]

WIDE = 7.6
"""Inches: twelve boxes in a row need more than other figures."""
MARGIN, GAP, BETWEEN = 0.08, 0.07, 0.28
TICK, CROSS = "✓", "✗"


@styled
def ranked_lists(
    query_images: Sequence[UInt8Image],
    restored_images: Sequence[UInt8Image] | None,
    gallery_images: Sequence[Sequence[UInt8Image]],
    right: Sequence[Sequence[bool]],
    query_titles: Sequence[str] | None = None,
    *,
    distances: Sequence[Sequence[float]] | None = None,
) -> Figure:
    """A row a query: the query as the network sees it, its restoration, and the nearest gallery images by rank.

    Right images have a green frame and a tick, wrong ones a vermilion frame and a cross.

    Args:
        query_images: Low resolution, enlarged; (height, width, 3) uint8 each.
        restored_images: One a query; None for a method that restores nothing.
        gallery_images: Of each query the nearest images, nearest first, at most 12, without those that the protocol
            ignores. Queries may have fewer than others.
        right: Of the same shape: whether the image shows the query's identity.
        query_titles: Above the rows, e.g. `identity 131, camera 2, rate 4`.
        distances: Of the same shape as `right`, shown below the images.

    Raises:
        InputError: No query, something that is no image, or lists whose lengths do not match.
    """
    _check(query_images, restored_images, gallery_images, right, query_titles, distances)
    deepest = max(len(images) for images in gallery_images)
    heads = 1 if restored_images is None else 2
    width = min(0.8, (WIDE - 2 * MARGIN - BETWEEN - (deepest + heads - 2) * GAP) / (deepest + heads))
    height = box_height([*query_images, *(image for images in gallery_images for image in images)], width)
    titles = None if query_titles is None else list(query_titles)
    title, caption = (0.0 if titles is None else 0.24), (0.0 if distances is None else LINE + 0.02)
    top, step = 0.26, title + height + caption + 0.12
    start = MARGIN + heads * (width + GAP) - GAP + BETWEEN

    total = start + deepest * (width + GAP) - GAP + MARGIN
    figure = new_figure(total, top + len(query_images) * step - 0.12 + MARGIN)
    size = _head(figure, top - 0.05, width, start, heads, deepest)
    for row, query in enumerate(query_images):
        y = top + row * step
        if titles is not None:
            write(figure, MARGIN, y + title - 0.04, titles[row], va="bottom", size=SMALL, color=MUTED)
        y += title
        for index, image in enumerate([query] if restored_images is None else [query, restored_images[row]]):
            show_image(place(figure, MARGIN + index * (width + GAP), y, width, height), image)
        for index, (image, hit) in enumerate(zip(gallery_images[row], right[row], strict=True)):
            x = start + index * (width + GAP)
            axes = place(figure, x, y, width, height)
            show_image(axes, image)
            _mark(axes, bool(hit))
            if distances is not None:
                text = f"{distances[row][index]:.2f}"
                write(figure, x + width / 2, y + height + 0.04, text, ha="center", size=min(size, 7.5), color=MUTED)
    return figure


def _head(figure: Figure, bottom: float, width: float, start: float, heads: int, deepest: int) -> float:
    """Writes what the columns are, above `bottom`, and returns the size of the type in points."""
    names, size = fit_captions(["query", "restored"][:heads], width)
    names += ["rank 1", *(str(rank) for rank in range(2, deepest + 1))]
    lefts = [MARGIN + index * (width + GAP) for index in range(heads)]
    lefts += [start + index * (width + GAP) for index in range(deepest)]
    for left, name in zip(lefts, names, strict=True):
        write(figure, left + width / 2, bottom, name, ha="center", va="bottom", size=size)
    return size


def _mark(axes: Axes, hit: bool) -> None:
    """Frame and mark of a gallery image; the axes' gid says which, for whoever edits the SVG."""
    colour = RIGHT if hit else WRONG
    frame(axes, colour, 2.2)
    axes.set_gid("right" if hit else "wrong")
    axes.text(
        0.0,
        1.0,
        TICK if hit else CROSS,
        transform=axes.transAxes,
        ha="left",
        va="top",
        size=7.5,
        weight="bold",
        color="white",
        bbox={"boxstyle": "square,pad=0.12", "facecolor": colour, "edgecolor": "none"},
    )


def _check(
    query_images: Sequence[UInt8Image],
    restored_images: Sequence[UInt8Image] | None,
    gallery_images: Sequence[Sequence[UInt8Image]],
    right: Sequence[Sequence[bool]],
    query_titles: Sequence[str] | None,
    distances: Sequence[Sequence[float]] | None,
) -> None:
    check_images(query_images, "query_images")
    check_lengths(
        len(query_images),
        restored_images=restored_images,
        gallery_images=gallery_images,
        right=right,
        query_titles=query_titles,
        distances=distances,
    )
    if restored_images is not None:
        check_images(restored_images, "restored_images")
    for row, images in enumerate(gallery_images):
        check_images(images, f"gallery_images[{row}]")
        if len(images) > 12:
            raise InputError(f"gallery_images[{row}] has {len(images)} images; expected at most 12")
        lists = {f"right[{row}]": right[row]} | ({} if distances is None else {f"distances[{row}]": distances[row]})
        check_lengths(len(images), **lists)
