"""Heads: face, glasses, hair and hats."""

from __future__ import annotations

import numpy as np

from crreid.synthetic.garments import Floats
from crreid.synthetic.people import Person
from crreid.synthetic.poses import Point, Pose
from crreid.synthetic.tubes import Material, Surface, Tube, darker, plain

__all__ = ["head"]

HEAD = (0.52, 0.84, 0.97, 1.0, 0.99, 0.94, 0.84, 0.66, 0.42)


def _face(person: Person) -> Material:
    """Skin, hair, eyes or glasses, and a hat."""
    hat, band = np.asarray(person.hat_colour, np.float32), np.asarray(person.hat_band, np.float32)
    line = {"bald": -1.0, "short": 0.30}.get(person.hair_style, 0.27)

    def colour(surface: Surface) -> Floats:
        along, frontal, side = surface.along, surface.frontal, np.abs(surface.lateral)
        result = np.tile(np.asarray(person.skin, np.float32), (len(along), 1))
        hairy = (along < line) | ((frontal < 0.25) & (along < 0.78) & (line > 0))
        result[hairy] = person.hair
        face = (frontal > 0.3) & (along > 0.3)
        result[face & (np.abs(along - 0.5) < 0.04) & (np.abs(side - 0.018) < 0.010)] = (0.2, 0.15, 0.13)
        result[face & (np.abs(along - 0.80) < 0.025) & (side < 0.015)] = darker(person.skin, 0.7)
        if person.glasses:
            result[(frontal > -0.1) & (np.abs(along - 0.5) < 0.065) & (side > 0.004)] = (0.07, 0.07, 0.08)
        if person.hat:
            result[along < 0.30] = hat
            result[(along < 0.36) & (along >= 0.27)] = band
        return result

    return colour


def head(person: Person, pose: Pose) -> list[Tube]:
    """The tubes of a head in body heights."""
    centre = pose.lean + 0.018
    size = person.head
    top, chin = 0.985 + 0.012 * (size - 1) + pose.lift, 0.868 + pose.lift
    tubes = [
        Tube(
            start=(0.0, top, centre - 0.006),
            end=(0.0, chin, centre),
            width=0.049 * size,
            flatness=1.18,
            profile=HEAD,
            cap=0.55,
            material=_face(person),
        )
    ]
    hair = plain(person.hair)

    def strand(start: Point, end: Point, width: float, flatness: float, profile: tuple[float, ...]) -> Tube:
        return Tube(start=start, end=end, width=width, flatness=flatness, profile=profile, material=hair, folds=0.5)

    back = centre - 0.030
    match person.hair_style:
        case "long":
            tubes.append(
                strand(
                    (0.0, top - 0.03, back), (0.0, 0.76 + pose.lift, back - 0.03), 0.053, 0.6, (0.9, 1.05, 1.05, 0.8)
                )
            )
        case "bob":
            tubes.append(
                strand((0.0, top - 0.03, back + 0.008), (0.0, 0.868 + pose.lift, back), 0.055, 0.85, (0.9, 1.05, 1.0))
            )
        case "ponytail":
            tubes.append(
                strand(
                    (0.0, top - 0.035, back - 0.03), (0.0, 0.80 + pose.lift, back - 0.055), 0.019, 1.0, (1.0, 1.1, 0.6)
                )
            )
        case "bun":
            tubes.append(strand((0.0, top + 0.004, back), (0.0, top - 0.012, back - 0.006), 0.027, 1.0, (1.0, 1.0)))
    return tubes + _hat(person, top, centre)


def _hat(person: Person, top: float, centre: float) -> list[Tube]:
    if not person.hat:
        return []
    colour = plain(person.hat_colour)
    size = person.head
    crown = Tube(
        start=(0.0, top + 0.006, centre - 0.008),
        end=(0.0, top - 0.026, centre - 0.006),
        width=0.050 * size,
        flatness=1.16,
        profile=(0.62, 0.9, 1.0),
        cap=0.5 if person.hat == "beanie" else 0.3,
        material=colour,
    )
    if person.hat == "beanie":
        return [crown]
    brim = Tube(
        start=(0.0, top - 0.028, centre + 0.04),
        end=(0.0, top - 0.036, centre + 0.088),
        width=0.036 * size,
        flatness=0.25,
        cap=0.3,
        material=plain(person.hat_band),
    )
    return [crown, brim]
