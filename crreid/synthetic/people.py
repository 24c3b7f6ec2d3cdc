"""Identities: what stays the same of a person in all images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crreid.synthetic.garments import (
    COARSE_LOWER,
    COARSE_UPPER,
    PATTERNS,
    SOBER_PATTERNS,
    Garment,
    Print,
    Rgb,
    draw_colour,
    draw_garment,
    draw_print,
)

__all__ = ["Bag", "Person", "draw_person"]

SKINS: tuple[Rgb, ...] = ((0.86, 0.68, 0.57), (0.80, 0.61, 0.49), (0.70, 0.51, 0.39), (0.50, 0.35, 0.26))
HAIRS: tuple[Rgb, ...] = (
    (0.09, 0.08, 0.08),
    (0.17, 0.12, 0.10),
    (0.32, 0.22, 0.15),
    (0.60, 0.47, 0.30),
    (0.5, 0.5, 0.5),
)
SHOES: tuple[Rgb, ...] = (
    (0.10, 0.10, 0.11),
    (0.84, 0.84, 0.83),
    (0.33, 0.22, 0.15),
    (0.45, 0.45, 0.46),
    (0.62, 0.16, 0.17),
    (0.18, 0.28, 0.52),
)
ACCENTS: tuple[Rgb, ...] = (
    (0.12, 0.12, 0.13),
    (0.80, 0.79, 0.76),
    (0.36, 0.24, 0.16),
    (0.20, 0.25, 0.40),
    (0.66, 0.18, 0.19),
    (0.28, 0.36, 0.27),
    (0.76, 0.62, 0.28),
)


@dataclass(frozen=True, kw_only=True)
class Bag:
    """Something carried.

    Attributes:
        kind: `backpack`, `shoulder` (strap across the body) or `handbag`.
        colour: RGB in [0, 1].
        trim: RGB in [0, 1] of pocket, buckle and strap.
        side: -1 or 1, the side of the body that carries it.
        size: Factor on the usual size.
    """

    kind: str
    colour: Rgb
    trim: Rgb
    side: float
    size: float


@dataclass(frozen=True, kw_only=True)
class Person:
    """An identity: build, clothes and belongings.

    Attributes:
        stature: Body height relative to the average.
        girth: Factor on all widths.
        shoulders: Half width of the shoulders in body heights.
        head: Factor on the size of the head.
        skin: RGB in [0, 1].
        hair: RGB in [0, 1].
        hair_style: `bald`, `short`, `bob`, `long`, `ponytail` or `bun`.
        upper: Cloth of shirt or jacket.
        print_: Print on the chest, if any.
        inner: Colour of a shirt seen through an open jacket, if any.
        sleeve: Share of the arm that the sleeve covers, 0 to 1.
        cuff: Colour of sleeves that differ from the trunk, if they do.
        hem: Height above ground at which the upper garment ends, in body heights.
        lower: Cloth of trousers, shorts or skirt.
        lower_kind: `trousers`, `shorts` or `skirt`.
        lower_end: Height above ground at which they end, in body heights.
        looseness: Room between leg and cloth in body heights.
        side_stripe: Colour of a stripe down the trousers' sides, if any.
        shoes: RGB in [0, 1].
        soles: RGB in [0, 1].
        socks: RGB in [0, 1].
        bag: What the person carries, if anything.
        hat: `cap`, `beanie` or empty.
        hat_colour: RGB in [0, 1].
        hat_band: RGB in [0, 1].
        glasses: Whether the person wears glasses.
        stride: Factor on the length of steps.
    """

    stature: float
    girth: float
    shoulders: float
    head: float
    skin: Rgb
    hair: Rgb
    hair_style: str
    upper: Garment
    print_: Print | None
    inner: Rgb | None
    sleeve: float
    cuff: Rgb | None
    hem: float
    lower: Garment
    lower_kind: str
    lower_end: float
    looseness: float
    side_stripe: Rgb | None
    shoes: Rgb
    soles: Rgb
    socks: Rgb
    bag: Bag | None
    hat: str
    hat_colour: Rgb
    hat_band: Rgb
    glasses: bool
    stride: float


def draw_person(generator: np.random.Generator, look: np.random.Generator) -> Person:
    """Draws an identity; the order of the draws is part of the renderer's version.

    Args:
        generator: Of the person: patterns, prints, trims and all that low resolution takes away.
        look: Of a group of look-alikes, who share coarse colours, cut of the clothes, hair and what they carry. Without
            them, colour alone would find a person among a few hundred at any resolution.
    """
    chance, shared = generator.random(4), look.random(3)
    lower_kind = str(look.choice(["trousers", "shorts", "skirt"], p=[0.68, 0.20, 0.12]))
    upper = draw_garment(generator, draw_colour(look, COARSE_UPPER), PATTERNS, 1.0)
    lower = draw_garment(generator, draw_colour(look, COARSE_LOWER), SOBER_PATTERNS, 0.75)
    bare = upper.pattern in ("plain", "blocks")
    return Person(
        stature=float(look.normal(1.0, 0.03) + generator.normal(0, 0.01)),
        girth=float(np.clip(look.normal(1.0, 0.10) + generator.normal(0, 0.02), 0.8, 1.3)),
        shoulders=float(look.uniform(0.102, 0.128)),
        head=float(look.normal(1.05, 0.04)),
        skin=_pick(look, SKINS, 0.02),
        hair=_pick(look, HAIRS, 0.01),
        hair_style=str(
            look.choice(["bald", "short", "bob", "long", "ponytail", "bun"], p=[0.05, 0.42, 0.13, 0.2, 0.13, 0.07])
        ),
        upper=upper,
        print_=draw_print(generator, upper) if chance[0] < (0.75 if bare else 0.15) else None,
        inner=_pick(generator, ACCENTS, 0.02) if chance[1] < (0.25 if bare else 0.12) else None,
        sleeve=float(look.choice([0.28, 0.45, 1.0], p=[0.25, 0.3, 0.45])),
        cuff=_pick(look, ACCENTS, 0.02) if shared[0] < 0.15 else None,
        hem=float(look.choice([0.50, 0.47, 0.38], p=[0.4, 0.48, 0.12]) + look.uniform(-0.01, 0.01)),
        lower=lower,
        lower_kind=lower_kind,
        lower_end=_lower_end(look, lower_kind),
        looseness=float(look.uniform(0.001, 0.012)),
        side_stripe=_pick(generator, ACCENTS[1:], 0.02) if chance[2] < 0.25 else None,
        shoes=_pick(look, SHOES, 0.02),
        soles=_pick(generator, ((0.85, 0.85, 0.84), (0.12, 0.12, 0.12)), 0.02),
        socks=_pick(generator, ((0.85, 0.85, 0.84), (0.14, 0.14, 0.15), (0.45, 0.45, 0.46)), 0.02),
        bag=_draw_bag(generator, look) if shared[1] < 0.55 else None,
        hat=str(look.choice(["cap", "beanie"])) if shared[2] < 0.16 else "",
        hat_colour=_pick(look, ACCENTS, 0.02),
        hat_band=_pick(generator, ACCENTS, 0.02),
        glasses=bool(chance[3] < 0.25),
        stride=float(look.uniform(0.85, 1.15)),
    )


def _lower_end(generator: np.random.Generator, kind: str) -> float:
    low, high = {"trousers": (0.03, 0.06), "shorts": (0.26, 0.36), "skirt": (0.16, 0.36)}[kind]
    return float(generator.uniform(low, high))


def _draw_bag(generator: np.random.Generator, look: np.random.Generator) -> Bag:
    return Bag(
        kind=str(look.choice(["backpack", "shoulder", "handbag"], p=[0.45, 0.35, 0.2])),
        colour=_pick(look, ACCENTS, 0.02),
        trim=_pick(generator, ACCENTS, 0.02),
        side=float(look.choice([-1.0, 1.0])),
        size=float(look.uniform(0.85, 1.2)),
    )


def _pick(generator: np.random.Generator, colours: tuple[Rgb, ...], spread: float) -> Rgb:
    """One of the colours, a little off."""
    base = np.array(colours[int(generator.integers(len(colours)))])
    red, green, blue = (float(value) for value in np.clip(base + generator.normal(0, spread, 3), 0.02, 0.98))
    return red, green, blue
