"""What everything is drawn with: chance, colours, and tubes on a canvas, the one solid that bodies are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 wherever pixels are meant
Rgb = tuple[float, float, float]  # display values in [0, 1]
Point = tuple[float, float, float]  # in body heights: x to the person's left, y up from the ground, z forward

STATIONS = 64  # steps of a tube's profile
T = TypeVar("T")


def choose(generator: Generator, options: Sequence[T] | Mapping[T, float]) -> T:
    """Draw one of the options, which a mapping gives with their shares."""
    if isinstance(options, Mapping):
        shares = np.array(list(options.values()))
        return list(options)[generator.choice(len(shares), p=shares / shares.sum())]
    return options[generator.choice(len(options))]


def scaled(colour: Rgb, factor: float) -> Rgb:
    """Return a colour times a factor."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


@dataclass(frozen=True, kw_only=True)
class View:
    """Where a person stands in the picture, and from where it is seen (parallel projection)."""

    yaw: float  # direction the person faces in radians: 0 towards the camera, pi/2 to the right, pi away
    pitch: float  # angle by which the camera looks down in radians
    scale: float  # canvas pixels per body height
    foot: tuple[float, float]  # (x, y) of the ground point below the person in canvas pixels
    nearer: float = 0.0  # added to the depth of all points, in canvas pixels; larger hides smaller

    def project(self, point: Point) -> Point:
        """Return (x, y, depth) of a point of the body in canvas pixels; y down, depth towards the camera."""
        x = point[0] * math.cos(self.yaw) + point[2] * math.sin(self.yaw)
        depth = -point[0] * math.sin(self.yaw) + point[2] * math.cos(self.yaw)
        up = point[1] * math.cos(self.pitch) - depth * math.sin(self.pitch)
        towards = depth * math.cos(self.pitch) + point[1] * math.sin(self.pitch)
        return self.foot[0] + x * self.scale, self.foot[1] - up * self.scale, towards * self.scale + self.nearer


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The N visible points of one tube; every array has the shape (N,)."""

    index: NDArray[np.intp]  # flat indices into the canvas
    along: Floats  # position on the axis, 0 at the tube's start and 1 at its end
    lateral: Floats  # offset from the axis to the person's left, in body heights
    frontal: Floats  # sine of the angle around the axis: 1 in front, -1 at the back
    around: Floats  # distance around the axis from the middle of the front, in body heights
    down: Floats  # distance from the tube's start along the axis, in body heights
    normal: tuple[Floats, Floats, Floats]  # unit normal: right, down, towards the camera


Material = Callable[[Surface], Floats]  # colours the points of a surface: (N, 3) in [0, 1]


def plain(colour: Rgb) -> Material:
    """Return the material of one colour all over."""
    value = np.asarray(colour, np.float32)
    return lambda surface: np.broadcast_to(value, (len(surface.index), 3))


@dataclass(frozen=True)
class Tube:
    """An elliptic tube between two points, its width given by a profile along the axis."""

    start: Point  # upper end
    end: Point  # lower end
    width: float  # half width from side to side in body heights, where the profile is 1
    material: Material
    _: KW_ONLY
    flatness: float = 1.0  # half depth from front to back over half width
    profile: tuple[float, ...] = (1.0, 1.0)  # factors on the width at evenly spaced stations from start to end
    cap: float = 1.0  # length of the rounded ends over half width; 0 cuts the tube off
    folds: float = 0.0  # depth of the folds of its cloth, 0 to 1
    behind: float = 0.0  # subtracted from the depth in body heights, for what lies under other cloth


class Canvas:
    """A picture in progress: the largest depth drawn at each pixel, and the surfaces drawn so far."""

    def __init__(self, height: int, width: int) -> None:
        """Start empty, minus infinitely deep."""
        self.depth: Floats = np.full((height, width), -np.inf, np.float32)
        self.layers: list[tuple[Surface, Floats, float]] = []  # with colours and depth of folds

    def draw(self, tube: Tube, view: View) -> None:
        """Draw the part of a tube that is not hidden by what the canvas holds."""
        x0, y0, depth0 = view.project(tube.start)
        x1, y1, depth1 = view.project(tube.end)
        length = max(math.hypot(x1 - x0, y1 - y0), 0.5)
        axis = ((x1 - x0) / length, (y1 - y0) / length) if length > 0.5 else (0.0, 1.0)
        sine, cosine = math.sin(view.yaw), math.cos(view.yaw)
        narrowing = math.hypot(cosine, tube.flatness * sine)  # projected half width over half width
        widest = tube.width * view.scale * max(tube.profile) * narrowing + 1
        height, width = self.depth.shape
        top, bottom = max(0, math.floor(min(y0, y1) - widest)), min(height, math.ceil(max(y0, y1) + widest))
        left, right = max(0, math.floor(min(x0, x1) - widest)), min(width, math.ceil(max(x0, x1) + widest))
        if top >= bottom or left >= right:
            return
        dy = np.arange(top, bottom, dtype=np.float32)[:, None] + (0.5 - y0)
        dx = np.arange(left, right, dtype=np.float32)[None, :] + (0.5 - x0)
        along = (dx * axis[0] + dy * axis[1]) / length
        inner = np.clip(along, 0, 1)
        widths = (_profile(tube.profile)[0] * tube.width * view.scale * narrowing).astype(np.float32)
        half = widths[(inner * (STATIONS - 1)).astype(np.intp)]
        beyond = (along - inner) * (length / max(tube.cap, 1e-3)) / half
        offset = (dx * axis[1] - dy * axis[0]) / half
        inward = 1 - beyond * beyond - offset * offset  # square of the normal towards the camera
        bulge = np.sqrt(np.maximum(inward, 0)) * half * (math.hypot(sine, tube.flatness * cosine) / narrowing)
        depth = (depth0 - tube.behind * view.scale) + inner * (depth1 - depth0) + bulge
        window = self.depth[top:bottom, left:right]
        visible = (inward > 0) & (depth > window)
        row, column = np.nonzero(visible)
        if not len(row):
            return
        window[visible] = depth[visible]
        index = (row + top) * width + column + left
        parts = (inner[visible], offset[visible], beyond[visible], half[visible] / (view.scale * narrowing))
        surface = _surface(tube, view, index, parts, axis, length)
        self.layers.append((surface, tube.material(surface), tube.folds))


@lru_cache(maxsize=64)
def _profile(factors: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return a profile at STATIONS steps along the tube, and its slopes where it is given."""
    table = np.interp(np.linspace(0, 1, STATIONS), np.linspace(0, 1, len(factors)), factors)
    return table, np.gradient(np.asarray(factors, np.float32)) * (len(factors) - 1)


def _surface(
    tube: Tube, view: View, index: NDArray[np.intp], parts: Sequence[Floats], axis: tuple[float, float], length: float
) -> Surface:
    """Return the visible points.

    With half axes a (side) and b (front) and the yaw t, an ellipse's point at angle p lies at w cos(p - d) on the
    screen, where w = hypot(a cos t, b sin t) and tan d = b sin t / (a cos t).
    """
    along, offset, beyond, width = parts
    sine, cosine = math.sin(view.yaw), math.cos(view.yaw)
    turn = math.atan2(tube.flatness * sine, cosine)
    inward = np.sqrt(np.maximum(1 - offset * offset, 0))
    lateral = math.cos(turn) * offset - math.sin(turn) * inward
    frontal = math.sin(turn) * offset + math.cos(turn) * inward
    body_z = frontal / tube.flatness
    across = lateral * cosine + body_z * sine
    towards = -lateral * sine + body_z * cosine
    station = (along * (len(tube.profile) - 1) + 0.5).astype(np.intp)
    lengthwise = beyond - (_profile(tube.profile)[1] * (tube.width * view.scale / length))[station]
    norm = 1 / np.sqrt(across * across + towards * towards + lengthwise * lengthwise)
    across, towards, lengthwise = across * norm, towards * norm, lengthwise * norm
    return Surface(
        index=index,
        along=along,
        lateral=lateral * width,
        frontal=frontal,
        around=np.arctan2(lateral, frontal) * (tube.width * (1 + tube.flatness) / 2),
        down=along * math.dist(tube.start, tube.end),
        normal=(across * axis[1] + lengthwise * axis[0], lengthwise * axis[1] - across * axis[0], towards),
    )
