"""Bodies: the joints of a walker at one moment, and the person in that pose as a list of tubes with their materials.

Lengths and coordinates are in body heights: x to the person's left, y up from the ground, z forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from crreid.synthetic.drawing import Floats, Material, Point, Rgb, Surface, Tube, choose, plain, scaled
from crreid.synthetic.people import SHAPES, Garment, Person, paint

UPPER_ARM, FOREARM, THIGH, SHIN = 0.165, 0.145, 0.235, 0.225

HEAD = (0.52, 0.84, 0.97, 1.0, 0.99, 0.94, 0.84, 0.66, 0.42)
TRUNK = (0.40, 0.74, 0.95, 1.0, 0.99, 0.95, 0.90, 0.87, 0.86, 0.88, 0.92, 0.95, 0.96)
SKIRT = (0.74, 0.86, 0.94, 1.0, 1.03, 1.06)
BAG = (0.75, 0.95, 1.0, 1.0, 0.97)
"""Profiles of tubes from top to bottom, as factors on their width."""


class Leg(NamedTuple):
    """Joints of a leg; the foot points from heel to toe."""

    hip: Point
    knee: Point
    ankle: Point
    heel: Point
    toe: Point


class Arm(NamedTuple):
    """Joints of an arm."""

    shoulder: Point
    elbow: Point
    wrist: Point
    hand: Point


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A body at one moment."""

    lift: float  # height of the trunk above where it is when both legs are straight (0 or less)
    lean: float  # forward shift of the shoulders over the hips
    legs: tuple[Leg, Leg]  # right and left
    arms: tuple[Arm, Arm]  # right and left


def draw_pose(generator: Generator, stride: float, shoulders: float) -> Pose:
    """Draw a moment of a walk, now and then of somebody who stands, or holds something in front of the chest."""
    standing = generator.random() < 0.12
    bends = {0.25: 0.78, 0.9: 0.12, 1.75: 0.10}
    return walk(
        bends=(choose(generator, bends), choose(generator, bends)),
        phase=generator.uniform(0, 2 * math.pi),
        step=stride * (generator.uniform(0.03, 0.12) if standing else generator.uniform(0.32, 0.5)),
        swing=generator.uniform(0.05, 0.15) if standing else generator.uniform(0.2, 0.5),
        lean=generator.uniform(-0.005, 0.03),
        shoulders=shoulders,
    )


def walk(*, phase: float, step: float, swing: float, bends: tuple[float, float], lean: float, shoulders: float) -> Pose:
    """Return the body at one phase of the walking cycle; the left leg is half a cycle ahead.

    `step` and `swing` are the largest angles of thighs and upper arms, `bends` those of the elbows, in radians.
    """
    hanging = _leg_joints(-1, phase, step), _leg_joints(1, phase + math.pi, step)
    lift = -min(min(leg.heel[1], leg.toe[1]) for leg in hanging) + 0.014
    right, left = (Leg(*((x, y + lift, z) for x, y, z in leg)) for leg in hanging)
    top = (shoulders - 0.014, 0.788 + lift, lean)
    right_arm = _arm_joints(-1, swing * math.sin(phase + math.pi), bends[0], top)
    left_arm = _arm_joints(1, swing * math.sin(phase), bends[1], top)
    return Pose(lift=lift, lean=lean, legs=(right, left), arms=(right_arm, left_arm))


def _leg_joints(side: int, phase: float, step: float) -> Leg:
    hip = (side * 0.046, 0.50, 0.0)
    thigh = step * math.sin(phase) + 0.05
    flex = 0.06 + 1.9 * step * max(0.0, math.cos(phase)) ** 1.5  # the knee bends while the leg swings forward
    knee = _hang(hip, THIGH, thigh, side * -0.02)
    ankle = _hang(knee, SHIN, thigh - flex, side * -0.01)
    tilt = 0.9 * (thigh - flex) + 0.15
    forward, up = math.cos(tilt), math.sin(tilt)
    heel = (ankle[0], ankle[1] - 0.022 * forward - 0.025 * up * 0.3, ankle[2] - 0.028 * forward)
    toe = (heel[0] + side * 0.012, heel[1] + 0.115 * up - 0.004, heel[2] + 0.115 * forward)
    return Leg(hip, knee, ankle, heel, toe)


def _arm_joints(side: int, angle: float, bend: float, top: Point) -> Arm:
    angle -= 0.12 if bend > 0.5 else 0.0
    inward = -0.35 if bend > 1.2 else 0.0
    shoulder = (side * top[0], top[1], top[2])
    elbow = _hang(shoulder, UPPER_ARM, angle, side * 0.16)
    wrist = _hang(elbow, FOREARM, angle + bend, side * (0.03 + inward))
    return Arm(shoulder, elbow, wrist, _hang(wrist, 0.05, angle + bend + 0.1, side * inward))


def _hang(start: Point, length: float, forward: float, outward: float) -> Point:
    return (
        start[0] + length * math.sin(outward),
        start[1] - length * math.cos(forward) * math.cos(outward),
        start[2] + length * math.sin(forward) * math.cos(outward),
    )


def body(person: Person, pose: Pose) -> list[Tube]:
    """Return all tubes of a person in a pose."""
    behind = 0.03 + 0.4 * max(0.0, 0.50 - person.hem)  # shirts and coats hang over what is worn below
    below = [_seat(person, pose), *(tube for leg in pose.legs for tube in _leg(person, leg))]
    lower = [replace(tube, behind=behind) for tube in below]
    arms = [tube for arm in pose.arms for tube in _arm(person, arm)]
    return [*_trunk(person, pose), *_head(person, pose), *lower, *arms, *_bag(person, pose)]


def _trunk(person: Person, pose: Pose) -> list[Tube]:
    start, end = (0.0, 0.845 + pose.lift, pose.lean), (0.0, person.hem + pose.lift, 0.0)
    width, flatness = person.shoulders * (0.86 + 0.14 * person.girth), 0.60 + 0.25 * (person.girth - 1)
    nape, collar = (0.0, 0.90 + pose.lift, pose.lean + 0.012), (0.0, 0.81 + pose.lift, pose.lean)
    return [
        Tube(start, end, width, _shirt(person), flatness=flatness, profile=TRUNK, cap=0.12, folds=person.upper.folds),
        Tube(nape, collar, 0.034, plain(scaled(person.skin, 0.88))),
    ]


def _shirt(person: Person) -> Material:
    def colour(surface: Surface) -> Floats:
        result = np.array(paint(person.upper, surface.around, surface.down))
        front, side = surface.frontal > 0, surface.lateral
        if person.inner is not None:
            result[front & (np.abs(side) < 0.018 + 0.03 * (1 - surface.along))] = person.inner
        if person.print_ is not None:
            print_ = person.print_
            across = (np.where(front, side, -side) - print_.across) / print_.size
            inside = SHAPES[print_.shape](across, (surface.down - print_.along) / print_.size)
            result[inside & (front | print_.back)] = print_.colour
        if person.bag is not None and person.bag.kind == "backpack":
            strap = np.abs(np.abs(side) - 0.055) < 0.0105
            result[strap & front & (surface.down < 0.20)] = person.bag.trim
        elif person.bag is not None and person.bag.kind == "shoulder":
            line = side * person.bag.side - (surface.down - 0.13) * 0.58
            result[np.abs(line) < 0.0105] = person.bag.trim
        result[surface.down < 0.012] *= 0.8
        return result

    return colour


def _head(person: Person, pose: Pose) -> list[Tube]:
    lift, centre, size = pose.lift, pose.lean + 0.018, person.head
    top, back = 0.985 + 0.012 * (size - 1) + lift, centre - 0.030
    start, end = (0.0, top, centre - 0.006), (0.0, 0.868 + lift, centre)
    tubes = [Tube(start, end, 0.049 * size, _face(person), flatness=1.18, profile=HEAD, cap=0.55)]
    strands: dict[str, tuple[Point, Point, float, float, tuple[float, ...]]] = {
        "long": ((0, top - 0.03, back), (0, 0.76 + lift, back - 0.03), 0.053, 0.6, (0.9, 1.05, 1.05, 0.8)),
        "bob": ((0, top - 0.03, back + 0.008), (0, 0.868 + lift, back), 0.055, 0.85, (0.9, 1.05, 1.0)),
        "ponytail": ((0, top - 0.035, back - 0.03), (0, 0.80 + lift, back - 0.055), 0.019, 1.0, (1.0, 1.1, 0.6)),
        "bun": ((0, top + 0.004, back), (0, top - 0.012, back - 0.006), 0.027, 1.0, (1.0, 1.0)),
    }
    if person.hair_style in strands:
        start, end, width, flatness, profile = strands[person.hair_style]
        tubes.append(Tube(start, end, width, plain(person.hair), flatness=flatness, profile=profile, folds=0.5))
    if person.hat:
        start, end = (0.0, top + 0.006, centre - 0.008), (0.0, top - 0.026, centre - 0.006)
        crown, cap = plain(person.hat_colour), 0.5 if person.hat == "beanie" else 0.3
        tubes.append(Tube(start, end, 0.050 * size, crown, flatness=1.16, profile=(0.62, 0.9, 1.0), cap=cap))
    if person.hat == "cap":
        start, end = (0.0, top - 0.028, centre + 0.04), (0.0, top - 0.036, centre + 0.088)
        tubes.append(Tube(start, end, 0.036 * size, plain(person.hat_band), flatness=0.25, cap=0.3))
    return tubes


def _face(person: Person) -> Material:
    hairline = {"bald": -1.0, "short": 0.30}.get(person.hair_style, 0.27)

    def colour(surface: Surface) -> Floats:
        along, frontal, side = surface.along, surface.frontal, np.abs(surface.lateral)
        result = np.tile(np.asarray(person.skin, np.float32), (len(along), 1))
        result[(along < hairline) | ((frontal < 0.25) & (along < 0.78) & (hairline > 0))] = person.hair
        face = (frontal > 0.3) & (along > 0.3)
        result[face & (np.abs(along - 0.5) < 0.04) & (np.abs(side - 0.018) < 0.010)] = (0.2, 0.15, 0.13)
        result[face & (np.abs(along - 0.80) < 0.025) & (side < 0.015)] = scaled(person.skin, 0.7)
        if person.glasses:
            result[(frontal > -0.1) & (np.abs(along - 0.5) < 0.065) & (side > 0.004)] = (0.07, 0.07, 0.08)
        if person.hat:
            result[along < 0.30] = person.hat_colour
            result[(along < 0.36) & (along >= 0.27)] = person.hat_band
        return result

    return colour


def _cloth(
    garment: Garment, skin: Rgb, above: float, end: float, *, stripe: Rgb | None = None, sock: Rgb | None = None
) -> Material:
    """Return a cloth on the share `end` of a tube, `above` body heights down its limb, then skin and a sock."""

    def colour(surface: Surface) -> Floats:
        result = np.array(paint(garment, surface.around, surface.down + above))
        if stripe is not None:
            result[np.abs(surface.frontal) < 0.28] = stripe
        bare = surface.along > end
        result[bare] = skin
        if sock is not None:
            result[bare & (surface.along > 0.86)] = sock
        return result

    return colour


def _seat(person: Person, pose: Pose) -> Tube:
    lift, thick, folds = pose.lift, 0.8 + 0.2 * person.girth, person.lower.folds
    cloth = _cloth(person.lower, person.skin, 0.0, 1.0)
    if person.lower_kind == "skirt":
        spread = max(abs(leg.knee[2]) for leg in pose.legs)  # steps widen a skirt from front to back
        start = (0.0, max(person.hem + 0.04, person.lower_end + 0.1) + lift, 0.0)
        end, flatness = (0.0, person.lower_end + lift, 0.0), 0.74 + 1.5 * spread
        return Tube(start, end, 0.104 * thick, cloth, flatness=flatness, profile=SKIRT, cap=0.05, folds=folds)
    start, end = (0.0, max(0.55, person.hem + 0.03) + lift, 0.0), (0.0, 0.475 + lift, 0.0)
    return Tube(start, end, 0.082 * thick + person.looseness / 2, cloth, flatness=0.66, cap=0.1, folds=folds)


def _leg(person: Person, leg: Leg) -> list[Tube]:
    skirt, lower = person.lower_kind == "skirt", person.lower
    thick, covered = 0.8 + 0.2 * person.girth, 0.50 - person.lower_end
    room, folds = (0.0, 0.0) if skirt else (person.looseness, lower.folds)
    thigh_end, shin_end = (0.0, 0.0) if skirt else (covered / THIGH, (covered - THIGH) / SHIN)
    # no thigh under a skirt: it would step through the cloth
    share = min(max((covered - 0.02) / THIGH, 0.0), 0.95) if skirt else 0.0
    x, y, z = (hip + share * (knee - hip) for hip, knee in zip(leg.hip, leg.knee, strict=True))
    stripe = person.side_stripe if person.lower_kind == "trousers" else None
    cloth = _cloth(lower, person.skin, 0.06, thigh_end, stripe=stripe)
    profile = (0.82, 0.76) if skirt else (1.0, 0.97, 0.87, 0.76)
    thigh = Tube((x, y, z), leg.knee, 0.049 * thick + room, cloth, flatness=1.05, profile=profile, folds=folds)
    cloth = _cloth(lower, person.skin, 0.06 + THIGH, shin_end, stripe=stripe, sock=person.socks)
    profile = (1.0, 0.98, 0.92, 0.88) if shin_end > 0.5 else (0.92, 1.0, 0.78, 0.55)
    shin = Tube(leg.knee, leg.ankle, 0.036 * thick + room, cloth, profile=profile, cap=0.6, folds=folds)
    return [thigh, shin, _shoe(person, leg)]


def _shoe(person: Person, leg: Leg) -> Tube:
    shoe, sole = np.asarray(person.shoes, np.float32), np.asarray(person.soles, np.float32)

    def colour(surface: Surface) -> Floats:
        return np.where((surface.normal[1] > 0.45)[:, None], sole, shoe)

    heel, toe = leg.heel, leg.toe
    start, end = (heel[0], heel[1] + 0.010 + 0.004, heel[2]), (toe[0], toe[1] + 0.010, toe[2])
    return Tube(start, end, 0.026, colour, profile=(0.95, 1.0, 1.0, 0.8), cap=0.8)


def _arm(person: Person, arm: Arm) -> list[Tube]:
    thick, long, folds = 0.75 + 0.25 * person.girth, 0.006 if person.sleeve > 0.9 else 0.0, person.upper.folds
    cloth = replace(person.upper, first=person.cuff, second=person.cuff) if person.cuff else person.upper
    covered = person.sleeve * (UPPER_ARM + FOREARM)
    upper = _cloth(cloth, person.skin, 0.05, covered / UPPER_ARM)
    lower = _cloth(cloth, person.skin, 0.05 + UPPER_ARM, (covered - UPPER_ARM) / FOREARM)
    return [
        Tube(arm.shoulder, arm.elbow, 0.036 * thick + long, upper, profile=(0.90, 1.0, 0.86), folds=folds),
        Tube(arm.elbow, arm.wrist, 0.030 * thick + long, lower, profile=(1.0, 0.92, 0.76), folds=folds),
        Tube(arm.wrist, arm.hand, 0.020, plain(person.skin), flatness=1.2, profile=(0.9, 1.1, 0.8)),
    ]


def _bag(person: Person, pose: Pose) -> list[Tube]:
    bag = person.bag
    if bag is None:
        return []
    cloth, trim = np.asarray(bag.colour, np.float32), np.asarray(bag.trim, np.float32)

    def colour(surface: Surface) -> Floats:
        pocket = np.abs(surface.along - 0.62) < 0.045
        handle = (np.abs(surface.lateral) < 0.012) & (surface.along < 0.5)
        return np.where((pocket | handle)[:, None], trim, cloth)

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
    return [Tube(start, end, width, colour, flatness=flatness, profile=BAG, cap=0.35)]
