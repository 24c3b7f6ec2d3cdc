"""Scenes: the place that a camera watches, drawn once as a wide picture; every image shows another part of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from crreid.synthetic.garments import Floats, Rgb
from crreid.synthetic.smoothing import smooth_noise

__all__ = ["KINDS", "draw_scene"]

KINDS = ("paving", "wall", "park", "street", "arcade", "asphalt")

UNITS = (5.0, 1.6)  # (width, height) of a scene in image heights


@dataclass(frozen=True)
class Sheet:
    """A picture under way with its scale.

    Attributes:
        image: The picture.
        unit: Pixels of one image height.
        generator: Source of chance.
    """

    image: Image.Image
    unit: float
    generator: np.random.Generator

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Rgb) -> None:
        """Fills a rectangle given in image heights."""
        corners = [value * self.unit for value in (x0, y0, x1, y1)]
        ImageDraw.Draw(self.image).rectangle(corners, fill=_bytes(colour))

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Rgb) -> None:
        """Fills an ellipse given in image heights."""
        corners = [value * self.unit for value in (x - rx, y - ry, x + rx, y + ry)]
        ImageDraw.Draw(self.image).ellipse(corners, fill=_bytes(colour))

    def line(self, points: list[tuple[float, float]], colour: Rgb, width: float) -> None:
        """Draws a line given in image heights."""
        scaled = [(x * self.unit, y * self.unit) for x, y in points]
        ImageDraw.Draw(self.image).line(scaled, fill=_bytes(colour), width=max(1, round(width * self.unit)))

    def near(self, colour: Rgb, spread: float) -> Rgb:
        """The colour, lighter or darker by chance."""
        factor = 1 + float(self.generator.normal(0, spread))
        return colour[0] * factor, colour[1] * factor, colour[2] * factor


def draw_scene(generator: np.random.Generator, number: int, height: int) -> Floats:
    """Draws the place of camera `number` for images of `height` rows: (1.6 height, 5 height, 3) in [0, 1]."""
    unit = 2.0 * height  # drawn twice as large and shrunk, for soft edges
    size = (round(UNITS[0] * unit), round(UNITS[1] * unit))
    kind = KINDS[number % len(KINDS)]
    ground = _grounds(kind, generator)
    sheet = Sheet(Image.new("RGB", size, _bytes(ground)), unit, generator)
    horizon = float(generator.uniform(0.38, 0.62))
    _floor(sheet, kind, horizon, ground)
    if kind in ("wall", "arcade"):
        _wall(sheet, horizon, arcade=kind == "arcade")
    elif kind == "park":
        _greenery(sheet, horizon)
    elif kind == "street":
        _wall(sheet, horizon - 0.2, arcade=True)
        _cars(sheet, horizon)
    else:
        _distance(sheet, horizon)
    _furniture(sheet, horizon)
    small = sheet.image.filter(ImageFilter.GaussianBlur(height / 128)).reduce(2)
    picture = np.asarray(small, np.float32) / np.float32(255)
    shape = (picture.shape[0], picture.shape[1])
    picture = picture * (1 + smooth_noise(generator, shape, 2.0, 0.035)[:, :, None])
    picture *= 1 + smooth_noise(generator, shape, height * 0.15, 0.12)[:, :, None]
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def _grounds(kind: str, generator: np.random.Generator) -> Rgb:
    base = {
        "paving": (0.58, 0.56, 0.53),
        "wall": (0.50, 0.49, 0.48),
        "park": (0.52, 0.48, 0.42),
        "street": (0.40, 0.40, 0.42),
        "arcade": (0.62, 0.59, 0.54),
        "asphalt": (0.36, 0.36, 0.38),
    }[kind]
    factor = float(generator.uniform(0.85, 1.15))
    return base[0] * factor, base[1] * factor, base[2] * factor


def _floor(sheet: Sheet, kind: str, horizon: float, ground: Rgb) -> None:
    """Slabs in perspective, or cracks and stains."""
    generator = sheet.generator
    if kind in ("paving", "arcade", "wall"):
        seam = sheet.near((ground[0] * 0.82, ground[1] * 0.82, ground[2] * 0.82), 0.04)
        y, step = horizon, 0.018
        pitch = float(generator.uniform(0.09, 0.2))
        while y < UNITS[1]:
            sheet.line([(0, y), (UNITS[0], y)], seam, 0.006)
            for column in range(int(UNITS[0] / pitch) + 1):
                if generator.random() < 0.35:
                    left = column * pitch + 0.3 * (y - horizon)
                    sheet.box(left, y + 0.003, left + pitch, y + step, sheet.near(ground, 0.06))
            y, step = y + step, step * 1.28
        for column in range(-8, int(UNITS[0] / pitch) + 1):
            x = column * pitch
            sheet.line([(x, horizon), (x + 0.3 * (UNITS[1] - horizon), UNITS[1])], seam, 0.005)
    for _ in range(60):
        x, y = generator.uniform(0, UNITS[0]), generator.uniform(horizon, UNITS[1])
        sheet.disc(x, y, generator.uniform(0.005, 0.06), generator.uniform(0.003, 0.015), sheet.near(ground, 0.07))
    if kind in ("asphalt", "street"):
        for x in np.arange(0.2, UNITS[0], float(generator.uniform(0.7, 1.1))):
            sheet.line([(x, horizon + 0.08), (x + 0.4, UNITS[1])], sheet.near((0.72, 0.71, 0.66), 0.05), 0.018)


def _wall(sheet: Sheet, horizon: float, *, arcade: bool) -> None:
    """Bricks or plaster up to the horizon, with doors and windows, or shop fronts."""
    generator = sheet.generator
    options: list[Rgb] = [(0.56, 0.40, 0.33), (0.66, 0.63, 0.57), (0.50, 0.52, 0.54), (0.70, 0.66, 0.55)]
    colour = options[int(generator.integers(len(options)))]
    sheet.box(0, 0, UNITS[0], horizon, colour)
    course = 0.03
    for row in range(int(horizon / course) + 1):
        y = row * course
        sheet.line([(0, y), (UNITS[0], y)], sheet.near(colour, 0.05), 0.005)
        for x in np.arange(course * (row % 2), UNITS[0], 2 * course):
            if generator.random() < 0.3:
                sheet.box(x, y, x + 2 * course, min(y + course, horizon), sheet.near(colour, 0.06))
    x = 0.1
    while x < UNITS[0]:
        width = float(generator.uniform(0.16, 0.45))
        if arcade:
            _window(sheet, x, max(0.0, horizon - 0.5), x + width, horizon - 0.03)
        elif generator.random() < 0.5:
            wood: Rgb = [(0.32, 0.24, 0.19), (0.28, 0.34, 0.40), (0.55, 0.53, 0.50)][int(generator.integers(3))]
            sheet.box(x, horizon - 0.48, x + 0.24, horizon, wood)
            sheet.box(x + 0.03, horizon - 0.43, x + 0.21, horizon - 0.25, sheet.near(wood, 0.2))
        else:
            _window(sheet, x, horizon - 0.5, x + width, horizon - 0.2)
        x += width + float(generator.uniform(0.06, 0.5))
    sheet.box(0, horizon - 0.02, UNITS[0], horizon + 0.006, sheet.near((0.3, 0.3, 0.3), 0.1))


def _window(sheet: Sheet, x0: float, y0: float, x1: float, y1: float) -> None:
    """Glass with reflections, goods behind it, and a frame."""
    generator = sheet.generator
    sheet.box(x0, y0, x1, y1, sheet.near((0.24, 0.27, 0.30), 0.15))
    for _ in range(5):
        x, y = generator.uniform(x0, x1), generator.uniform(y0, y1)
        tint = generator.uniform(0.2, 0.65) + generator.normal(0, 0.06, 3)
        colour = (float(tint[0]), float(tint[1]), float(tint[2]))
        sheet.box(x, y, min(x + generator.uniform(0.02, 0.10), x1), min(y + generator.uniform(0.02, 0.12), y1), colour)
    frame = sheet.near((0.62, 0.62, 0.60), 0.15)
    sheet.line([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], frame, 0.012)


def _greenery(sheet: Sheet, horizon: float) -> None:
    """Lawn with leaves, bushes and trunks."""
    generator = sheet.generator
    lawn = horizon + float(generator.uniform(0.15, 0.4))
    sheet.box(0, 0, UNITS[0], lawn, (0.38, 0.43, 0.28))
    for _ in range(2600):
        x, y = float(generator.uniform(0, UNITS[0])), float(generator.uniform(0, lawn))
        size = float(generator.uniform(0.004, 0.016)) * (1.8 if y < horizon else 1.0)
        dark = 0.62 if y < horizon else 1.0
        sheet.disc(x, y, size, size * 0.8, sheet.near((0.37 * dark, 0.43 * dark, 0.27 * dark), 0.18))
    for x in np.arange(0.2, UNITS[0], 0.55):
        left = float(x + generator.uniform(-0.15, 0.15))
        sheet.box(left, 0, left + generator.uniform(0.03, 0.08), horizon + 0.05, sheet.near((0.27, 0.21, 0.16), 0.15))


def _cars(sheet: Sheet, horizon: float) -> None:
    """A row of parked cars."""
    generator = sheet.generator
    paints: list[Rgb] = [
        (0.75, 0.75, 0.76),
        (0.14, 0.14, 0.16),
        (0.45, 0.12, 0.13),
        (0.18, 0.26, 0.42),
        (0.5, 0.5, 0.5),
    ]
    x = float(generator.uniform(0, 0.2))
    while x < UNITS[0]:
        paint, length, y = paints[int(generator.integers(len(paints)))], float(generator.uniform(0.8, 1.0)), horizon
        sheet.disc(x + length / 2, y + 0.02, length * 0.55, 0.035, (0.16, 0.16, 0.17))
        sheet.disc(x + length * 0.5, y - 0.16, length * 0.33, 0.15, paint)
        sheet.disc(x + length * 0.5, y - 0.16, length * 0.28, 0.11, (0.18, 0.21, 0.24))
        sheet.box(x + 0.02, y - 0.17, x + length - 0.02, y - 0.03, paint)
        sheet.box(x, y - 0.12, x + length, y - 0.04, sheet.near(paint, 0.1))
        sheet.line([(x + 0.02, y - 0.165), (x + length - 0.02, y - 0.165)], sheet.near((0.8, 0.8, 0.8), 0.05), 0.008)
        for wheel in (0.2, 0.8):
            sheet.disc(x + length * wheel, y - 0.02, 0.06, 0.06, (0.09, 0.09, 0.10))
            sheet.disc(x + length * wheel, y - 0.02, 0.03, 0.03, (0.55, 0.55, 0.56))
        x += length + float(generator.uniform(0.1, 0.5))


def _distance(sheet: Sheet, horizon: float) -> None:
    """Buildings, hedges and passers-by far away."""
    generator = sheet.generator
    x = 0.0
    while x < UNITS[0]:
        width = float(generator.uniform(0.2, 0.7))
        colour = sheet.near(
            [(0.60, 0.58, 0.55), (0.48, 0.50, 0.52), (0.30, 0.38, 0.24)][int(generator.integers(3))], 0.1
        )
        sheet.box(x, 0, x + width, horizon, colour)
        for _ in range(int(generator.integers(2, 7))):
            left, top = x + generator.uniform(0, width), generator.uniform(0, horizon)
            sheet.box(left, top, left + 0.05, min(top + 0.09, horizon), sheet.near(colour, 0.25))
        x += width
    for _ in range(9):
        x, foot = float(generator.uniform(0, UNITS[0])), horizon + float(generator.uniform(0.02, 0.12))
        shirt = sheet.near((0.45, 0.42, 0.44), 0.35)
        sheet.box(x, foot - 0.12, x + 0.035, foot, sheet.near((0.2, 0.2, 0.24), 0.2))
        sheet.disc(x + 0.018, foot - 0.15, 0.03, 0.07, shirt)
        sheet.disc(x + 0.018, foot - 0.24, 0.017, 0.02, (0.45, 0.35, 0.30))


def _furniture(sheet: Sheet, horizon: float) -> None:
    """Lamp posts, bollards, bins and a kerb."""
    generator = sheet.generator
    for _ in range(int(generator.integers(3, 7))):
        x, foot = float(generator.uniform(0, UNITS[0])), horizon + float(generator.uniform(0.02, 0.3))
        colour = sheet.near((0.30, 0.31, 0.32), 0.25)
        match int(generator.integers(3)):
            case 0:
                sheet.box(x, 0, x + 0.025, foot, colour)
                sheet.box(x + 0.016, 0, x + 0.022, foot, sheet.near((0.5, 0.5, 0.5), 0.1))
            case 1:
                sheet.box(x, foot - 0.22, x + 0.04, foot, colour)
                sheet.box(x, foot - 0.19, x + 0.04, foot - 0.16, (0.75, 0.72, 0.65))
            case _:
                sheet.box(x, foot - 0.25, x + 0.15, foot, sheet.near((0.25, 0.36, 0.30), 0.2))
                sheet.box(x, foot - 0.25, x + 0.15, foot - 0.22, colour)
    if generator.random() < 0.6:
        y = horizon + float(generator.uniform(0.25, 0.5))
        sheet.box(0, y, UNITS[0], y + 0.02, sheet.near((0.66, 0.65, 0.62), 0.05))
        sheet.box(0, y + 0.02, UNITS[0], y + 0.032, (0.30, 0.30, 0.30))


def _bytes(colour: Rgb) -> tuple[int, int, int]:
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in colour)
    return red, green, blue
