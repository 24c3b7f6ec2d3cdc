"""People: what stays the same of an identity in all images, and the cloths and prints that tell look-alikes apart.

A pattern's two colours lie around one coarse colour so that their mean is that colour: downsampling the image by four
leaves the coarse colour and removes the pattern, which is the problem of cross-resolution re-identification.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from crreid.synthetic.drawing import Floats, Rgb, choose

COARSE_UPPER: dict[Rgb, float] = {(0.46, 0.46, 0.47): 4.0, (0.53, 0.48, 0.42): 3.0, (0.40, 0.45, 0.53): 3.0}
COARSE_LOWER: dict[Rgb, float] = {(0.18, 0.18, 0.20): 3.0, (0.24, 0.29, 0.40): 3.0, (0.40, 0.39, 0.38): 2.0}
"""Coarse colours with their shares: few, and middling for upper garments, so that patterns have room both ways."""

PATTERNS = {"plain": 0.7, "stripes": 5.0, "pinstripes": 2.5, "checks": 3.0, "plaid": 2.5, "dots": 2.0}
PATTERNS |= {"diagonal": 1.5, "blocks": 2.0}
SOBER_PATTERNS = {"plain": 2.0, "pinstripes": 1.5, "checks": 1.0, "plaid": 1.0, "blocks": 0.3}
"""Patterns with their shares, of upper garments and of trousers, shorts and skirts."""

CONTRASTS: tuple[Rgb, ...] = (
    (1.0, 1.0, 1.0),  # light and dark
    (1.0, -0.7, -0.7),  # red and cyan
    (-0.8, 1.0, -0.8),  # green and purple
    (-0.8, -0.6, 1.0),  # blue and yellow
    (1.0, 0.3, -1.0),  # orange and blue
)
"""Directions in RGB along which a pattern's two colours differ: two colours from nearby, their mean from afar."""

LIGHT_PRINTS: list[Rgb] = [(0.88, 0.88, 0.86), (0.80, 0.28, 0.24), (0.85, 0.74, 0.30), (0.45, 0.68, 0.82)]
DARK_PRINTS: list[Rgb] = [(0.12, 0.12, 0.14), (0.62, 0.16, 0.18), (0.16, 0.26, 0.50), (0.18, 0.38, 0.26)]
SHAPES: dict[str, Callable[[Floats, Floats], NDArray[np.bool_]]] = {
    "square": lambda u, v: (abs(u) < 0.9) & (abs(v) < 0.9) & ~((abs(u) < 0.45) & (abs(v) < 0.4)),
    "disc": lambda u, v: u * u + v * v < 1,
    "text": lambda u, v: (abs(u) < 1.3) & (abs(v) < 1) & (np.mod(v * 1.5 + 0.4, 1) < 0.6) & (np.mod(u * 2.3, 1) < 0.75),
    "cross": lambda u, v: ((abs(u) < 0.3) & (abs(v) < 1)) | ((abs(v) < 0.3) & (abs(u) < 1)),
    "diamond": lambda u, v: abs(u) + abs(v) < 1,
    "bar": lambda u, v: (abs(u) < 1.5) & (abs(v) < 0.4),
    "ring": lambda u, v: abs(np.sqrt(u * u + v * v) - 0.72) < 0.28,
}
"""Which points belong to a print, by their offsets across and down from its centre in half heights of the print."""

SKINS: list[Rgb] = [(0.86, 0.68, 0.57), (0.80, 0.61, 0.49), (0.70, 0.51, 0.39), (0.50, 0.35, 0.26)]
HAIRS: list[Rgb] = [(0.09, 0.08, 0.08), (0.17, 0.12, 0.10), (0.32, 0.22, 0.15), (0.60, 0.47, 0.30), (0.5, 0.5, 0.5)]
HAIR_STYLES = {"bald": 0.05, "short": 0.42, "bob": 0.13, "long": 0.2, "ponytail": 0.13, "bun": 0.07}
SHOES: list[Rgb] = [(0.10, 0.10, 0.11), (0.84, 0.84, 0.83), (0.33, 0.22, 0.15), (0.45, 0.45, 0.46)]
SHOES += [(0.62, 0.16, 0.17), (0.18, 0.28, 0.52)]
SOLES: list[Rgb] = [(0.85, 0.85, 0.84), (0.12, 0.12, 0.12)]
SOCKS: list[Rgb] = [(0.85, 0.85, 0.84), (0.14, 0.14, 0.15), (0.45, 0.45, 0.46)]
ACCENTS: list[Rgb] = [(0.12, 0.12, 0.13), (0.80, 0.79, 0.76), (0.36, 0.24, 0.16), (0.20, 0.25, 0.40)]
ACCENTS += [(0.66, 0.18, 0.19), (0.28, 0.36, 0.27), (0.76, 0.62, 0.28)]


@dataclass(frozen=True, kw_only=True)
class Garment:
    """A cloth: two colours and how they alternate."""

    first: Rgb
    second: Rgb  # the same as `first` for plain cloth
    pattern: str  # one of PATTERNS
    period: float  # length after which the pattern repeats, in body heights (0.009 is about one pixel of 128)
    duty: float  # share of a period that `first` takes, between 0 and 1
    phase: float  # shift of the pattern as a share of the period
    folds: float  # depth of the folds, 0 to 1


@dataclass(frozen=True, kw_only=True)
class Print:
    """A print on the chest or the back."""

    shape: str  # one of SHAPES
    colour: Rgb
    size: float  # half height in body heights
    across: float  # centre beside the middle of the chest, in body heights
    along: float  # centre below the shoulders, in body heights
    back: bool  # whether the back carries it too


@dataclass(frozen=True, kw_only=True)
class Bag:
    """Something carried."""

    kind: str  # `backpack`, `shoulder` (strap across the body) or `handbag`
    colour: Rgb
    trim: Rgb  # of pocket, buckle and strap
    side: float  # -1 or 1, the side of the body that carries it
    size: float  # factor on the usual size


@dataclass(frozen=True, kw_only=True)
class Person:
    """An identity: build, clothes and belongings; lengths in body heights."""

    stature: float  # body height relative to the average
    girth: float  # factor on all widths
    shoulders: float  # half width of the shoulders
    head: float  # factor on the size of the head
    skin: Rgb
    hair: Rgb
    hair_style: str  # one of HAIR_STYLES
    upper: Garment  # shirt or jacket
    print_: Print | None
    inner: Rgb | None  # a shirt seen through an open jacket
    sleeve: float  # share of the arm that the sleeve covers, 0 to 1
    cuff: Rgb | None  # colour of sleeves that differ from the trunk
    hem: float  # height above ground at which the upper garment ends
    lower: Garment  # trousers, shorts or skirt
    lower_kind: str  # `trousers`, `shorts` or `skirt`
    lower_end: float  # height above ground at which they end
    looseness: float  # room between leg and cloth
    side_stripe: Rgb | None  # a stripe down the trousers' sides
    shoes: Rgb
    soles: Rgb
    socks: Rgb
    bag: Bag | None
    hat: str  # `cap`, `beanie` or empty
    hat_colour: Rgb
    hat_band: Rgb
    glasses: bool
    stride: float  # factor on the length of steps


def draw_person(generator: Generator, look: Generator) -> Person:
    """Draw an identity; the order of the draws is part of the renderer's version.

    `generator` draws what one person has alone and low resolution removes; `look` what look-alikes share. Without
    look-alikes, colour alone would find a person among a few hundred at any resolution.
    """
    chance, shared = generator.random(4).tolist(), look.random(3).tolist()
    lower_kind = choose(look, {"trousers": 0.68, "shorts": 0.20, "skirt": 0.12})
    upper = _draw_garment(generator, look, COARSE_UPPER, PATTERNS, 1.0)
    lower = _draw_garment(generator, look, COARSE_LOWER, SOBER_PATTERNS, 0.75)
    bare = upper.pattern in ("plain", "blocks")
    lower_ends = {"trousers": (0.03, 0.06), "shorts": (0.26, 0.36), "skirt": (0.16, 0.36)}
    return Person(
        stature=look.normal(1.0, 0.03) + generator.normal(0, 0.01),
        girth=min(max(look.normal(1.0, 0.10) + generator.normal(0, 0.02), 0.8), 1.3),
        shoulders=look.uniform(0.102, 0.128),
        head=look.normal(1.05, 0.04),
        skin=_near(look, SKINS),
        hair=_near(look, HAIRS, 0.01),
        hair_style=choose(look, HAIR_STYLES),
        upper=upper,
        print_=_draw_print(generator, upper) if chance[0] < (0.75 if bare else 0.15) else None,
        inner=_near(generator, ACCENTS) if chance[1] < (0.25 if bare else 0.12) else None,
        sleeve=choose(look, {0.28: 0.25, 0.45: 0.3, 1.0: 0.45}),
        cuff=_near(look, ACCENTS) if shared[0] < 0.15 else None,
        hem=choose(look, {0.50: 0.4, 0.47: 0.48, 0.38: 0.12}) + look.uniform(-0.01, 0.01),
        lower=lower,
        lower_kind=lower_kind,
        lower_end=look.uniform(*lower_ends[lower_kind]),
        looseness=look.uniform(0.001, 0.012),
        side_stripe=_near(generator, ACCENTS[1:]) if chance[2] < 0.25 else None,
        shoes=_near(look, SHOES),
        soles=_near(generator, SOLES),
        socks=_near(generator, SOCKS),
        bag=_draw_bag(generator, look) if shared[1] < 0.55 else None,
        hat=choose(look, ("cap", "beanie")) if shared[2] < 0.16 else "",
        hat_colour=_near(look, ACCENTS),
        hat_band=_near(generator, ACCENTS),
        glasses=chance[3] < 0.25,
        stride=look.uniform(0.85, 1.15),
    )


def _near(generator: Generator, colours: list[Rgb], spread: float = 0.02) -> Rgb:
    return _rgb(np.array(choose(generator, colours)) + generator.normal(0, spread, 3))


def _rgb(values: NDArray[np.float64]) -> Rgb:
    red, green, blue = np.clip(values, 0.02, 0.98).tolist()
    return red, green, blue


def _draw_garment(
    generator: Generator, look: Generator, colours: dict[Rgb, float], patterns: dict[str, float], strength: float
) -> Garment:
    """Draw a cloth whose mean colour look-alikes share; `strength` limits the difference of a pattern's two colours."""
    mean = np.array(_rgb(np.array(choose(look, colours)) + look.normal(0, 0.025) + look.normal(0, 0.015, 3)))
    pattern, duty = choose(generator, patterns), choose(generator, (0.3, 0.5, 0.7))
    contrast = np.zeros(3) if pattern == "plain" else _contrast(generator, mean, duty, strength)
    return Garment(
        first=_rgb(mean + (1 - duty) * contrast),
        second=_rgb(mean - duty * contrast),
        pattern=pattern,
        period=choose(generator, (0.054, 0.062, 0.070)) * (1.15 if pattern in ("plaid", "blocks") else 1.0),
        duty=duty,
        phase=generator.random(),
        folds=generator.uniform(0.4, 1.0),
    )


def _contrast(generator: Generator, mean: NDArray[np.float64], duty: float, strength: float) -> NDArray[np.float64]:
    """Draw the difference of a pattern's two colours, reduced to keep both in [0.04, 0.96]."""
    direction = np.array(choose(generator, CONTRASTS)) + generator.normal(0, 0.08, 3)
    direction *= choose(generator, (-1.0, 1.0))
    wanted = direction / np.abs(direction).max() * generator.uniform(0.55, 1.0) * strength
    fits = 1.0
    for value, difference in zip(mean, wanted, strict=True):
        for end in (value + (1 - duty) * difference, value - duty * difference):
            room = (0.96 - value) if end > value else (value - 0.04)
            fits = min(fits, room / max(abs(end - value), 1e-6))
    return np.asarray(wanted * max(fits, 0.0))


def _draw_bag(generator: Generator, look: Generator) -> Bag:
    return Bag(
        kind=choose(look, {"backpack": 0.45, "shoulder": 0.35, "handbag": 0.2}),
        colour=_near(look, ACCENTS),
        trim=_near(generator, ACCENTS),
        side=choose(look, (-1.0, 1.0)),
        size=look.uniform(0.85, 1.2),
    )


def _draw_print(generator: Generator, garment: Garment) -> Print:
    colours = LIGHT_PRINTS if sum(garment.first) < 1.4 else DARK_PRINTS
    small = generator.random() < 0.35
    return Print(
        shape=choose(generator, list(SHAPES)),
        colour=choose(generator, colours),
        size=generator.uniform(0.013, 0.018) if small else generator.uniform(0.026, 0.046),
        across=choose(generator, (-0.045, 0.045)) if small else 0.0,
        along=generator.uniform(0.07, 0.12),
        back=generator.random() < 0.5,
    )


def paint(garment: Garment, across: Floats, along: Floats) -> Floats:
    """Return the colours (N, 3) of a cloth at (N,) distances around and down the body, in body heights."""
    first, second = np.asarray(garment.first, np.float32), np.asarray(garment.second, np.float32)
    if garment.pattern == "plain":
        return np.broadcast_to(first, (len(across), 3))
    u, v = across / garment.period, along / garment.period + garment.phase
    share = np.asarray(_share(garment.pattern, u, v, garment.duty), np.float32)
    return second + share[:, None] * (first - second)


def _share(pattern: str, u: Floats, v: Floats, duty: float) -> NDArray[Any]:
    """Return the share of the first colour at coordinates in periods; its mean over a period is the duty."""
    match pattern:
        case "stripes":
            return _fraction(v) < duty
        case "pinstripes":
            return _fraction(u) < duty
        case "diagonal":
            return _fraction((u + v) * 0.7) < duty
        case "checks":
            return 0.5 * ((_fraction(u) < duty).astype(np.float32) + (_fraction(v) < duty))
        case "plaid":
            thin = (_fraction(u + 0.6) < 0.12) | (_fraction(v + 0.6) < 0.12)
            return np.where(thin, np.float32(duty), _share("checks", u, v, duty))
        case "dots":
            du, dv = _fraction(u + 0.5 * np.mod(np.floor(v), 2)) - 0.5, _fraction(v) - 0.5
            return du * du + dv * dv < duty / np.pi
    bands: Floats = np.mod(np.floor(v * 0.8) * 7, 10)  # blocks: broad bands of unequal height
    return bands < 10 * duty


def _fraction(values: Floats) -> Floats:
    return values - np.floor(values)
