"""Figures: a person in a pose as a list of tubes with their materials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crreid.synthetic.garments import Floats, inside_print, paint
from crreid.synthetic.heads import head
from crreid.synthetic.people import Person
from crreid.synthetic.poses import Arm, Leg, Pose
from crreid.synthetic.tubes import Material, Surface, Tube, darker, plain

__all__ = ["figure"]

TRUNK = (0.40, 0.74, 0.95, 1.0, 0.99, 0.95, 0.90, 0.87, 0.86, 0.88, 0.92, 0.95, 0.96)
SKIRT = (0.74, 0.86, 0.94, 1.0, 1.03, 1.06)


def figure(person: Person, pose: Pose) -> list[Tube]:
    """All tubes of a person, in body heights."""
    tubes = _trunk(person, pose) + head(person, pose)
    # shirts and coats hang over what is worn below
    behind = 0.03 + 0.4 * max(0.0, 0.50 - person.hem)
    lower = _seat(person, pose) + [tube for leg in pose.legs for tube in _leg(person, leg)]
    tubes += [replace(tube, behind=behind) for tube in lower]
    for arm in pose.arms:
        tubes += _arm(person, arm)
    return tubes + _bag(person, pose)


def _trunk(person: Person, pose: Pose) -> list[Tube]:
    top = (0.0, 0.845 + pose.lift, pose.lean)
    width = person.shoulders * (0.86 + 0.14 * person.girth)
    shirt = Tube(
        start=top,
        end=(0.0, person.hem + pose.lift, 0.0),
        width=width,
        flatness=0.60 + 0.25 * (person.girth - 1),
        profile=TRUNK,
        cap=0.12,
        material=_shirt(person),
        folds=person.upper.folds,
    )
    neck = Tube(
        start=(0.0, 0.90 + pose.lift, pose.lean + 0.012),
        end=(0.0, 0.81 + pose.lift, pose.lean),
        width=0.034,
        material=plain(darker(person.skin, 0.88)),
    )
    return [shirt, neck]


def _seat(person: Person, pose: Pose) -> list[Tube]:
    seat = Tube(
        start=(0.0, max(0.55, person.hem + 0.03) + pose.lift, 0.0),
        end=(0.0, 0.475 + pose.lift, 0.0),
        width=0.082 * (0.8 + 0.2 * person.girth) + person.looseness / 2,
        flatness=0.66,
        cap=0.1,
        material=_cloth(person),
        folds=person.lower.folds,
    )
    return [_skirt(person, pose)] if person.lower_kind == "skirt" else [seat]


def _skirt(person: Person, pose: Pose) -> Tube:
    spread = max(abs(leg.knee[2]) for leg in pose.legs)  # steps widen a skirt from front to back
    shirt = person.hem + 0.04
    return Tube(
        start=(0.0, max(shirt, person.lower_end + 0.1) + pose.lift, 0.0),
        end=(0.0, person.lower_end + pose.lift, 0.0),
        width=0.104 * (0.8 + 0.2 * person.girth),
        flatness=0.74 + 1.5 * spread,
        profile=SKIRT,
        cap=0.05,
        material=_cloth(person),
        folds=person.lower.folds,
    )


def _shirt(person: Person) -> Material:
    """Cloth, then the open front, the print, the straps of bags, the collar."""

    def colour(surface: Surface) -> Floats:
        result = np.array(paint(person.upper, surface.around, surface.down))
        front, side = surface.frontal > 0, surface.lateral
        if person.inner is not None:
            result[front & (np.abs(side) < 0.018 + 0.03 * (1 - surface.along))] = person.inner
        if person.print_ is not None:
            print_ = person.print_
            across = (np.where(front, side, -side) - np.float32(print_.across)) / np.float32(print_.size)
            inside = inside_print(print_.shape, across, (surface.down - np.float32(print_.along)) / print_.size)
            result[inside & (front | print_.back)] = print_.colour
        if person.bag is not None and person.bag.kind == "backpack":
            strap = np.abs(np.abs(side) - 0.055) < 0.0105
            result[strap & front & (surface.down < 0.20)] = person.bag.trim
        elif person.bag is not None and person.bag.kind == "shoulder":
            line = side * np.float32(person.bag.side) - (surface.down - np.float32(0.13)) * np.float32(0.58)
            result[np.abs(line) < 0.0105] = person.bag.trim
        result[surface.down < 0.012] *= np.float32(0.8)
        return result

    return colour


def _cloth(person: Person) -> Material:
    """Cloth of trousers, shorts or skirt."""
    return lambda surface: paint(person.lower, surface.around, surface.down)


def _trouser_leg(person: Person, above: float, end: float, drop: float) -> Material:
    """Cloth of one segment of a leg until `end` along it, skin below, a stripe down the side.

    Args:
        person: Whose leg.
        above: Length of the leg above the segment, so that patterns run on, in body heights.
        end: Where the cloth ends, as a share of the segment.
        drop: Where the sock begins, as a share of the segment; above 1 for none.
    """

    def colour(surface: Surface) -> Floats:
        result = np.array(paint(person.lower, surface.around, surface.down + np.float32(above)))
        if person.side_stripe is not None and person.lower_kind == "trousers":
            result[np.abs(surface.frontal) < 0.28] = person.side_stripe
        bare = surface.along > end
        result[bare] = person.skin
        result[bare & (surface.along > drop)] = person.socks
        return result

    return colour


def _leg(person: Person, leg: Leg) -> list[Tube]:
    room = person.looseness if person.lower_kind != "skirt" else 0.0
    skirt = person.lower_kind == "skirt"
    thigh_length, shin_length = 0.235, 0.225
    covered = 0.50 - person.lower_end
    upper_end = 0.0 if skirt else covered / thigh_length
    lower_end = 0.0 if skirt else (covered - thigh_length) / shin_length
    thick = 0.8 + 0.2 * person.girth
    folds = person.lower.folds if not skirt else 0.0
    # no thigh under a skirt: it would step through the cloth
    share = min(max((0.50 - person.lower_end - 0.02) / thigh_length, 0.0), 0.95) if skirt else 0.0
    start = tuple(hip + share * (knee - hip) for hip, knee in zip(leg.hip, leg.knee, strict=True))
    thigh = Tube(
        start=(start[0], start[1], start[2]),
        end=leg.knee,
        width=0.049 * thick + room,
        flatness=1.05,
        profile=(0.82, 0.76) if skirt else (1.0, 0.97, 0.87, 0.76),
        material=_trouser_leg(person, 0.06, upper_end, 2.0),
        folds=folds,
    )
    loose = lower_end > 0.5
    shin = Tube(
        start=leg.knee,
        end=leg.ankle,
        width=0.036 * thick + room,
        profile=(1.0, 0.98, 0.92, 0.88) if loose else (0.92, 1.0, 0.78, 0.55),
        cap=0.6,
        material=_trouser_leg(person, 0.06 + thigh_length, lower_end, 0.86),
        folds=folds,
    )
    return [thigh, shin, _shoe(person, leg)]


def _shoe(person: Person, leg: Leg) -> Tube:
    shoe, sole = np.asarray(person.shoes, np.float32), np.asarray(person.soles, np.float32)

    def colour(surface: Surface) -> Floats:
        return np.where((surface.normal[1] > 0.45)[:, None], sole, shoe)

    above = 0.010
    return Tube(
        start=(leg.heel[0], leg.heel[1] + above + 0.004, leg.heel[2]),
        end=(leg.toe[0], leg.toe[1] + above, leg.toe[2]),
        width=0.026,
        profile=(0.95, 1.0, 1.0, 0.8),
        cap=0.8,
        material=colour,
    )


def _arm(person: Person, arm: Arm) -> list[Tube]:
    thick = 0.75 + 0.25 * person.girth
    sleeve = replace(person.upper, first=person.cuff, second=person.cuff) if person.cuff else person.upper

    def part(above: float, length: float) -> Material:
        end = (person.sleeve * 0.31 - above) / length

        def colour(surface: Surface) -> Floats:
            result = np.array(paint(sleeve, surface.around, surface.down + np.float32(0.05 + above)))
            result[surface.along > end] = person.skin
            return result

        return colour

    long = 0.006 if person.sleeve > 0.9 else 0.0
    folds = person.upper.folds
    return [
        Tube(
            start=arm.shoulder,
            end=arm.elbow,
            width=0.036 * thick + long,
            profile=(0.90, 1.0, 0.86),
            material=part(0.0, 0.165),
            folds=folds,
        ),
        Tube(
            start=arm.elbow,
            end=arm.wrist,
            width=0.030 * thick + long,
            profile=(1.0, 0.92, 0.76),
            material=part(0.165, 0.145),
            folds=folds,
        ),
        Tube(
            start=arm.wrist,
            end=arm.hand,
            width=0.020,
            flatness=1.2,
            profile=(0.9, 1.1, 0.8),
            material=plain(person.skin),
        ),
    ]


def _bag(person: Person, pose: Pose) -> list[Tube]:
    bag = person.bag
    if bag is None:
        return []
    body, trim = np.asarray(bag.colour, np.float32), np.asarray(bag.trim, np.float32)

    def colour(surface: Surface) -> Floats:
        pocket = np.abs(surface.along - 0.62) < 0.045
        handle = (np.abs(surface.lateral) < 0.012) & (surface.along < 0.5)
        return np.where((pocket | handle)[:, None], trim, body)

    profile = (0.75, 0.95, 1.0, 1.0, 0.97)
    match bag.kind:
        case "backpack":
            start = (0.0, 0.82 + pose.lift, pose.lean - 0.085)
            end = (0.0, 0.82 - 0.23 * bag.size + pose.lift, -0.092)
            width, flatness = 0.078 * bag.size, 0.62
        case "shoulder":
            start = (bag.side * 0.115, 0.54 + pose.lift, -0.01)
            end = (bag.side * 0.125, 0.54 - 0.11 * bag.size + pose.lift, -0.015)
            width, flatness = 0.032, 2.0
        case _:
            x, y, z = pose.arms[0 if bag.side < 0 else 1].hand
            start, end = (x, y - 0.03, z), (x, y - 0.03 - 0.11 * bag.size, z)
            width, flatness = 0.030, 2.2
    return [Tube(start=start, end=end, width=width, flatness=flatness, profile=profile, cap=0.35, material=colour)]
