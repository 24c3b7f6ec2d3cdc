"""Occluders: things that stand between the camera and the person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from crreid.synthetic.garments import Floats

__all__ = ["occlude"]

KINDS = ("pole", "bollard", "bicycle", "car", "bush", "board")


def occlude(picture: Floats, generator: np.random.Generator) -> Floats:
    """Puts one object in front of a picture.

    Args:
        picture: (height, width, 3) in [0, 1].
        generator: Source of the kind of object, its place and its colour.

    Returns:
        (height, width, 3) in [0, 1].
    """
    height, width = picture.shape[:2]
    layer = Image.new("RGBA", (2 * width, 2 * height))
    tone = generator.uniform(0.12, 0.6) + generator.normal(0, 0.05, 3)
    kind = KINDS[int(generator.integers(len(KINDS)))]
    _draw(ImageDraw.Draw(layer), kind, (2 * width, 2 * height), tone, generator)
    values = np.asarray(layer.reduce(2), np.float32) / np.float32(255)
    alpha = values[:, :, 3:]
    light = 1 + np.float32(0.12) * np.linspace(1, -1, height, dtype=np.float32)[:, None, None]
    return np.asarray(picture * (1 - alpha) + values[:, :, :3] * light * alpha, np.float32)


def _draw(
    draw: ImageDraw.ImageDraw,
    kind: str,
    size: tuple[int, int],
    tone: NDArray[np.float64],
    generator: np.random.Generator,
) -> None:
    width, height = size
    left = float(generator.uniform(-0.1, 0.8)) * width
    match kind:
        case "pole":
            for stripe in range(5):  # a round pole: dark rims, bright middle
                x = left + stripe * 0.02 * width
                draw.rectangle(
                    (x, 0, x + 0.02 * width, height), fill=_paint(tone, (0.7, 0.95, 1.15, 0.95, 0.65)[stripe])
                )
        case "bollard":
            top = float(generator.uniform(0.62, 0.8)) * height
            draw.rounded_rectangle((left, top, left + 0.16 * width, 1.1 * height), 0.05 * width, fill=_paint(tone, 1))
            draw.rectangle(
                (left, top + 0.05 * height, left + 0.16 * width, top + 0.08 * height), fill=_paint(tone, 1.7)
            )
        case "bicycle":
            axle, radius = 0.92 * height, 0.13 * height
            for x in (left - 0.1 * width, left + 0.62 * width):
                draw.ellipse((x - radius, axle - radius, x + radius, axle + radius), outline=(25, 25, 28, 255), width=4)
            bars = [(left - 0.1 * width, axle), (left + 0.1 * width, 0.76 * height), (left + 0.3 * width, axle)]
            draw.line([*bars, (left + 0.5 * width, 0.76 * height), bars[1]], fill=_paint(tone, 1.2), width=5)
            draw.line(
                [(left + 0.62 * width, axle), (left + 0.47 * width, 0.7 * height)], fill=_paint(tone, 1.2), width=5
            )
        case "car":
            top = float(generator.uniform(0.68, 0.85)) * height
            draw.rounded_rectangle((left - width, top, left + 0.5 * width, 1.2 * height), 14, fill=_paint(tone, 1))
            draw.rectangle((left - width, top + 8, left + 0.45 * width, top + 11), fill=_paint(tone, 1.5))
            draw.ellipse((left + 0.28 * width, top + 12, left + 0.44 * width, top + 24), fill=(225, 222, 205, 255))
        case "bush":
            for _ in range(90):
                x, y = generator.uniform(-0.1, 1.1) * width, height * (1.02 - abs(generator.normal(0, 0.09)))
                leaf, shade = generator.uniform(3, 8), generator.uniform(0.6, 1.3)
                draw.ellipse((x - leaf, y - leaf, x + leaf, y + leaf), fill=_paint(np.array([0.25, 0.34, 0.17]), shade))
        case _:
            top = float(generator.uniform(0.55, 0.8)) * height
            draw.rectangle((left, top, left + 0.55 * width, 1.1 * height), fill=_paint(tone, 1))
            draw.rectangle((left + 5, top + 5, left + 0.55 * width - 5, top + 0.1 * height), fill=_paint(tone, 1.5))


def _paint(tone: NDArray[np.float64], factor: float) -> tuple[int, int, int, int]:
    red, green, blue = (int(255 * min(max(value * factor, 0.0), 1.0)) for value in tone)
    return red, green, blue, 255
