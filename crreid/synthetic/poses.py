"""Poses: the joints of a person at one moment of the walking cycle.

Body coordinates in body heights: x to the person's left, y up from the ground, z forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Arm", "Leg", "Point", "Pose", "draw_pose", "walk"]

Point = tuple[float, float, float]  # x, y, z in body heights


@dataclass(frozen=True, kw_only=True)
class Leg:
    """Joints of a leg; the foot points from heel to toe."""

    hip: Point
    knee: Point
    ankle: Point
    heel: Point
    toe: Point


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Joints of an arm."""

    shoulder: Point
    elbow: Point
    wrist: Point
    hand: Point


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A body at one moment.

    Attributes:
        lift: How much the trunk stands above its height when both legs are straight, in body heights (0 or less).
        lean: Forward shift of the shoulders over the hips, in body heights.
        legs: Right and left leg.
        arms: Right and left arm.
    """

    lift: float
    lean: float
    legs: tuple[Leg, Leg]
    arms: tuple[Arm, Arm]


def draw_pose(generator: np.random.Generator, stride: float, shoulders: float) -> Pose:
    """Draws a moment of a walk, now and then of somebody who stands, or holds something in front of the chest."""
    standing = generator.random() < 0.12
    bends = tuple(float(generator.choice([0.25, 0.9, 1.75], p=[0.78, 0.12, 0.10])) for _ in range(2))
    return walk(
        phase=float(generator.uniform(0, 2 * math.pi)),
        step=stride * float(generator.uniform(0.03, 0.12) if standing else generator.uniform(0.32, 0.5)),
        swing=float(generator.uniform(0.05, 0.15) if standing else generator.uniform(0.2, 0.5)),
        bends=(bends[0], bends[1]),
        lean=float(generator.uniform(-0.005, 0.03)),
        shoulders=shoulders,
    )


def walk(*, phase: float, step: float, swing: float, bends: tuple[float, float], lean: float, shoulders: float) -> Pose:
    """The body at one phase of the walking cycle.

    Args:
        phase: Of the cycle in radians; the left leg is half a cycle ahead.
        step: Largest angle of the thighs from the vertical in radians.
        swing: Largest angle of the upper arms in radians.
        bends: Bend of the right and the left elbow in radians.
        lean: Forward shift of the shoulders in body heights.
        shoulders: Half width of the shoulders in body heights.
    """
    right, left = _leg(-1, phase, step), _leg(1, phase + math.pi, step)
    lift = -min(right.heel[1], right.toe[1], left.heel[1], left.toe[1]) + 0.014
    arms = (
        _arm(-1, phase + math.pi, swing, bends[0], lean, lift, shoulders),
        _arm(1, phase, swing, bends[1], lean, lift, shoulders),
    )
    return Pose(lift=lift, lean=lean, legs=(_raised(right, lift), _raised(left, lift)), arms=arms)


def _leg(side: int, phase: float, step: float) -> Leg:
    hip = (side * 0.046, 0.50, 0.0)
    thigh = step * math.sin(phase) + 0.05
    # the knee bends while the leg swings forward
    flex = 0.06 + 1.9 * step * max(0.0, math.cos(phase)) ** 1.5
    knee = _hang(hip, 0.235, thigh, side * -0.02)
    ankle = _hang(knee, 0.225, thigh - flex, side * -0.01)
    tilt = 0.9 * (thigh - flex) + 0.15
    forward, up = math.cos(tilt), math.sin(tilt)
    heel = (ankle[0], ankle[1] - 0.022 * forward - 0.025 * up * 0.3, ankle[2] - 0.028 * forward)
    toe = (heel[0] + side * 0.012, heel[1] + 0.115 * up - 0.004, heel[2] + 0.115 * forward)
    return Leg(hip=hip, knee=knee, ankle=ankle, heel=heel, toe=toe)


def _arm(side: int, phase: float, swing: float, bend: float, lean: float, lift: float, shoulders: float) -> Arm:
    angle = swing * math.sin(phase) - (0.12 if bend > 0.5 else 0.0)
    shoulder = (side * (shoulders - 0.014), 0.788 + lift, lean)
    elbow = _hang(shoulder, 0.165, angle, side * 0.16)
    inward = -0.35 if bend > 1.2 else 0.0
    wrist = _hang(elbow, 0.145, angle + bend, side * (0.03 + inward))
    hand = _hang(wrist, 0.05, angle + bend + 0.1, side * inward)
    return Arm(shoulder=shoulder, elbow=elbow, wrist=wrist, hand=hand)


def _hang(start: Point, length: float, forward: float, outward: float) -> Point:
    """The end of a limb that hangs from `start`, turned by two angles in radians."""
    return (
        start[0] + length * math.sin(outward),
        start[1] - length * math.cos(forward) * math.cos(outward),
        start[2] + length * math.sin(forward) * math.cos(outward),
    )


def _raised(leg: Leg, lift: float) -> Leg:
    def up(point: Point) -> Point:
        return (point[0], point[1] + lift, point[2])

    return Leg(hip=up(leg.hip), knee=up(leg.knee), ankle=up(leg.ankle), heel=up(leg.heel), toe=up(leg.toe))
