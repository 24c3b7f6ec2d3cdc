"""Garments: coarse colours that many people share, and fine patterns that tell them apart.

A pattern's two colours are set around one coarse colour so that their mean is that colour: shrinking the image by four
leaves the coarse colour and takes the pattern away, which is the problem of cross-resolution re-identification.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COARSE_LOWER",
    "COARSE_UPPER",
    "PATTERNS",
    "SOBER_PATTERNS",
    "Floats",
    "Garment",
    "Print",
    "Rgb",
    "draw_colour",
    "draw_garment",
    "draw_print",
    "inside_print",
    "paint",
]

Floats = NDArray[np.float32]
Booleans = NDArray[np.bool_]
Rgb = tuple[float, float, float]  # display values in [0, 1]

COARSE_UPPER: dict[Rgb, float] = {
    (0.46, 0.46, 0.47): 4.0,  # grey
    (0.53, 0.48, 0.42): 3.0,  # taupe
    (0.40, 0.45, 0.53): 3.0,  # slate
}
"""Coarse colours of upper garments with their share: few and middling, so that patterns have room on both sides."""

COARSE_LOWER: dict[Rgb, float] = {
    (0.18, 0.18, 0.20): 3.0,  # black
    (0.24, 0.29, 0.40): 3.0,  # jeans
    (0.40, 0.39, 0.38): 2.0,  # grey
}
"""Coarse colours of trousers, shorts and skirts with their share."""

PATTERNS: dict[str, float] = {
    "plain": 0.7,
    "stripes": 5.0,
    "pinstripes": 2.5,
    "checks": 3.0,
    "plaid": 2.5,
    "dots": 2.0,
    "diagonal": 1.5,
    "blocks": 2.0,
}
"""Patterns of upper garments with their share."""

SOBER_PATTERNS: dict[str, float] = {"plain": 2.0, "pinstripes": 1.5, "checks": 1.0, "plaid": 1.0, "blocks": 0.3}
"""Patterns of trousers, shorts and skirts with their share."""

CONTRASTS: tuple[Rgb, ...] = (
    (1.0, 1.0, 1.0),  # light and dark
    (1.0, -0.7, -0.7),  # red and cyan
    (-0.8, 1.0, -0.8),  # green and purple
    (-0.8, -0.6, 1.0),  # blue and yellow
    (1.0, 0.3, -1.0),  # orange and blue
)
"""Directions in RGB along which a pattern's two colours differ: near to, two colours; from afar, their mean."""

SHAPES = ("square", "disc", "text", "cross", "diamond", "bar", "ring")


@dataclass(frozen=True, kw_only=True)
class Print:
    """A print on the chest or the back.

    Attributes:
        shape: One of SHAPES.
        colour: RGB in [0, 1].
        size: Half height in body heights.
        across: Centre left or right of the middle of the chest, in body heights.
        along: Centre below the shoulders, in body heights.
        back: Whether the back carries it too.
    """

    shape: str
    colour: Rgb
    size: float
    across: float
    along: float
    back: bool


@dataclass(frozen=True, kw_only=True)
class Garment:
    """A cloth: two colours and how they alternate.

    Attributes:
        first: RGB in [0, 1].
        second: RGB in [0, 1]; the same as `first` for plain cloth.
        pattern: One of PATTERNS.
        period: Distance after which the pattern repeats, in body heights (0.009 is about one pixel of 128).
        duty: Share of a period that `first` takes, between 0 and 1.
        phase: Shift of the pattern as a share of the period.
        folds: How deep the folds are, 0 to 1.
    """

    first: Rgb
    second: Rgb
    pattern: str
    period: float
    duty: float
    phase: float
    folds: float


def draw_colour(generator: np.random.Generator, coarse: dict[Rgb, float]) -> Rgb:
    """Draws one of the coarse colours by their shares, a little off."""
    colours = np.array(list(coarse))
    shares = np.array(list(coarse.values()))
    base = colours[generator.choice(len(colours), p=shares / shares.sum())]
    return _rgb(base + generator.normal(0, 0.025) + generator.normal(0, 0.015, 3))


def draw_garment(generator: np.random.Generator, colour: Rgb, patterns: dict[str, float], strength: float) -> Garment:
    """Draws a cloth by its mean colour.

    Args:
        generator: Source of chance.
        colour: Mean of the cloth, what is left of it in low resolution.
        patterns: Patterns with their shares.
        strength: Largest difference of a pattern's two colours.
    """
    mean = np.array(colour)
    weights = np.array(list(patterns.values()))
    pattern = list(patterns)[int(generator.choice(len(weights), p=weights / weights.sum()))]
    duty = float(generator.choice([0.3, 0.5, 0.7]))
    contrast = np.zeros(3) if pattern == "plain" else _contrast(generator, mean, duty, strength)
    period = float(generator.choice([0.054, 0.062, 0.070]))
    return Garment(
        first=_rgb(mean + (1 - duty) * contrast),
        second=_rgb(mean - duty * contrast),
        pattern=pattern,
        period=period * (1.15 if pattern in ("plaid", "blocks") else 1.0),
        duty=duty,
        phase=float(generator.random()),
        folds=float(generator.uniform(0.4, 1.0)),
    )


def draw_print(generator: np.random.Generator, garment: Garment) -> Print:
    """Draws a print or a small logo that stands out from `garment`."""
    dark = sum(garment.first) < 1.4
    palette = (
        [(0.88, 0.88, 0.86), (0.80, 0.28, 0.24), (0.85, 0.74, 0.30), (0.45, 0.68, 0.82)]
        if dark
        else [(0.12, 0.12, 0.14), (0.62, 0.16, 0.18), (0.16, 0.26, 0.50), (0.18, 0.38, 0.26)]
    )
    small = generator.random() < 0.35
    return Print(
        shape=str(generator.choice(SHAPES)),
        colour=palette[int(generator.integers(len(palette)))],
        size=float(generator.uniform(0.013, 0.018) if small else generator.uniform(0.026, 0.046)),
        across=float(generator.choice([-0.045, 0.045]) if small else 0.0),
        along=float(generator.uniform(0.07, 0.12)),
        back=bool(generator.random() < 0.5),
    )


def paint(garment: Garment, across: Floats, along: Floats) -> Floats:
    """Colours points of a cloth.

    Args:
        garment: The cloth.
        across: (N,) distances around the body in body heights.
        along: (N,) distances down the body in body heights.

    Returns:
        (N, 3) colours in [0, 1].
    """
    first, second = np.asarray(garment.first, np.float32), np.asarray(garment.second, np.float32)
    if garment.pattern == "plain":
        return np.broadcast_to(first, (len(across), 3))
    share = _share(garment, across / np.float32(garment.period), along / np.float32(garment.period) + garment.phase)
    return second + share[:, None] * (first - second)


def inside_print(shape: str, across: Floats, along: Floats) -> Booleans:
    """Whether points belong to a print; coordinates in half heights of the print, its centre at the origin."""
    x, y = np.abs(across), np.abs(along)
    inside: Booleans
    match shape:
        case "square":
            inside = (x < 0.9) & (y < 0.9) & ~((x < 0.45) & (y < 0.4))
        case "disc":
            inside = x * x + y * y < 1
        case "ring":
            inside = np.abs(np.sqrt(x * x + y * y) - 0.72) < 0.28
        case "text":
            inside = (x < 1.3) & (y < 1) & (np.mod(along * 1.5 + 0.4, 1) < 0.6) & (np.mod(across * 2.3, 1) < 0.75)
        case "cross":
            inside = ((x < 0.3) & (y < 1)) | ((y < 0.3) & (x < 1))
        case "diamond":
            inside = x + y < 1
        case _:
            inside = (x < 1.5) & (y < 0.4)
    return inside


def _share(garment: Garment, u: Floats, v: Floats) -> Floats:
    """(N,) share of the first colour at pattern coordinates in periods; its mean over a period is the duty."""
    duty = garment.duty
    match garment.pattern:
        case "stripes":
            inside = _fraction(v) < duty
        case "pinstripes":
            inside = _fraction(u) < duty
        case "diagonal":
            inside = _fraction((u + v) * np.float32(0.7)) < duty
        case "checks":
            return np.float32(0.5) * ((_fraction(u) < duty).astype(np.float32) + (_fraction(v) < duty))
        case "plaid":
            thin = (_fraction(u + 0.6) < 0.12) | (_fraction(v + 0.6) < 0.12)
            wide = np.float32(0.5) * ((_fraction(u) < duty).astype(np.float32) + (_fraction(v) < duty))
            return np.where(thin, np.float32(duty), wide)
        case "dots":
            shift = np.float32(0.5) * np.mod(np.floor(v), np.float32(2))
            du, dv = _fraction(u + shift) - 0.5, _fraction(v) - 0.5
            inside = du * du + dv * dv < duty / np.pi
        case _:  # blocks: broad bands of unequal height
            inside = np.mod(np.floor(v * 0.8) * 7, 10) < 10 * duty
    return inside.astype(np.float32)


def _fraction(values: Floats) -> Floats:
    return values - np.floor(values)


def _contrast(
    generator: np.random.Generator, mean: NDArray[np.float64], duty: float, strength: float
) -> NDArray[np.float64]:
    """Difference of a pattern's two colours, as large as the range [0.04, 0.96] of both allows, up to a drawn limit."""
    direction = np.array(CONTRASTS[int(generator.integers(len(CONTRASTS)))]) + generator.normal(0, 0.08, 3)
    direction *= generator.choice([-1.0, 1.0])
    wanted = direction / np.abs(direction).max() * generator.uniform(0.55, 1.0) * strength
    fits = 1.0
    for value, difference in zip(mean, wanted, strict=True):
        for end in (value + (1 - duty) * difference, value - duty * difference):
            room = (0.96 - value) if end > value else (value - 0.04)
            fits = min(fits, room / max(abs(end - value), 1e-6))
    return np.asarray(wanted * max(fits, 0.0))


def _rgb(values: NDArray[np.float64]) -> Rgb:
    red, green, blue = (float(value) for value in np.clip(values, 0.02, 0.98))
    return red, green, blue
