"""Scenes: the place that a camera watches, drawn once as a wide picture, and what stands between camera and person.

Every image shows another part of its camera's scene. Lengths are in image heights, colours are drawn around given ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from crreid.synthetic.drawing import Floats, Rgb, choose, scaled

SCENE_WIDTH, SCENE_HEIGHT = 5.0, 1.6

GROUNDS: dict[str, Rgb] = {"paving": (0.58, 0.56, 0.53), "wall": (0.50, 0.49, 0.48), "park": (0.52, 0.48, 0.42)}
GROUNDS |= {"street": (0.40, 0.40, 0.42), "arcade": (0.62, 0.59, 0.54), "asphalt": (0.36, 0.36, 0.38)}
"""Kinds of places, which cameras have in turn, by the colour of their ground."""

FACADES: list[Rgb] = [(0.56, 0.40, 0.33), (0.66, 0.63, 0.57), (0.50, 0.52, 0.54), (0.70, 0.66, 0.55)]
DOORS: list[Rgb] = [(0.32, 0.24, 0.19), (0.28, 0.34, 0.40), (0.55, 0.53, 0.50)]
FAR_WALLS: list[Rgb] = [(0.60, 0.58, 0.55), (0.48, 0.50, 0.52), (0.30, 0.38, 0.24)]
PAINTS: list[Rgb] = [(0.75, 0.75, 0.76), (0.14, 0.14, 0.16), (0.45, 0.12, 0.13), (0.18, 0.26, 0.42), (0.5, 0.5, 0.5)]
OCCLUDERS = ("pole", "bollard", "bicycle", "car", "bush", "board")


class Sheet:
    """A picture in progress, drawn on in image heights."""

    def __init__(self, generator: Generator, unit: float, ground: Rgb) -> None:
        """Start with the ground alone, `unit` pixels per image height."""
        self.generator, self.unit = generator, unit
        self.image = Image.new("RGB", (round(SCENE_WIDTH * unit), round(SCENE_HEIGHT * unit)), _bytes(ground))
        self._draw = ImageDraw.Draw(self.image)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Rgb) -> None:
        """Fill a rectangle."""
        self._draw.rectangle([value * self.unit for value in (x0, y0, x1, y1)], fill=_bytes(colour))

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Rgb) -> None:
        """Fill an ellipse."""
        self._draw.ellipse([v * self.unit for v in (x - rx, y - ry, x + rx, y + ry)], fill=_bytes(colour))

    def line(self, points: list[tuple[float, float]], colour: Rgb, width: float) -> None:
        """Draw a line through points."""
        corners = [(x * self.unit, y * self.unit) for x, y in points]
        self._draw.line(corners, fill=_bytes(colour), width=max(1, round(width * self.unit)))

    def near(self, colour: Rgb, spread: float) -> Rgb:
        """Return the colour, lighter or darker by chance."""
        return scaled(colour, 1 + self.generator.normal(0, spread))


def _bytes(colour: Rgb) -> tuple[int, int, int]:
    red, green, blue = (round(255 * min(max(value, 0.0), 1.0)) for value in colour)
    return red, green, blue


def draw_scene(generator: Generator, number: int, height: int) -> Floats:
    """Draw place `number` for images of `height` rows: (1.6 height, 5 height, 3) in [0, 1]."""
    kind = list(GROUNDS)[number % len(GROUNDS)]
    ground = scaled(GROUNDS[kind], generator.uniform(0.85, 1.15))
    sheet = Sheet(generator, 2.0 * height, ground)  # twice as large and reduced at the end, for soft edges
    horizon = generator.uniform(0.38, 0.62)
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
    picture = np.asarray(small, np.float32) / 255
    for grain, strength in ((2.0, 0.035), (height * 0.15, 0.12)):
        picture = picture * (1 + smooth_noise(generator, (small.height, small.width), grain, strength)[:, :, None])
    return np.clip(picture, 0, 1)


def smooth_noise(generator: Generator, shape: tuple[int, int], grain: float, strength: float) -> Floats:
    """Draw noise of standard deviation `strength`, smooth over `grain` pixels, that repeats at its borders."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    window = np.exp(-2 * (math.pi * grain) ** 2 * (rows**2 + columns**2))
    window[0, 0] = 0
    noise = np.fft.irfft2(np.fft.rfft2(generator.standard_normal(shape)) * window, shape)
    return (noise * (strength / max(float(noise.std()), 1e-9))).astype(np.float32)


def _floor(sheet: Sheet, kind: str, horizon: float, ground: Rgb) -> None:
    generator = sheet.generator
    if kind in ("paving", "arcade", "wall"):
        seam = sheet.near(scaled(ground, 0.82), 0.04)
        y, step, pitch = horizon, 0.018, generator.uniform(0.09, 0.2)
        while y < SCENE_HEIGHT:
            sheet.line([(0, y), (SCENE_WIDTH, y)], seam, 0.006)
            for column in range(int(SCENE_WIDTH / pitch) + 1):
                if generator.random() < 0.35:
                    left = column * pitch + 0.3 * (y - horizon)
                    sheet.box(left, y + 0.003, left + pitch, y + step, sheet.near(ground, 0.06))
            y, step = y + step, step * 1.28
        for column in range(-8, int(SCENE_WIDTH / pitch) + 1):
            x = column * pitch
            sheet.line([(x, horizon), (x + 0.3 * (SCENE_HEIGHT - horizon), SCENE_HEIGHT)], seam, 0.005)
    for _ in range(60):
        x, y = generator.uniform(0, SCENE_WIDTH), generator.uniform(horizon, SCENE_HEIGHT)
        sheet.disc(x, y, generator.uniform(0.005, 0.06), generator.uniform(0.003, 0.015), sheet.near(ground, 0.07))
    if kind in ("asphalt", "street"):
        for x in np.arange(0.2, SCENE_WIDTH, generator.uniform(0.7, 1.1)):
            mark = sheet.near((0.72, 0.71, 0.66), 0.05)
            sheet.line([(x, horizon + 0.08), (x + 0.4, SCENE_HEIGHT)], mark, 0.018)


def _wall(sheet: Sheet, horizon: float, *, arcade: bool) -> None:
    generator = sheet.generator
    colour, course = choose(generator, FACADES), 0.03
    sheet.box(0, 0, SCENE_WIDTH, horizon, colour)
    for row in range(int(horizon / course) + 1):
        y = row * course
        sheet.line([(0, y), (SCENE_WIDTH, y)], sheet.near(colour, 0.05), 0.005)
        for x in np.arange(course * (row % 2), SCENE_WIDTH, 2 * course):
            if generator.random() < 0.3:
                sheet.box(x, y, x + 2 * course, min(y + course, horizon), sheet.near(colour, 0.06))
    x = 0.1
    while x < SCENE_WIDTH:
        width = generator.uniform(0.16, 0.45)
        if arcade:
            _window(sheet, x, max(0.0, horizon - 0.5), x + width, horizon - 0.03)
        elif generator.random() < 0.5:
            wood = choose(generator, DOORS)
            sheet.box(x, horizon - 0.48, x + 0.24, horizon, wood)
            sheet.box(x + 0.03, horizon - 0.43, x + 0.21, horizon - 0.25, sheet.near(wood, 0.2))
        else:
            _window(sheet, x, horizon - 0.5, x + width, horizon - 0.2)
        x += width + generator.uniform(0.06, 0.5)
    sheet.box(0, horizon - 0.02, SCENE_WIDTH, horizon + 0.006, sheet.near((0.3, 0.3, 0.3), 0.1))


def _window(sheet: Sheet, x0: float, y0: float, x1: float, y1: float) -> None:
    generator = sheet.generator
    sheet.box(x0, y0, x1, y1, sheet.near((0.24, 0.27, 0.30), 0.15))
    for _ in range(5):
        x, y = generator.uniform(x0, x1), generator.uniform(y0, y1)
        red, green, blue = generator.uniform(0.2, 0.65) + generator.normal(0, 0.06, 3)
        right, bottom = min(x + generator.uniform(0.02, 0.10), x1), min(y + generator.uniform(0.02, 0.12), y1)
        sheet.box(x, y, right, bottom, (red, green, blue))
    frame = sheet.near((0.62, 0.62, 0.60), 0.15)
    sheet.line([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], frame, 0.012)


def _greenery(sheet: Sheet, horizon: float) -> None:
    generator = sheet.generator
    lawn = horizon + generator.uniform(0.15, 0.4)
    sheet.box(0, 0, SCENE_WIDTH, lawn, (0.38, 0.43, 0.28))
    for _ in range(2600):
        x, y, size = generator.uniform(0, SCENE_WIDTH), generator.uniform(0, lawn), generator.uniform(0.004, 0.016)
        size, dark = (size * 1.8, 0.62) if y < horizon else (size, 1.0)
        sheet.disc(x, y, size, size * 0.8, sheet.near(scaled((0.37, 0.43, 0.27), dark), 0.18))
    for x in np.arange(0.2, SCENE_WIDTH, 0.55):
        left = x + generator.uniform(-0.15, 0.15)
        sheet.box(left, 0, left + generator.uniform(0.03, 0.08), horizon + 0.05, sheet.near((0.27, 0.21, 0.16), 0.15))


def _cars(sheet: Sheet, horizon: float) -> None:
    generator, y = sheet.generator, horizon
    x = generator.uniform(0, 0.2)
    while x < SCENE_WIDTH:
        paint, length = choose(generator, PAINTS), generator.uniform(0.8, 1.0)
        sheet.disc(x + length / 2, y + 0.02, length * 0.55, 0.035, (0.16, 0.16, 0.17))
        sheet.disc(x + length * 0.5, y - 0.16, length * 0.33, 0.15, paint)
        sheet.disc(x + length * 0.5, y - 0.16, length * 0.28, 0.11, (0.18, 0.21, 0.24))
        sheet.box(x + 0.02, y - 0.17, x + length - 0.02, y - 0.03, paint)
        sheet.box(x, y - 0.12, x + length, y - 0.04, sheet.near(paint, 0.1))
        sheet.line([(x + 0.02, y - 0.165), (x + length - 0.02, y - 0.165)], sheet.near((0.8, 0.8, 0.8), 0.05), 0.008)
        for wheel in (0.2, 0.8):
            sheet.disc(x + length * wheel, y - 0.02, 0.06, 0.06, (0.09, 0.09, 0.10))
            sheet.disc(x + length * wheel, y - 0.02, 0.03, 0.03, (0.55, 0.55, 0.56))
        x += length + generator.uniform(0.1, 0.5)


def _distance(sheet: Sheet, horizon: float) -> None:
    generator, x = sheet.generator, 0.0
    while x < SCENE_WIDTH:
        width = generator.uniform(0.2, 0.7)
        colour = sheet.near(choose(generator, FAR_WALLS), 0.1)
        sheet.box(x, 0, x + width, horizon, colour)
        for _ in range(generator.integers(2, 7)):
            left, top = x + generator.uniform(0, width), generator.uniform(0, horizon)
            sheet.box(left, top, left + 0.05, min(top + 0.09, horizon), sheet.near(colour, 0.25))
        x += width
    for _ in range(9):
        x, foot = generator.uniform(0, SCENE_WIDTH), horizon + generator.uniform(0.02, 0.12)
        shirt = sheet.near((0.45, 0.42, 0.44), 0.35)
        sheet.box(x, foot - 0.12, x + 0.035, foot, sheet.near((0.2, 0.2, 0.24), 0.2))
        sheet.disc(x + 0.018, foot - 0.15, 0.03, 0.07, shirt)
        sheet.disc(x + 0.018, foot - 0.24, 0.017, 0.02, (0.45, 0.35, 0.30))


def _furniture(sheet: Sheet, horizon: float) -> None:
    generator = sheet.generator
    for _ in range(generator.integers(3, 7)):
        x, foot = generator.uniform(0, SCENE_WIDTH), horizon + generator.uniform(0.02, 0.3)
        colour = sheet.near((0.30, 0.31, 0.32), 0.25)
        match choose(generator, ("lamp", "bollard", "bin")):
            case "lamp":
                sheet.box(x, 0, x + 0.025, foot, colour)
                sheet.box(x + 0.016, 0, x + 0.022, foot, sheet.near((0.5, 0.5, 0.5), 0.1))
            case "bollard":
                sheet.box(x, foot - 0.22, x + 0.04, foot, colour)
                sheet.box(x, foot - 0.19, x + 0.04, foot - 0.16, (0.75, 0.72, 0.65))
            case _:
                sheet.box(x, foot - 0.25, x + 0.15, foot, sheet.near((0.25, 0.36, 0.30), 0.2))
                sheet.box(x, foot - 0.25, x + 0.15, foot - 0.22, colour)
    if generator.random() < 0.6:
        y = horizon + generator.uniform(0.25, 0.5)
        sheet.box(0, y, SCENE_WIDTH, y + 0.02, sheet.near((0.66, 0.65, 0.62), 0.05))
        sheet.box(0, y + 0.02, SCENE_WIDTH, y + 0.032, (0.30, 0.30, 0.30))


def occlude(picture: Floats, generator: Generator) -> Floats:
    """Return the picture, (height, width, 3) in [0, 1], with one object in front."""
    height, width = picture.shape[:2]
    layer = Image.new("RGBA", (2 * width, 2 * height))  # reduced at the end, for soft edges
    tone = generator.uniform(0.12, 0.6) + generator.normal(0, 0.05, 3)
    _draw_occluder(ImageDraw.Draw(layer), choose(generator, OCCLUDERS), layer.size, tone, generator)
    values = np.asarray(layer.reduce(2), np.float32) / 255
    alpha = values[:, :, 3:]
    light = 1 + 0.12 * np.linspace(1, -1, height, dtype=np.float32)[:, None, None]
    return picture * (1 - alpha) + values[:, :, :3] * light * alpha


def _draw_occluder(
    draw: ImageDraw.ImageDraw, kind: str, size: tuple[int, int], tone: Iterable[float], generator: Generator
) -> None:
    def paint(factor: float, colour: Iterable[float] = tone) -> tuple[int, int, int, int]:
        red, green, blue = (int(255 * min(max(value * factor, 0.0), 1.0)) for value in colour)
        return red, green, blue, 255

    width, height = size
    left = generator.uniform(-0.1, 0.8) * width
    match kind:
        case "pole":
            for stripe, factor in enumerate((0.7, 0.95, 1.15, 0.95, 0.65)):  # round: dark rims, bright middle
                x = left + stripe * 0.02 * width
                draw.rectangle((x, 0, x + 0.02 * width, height), fill=paint(factor))
        case "bollard":
            top, right = generator.uniform(0.62, 0.8) * height, left + 0.16 * width
            draw.rounded_rectangle((left, top, right, 1.1 * height), 0.05 * width, fill=paint(1))
            draw.rectangle((left, top + 0.05 * height, right, top + 0.08 * height), fill=paint(1.7))
        case "bicycle":
            axle, radius = 0.92 * height, 0.13 * height
            rear, front, frame = left - 0.1 * width, left + 0.62 * width, paint(1.2)
            for x in (rear, front):
                draw.ellipse((x - radius, axle - radius, x + radius, axle + radius), outline=(25, 25, 28, 255), width=4)
            seat = (left + 0.1 * width, 0.76 * height)
            bars = [(rear, axle), seat, (left + 0.3 * width, axle), (left + 0.5 * width, 0.76 * height), seat]
            draw.line(bars, fill=frame, width=5)
            draw.line([(front, axle), (left + 0.47 * width, 0.7 * height)], fill=frame, width=5)
        case "car":
            top = generator.uniform(0.68, 0.85) * height
            draw.rounded_rectangle((left - width, top, left + 0.5 * width, 1.2 * height), 14, fill=paint(1))
            draw.rectangle((left - width, top + 8, left + 0.45 * width, top + 11), fill=paint(1.5))
            draw.ellipse((left + 0.28 * width, top + 12, left + 0.44 * width, top + 24), fill=(225, 222, 205, 255))
        case "bush":
            for _ in range(90):
                x, y = generator.uniform(-0.1, 1.1) * width, height * (1.02 - abs(generator.normal(0, 0.09)))
                leaf, shade = generator.uniform(3, 8), generator.uniform(0.6, 1.3)
                draw.ellipse((x - leaf, y - leaf, x + leaf, y + leaf), fill=paint(shade, (0.25, 0.34, 0.17)))
        case _:
            top, right = generator.uniform(0.55, 0.8) * height, left + 0.55 * width
            draw.rectangle((left, top, right, 1.1 * height), fill=paint(1))
            draw.rectangle((left + 5, top + 5, right - 5, top + 0.1 * height), fill=paint(1.5))
