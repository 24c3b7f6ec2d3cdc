"""Tubes: the one solid that bodies are made of, and the canvas with a depth buffer that they are drawn on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crreid.synthetic.garments import Floats, Rgb
from crreid.synthetic.poses import Point

__all__ = ["Canvas", "Material", "Surface", "Tube", "View", "darker", "draw_tube", "plain"]

STATIONS = 64


@dataclass(frozen=True, kw_only=True)
class View:
    """Where a person stands in the picture, and from where it is seen (parallel projection).

    Attributes:
        yaw: Direction the person faces in radians: 0 towards the camera, pi/2 to the right, pi away.
        pitch: Angle by which the camera looks down in radians.
        scale: Canvas pixels of one body height.
        foot: (x, y) of the ground point below the person in canvas pixels.
        nearer: Added to the depth of all points, in canvas pixels; larger hides smaller.
    """

    yaw: float
    pitch: float
    scale: float
    foot: tuple[float, float]
    nearer: float = 0.0

    def project(self, point: Point) -> Point:
        """(x, y, depth) in canvas pixels of a point in body coordinates; y down, depth towards the camera."""
        x = point[0] * math.cos(self.yaw) + point[2] * math.sin(self.yaw)
        depth = -point[0] * math.sin(self.yaw) + point[2] * math.cos(self.yaw)
        up = point[1] * math.cos(self.pitch) - depth * math.sin(self.pitch)
        towards = depth * math.cos(self.pitch) + point[1] * math.sin(self.pitch)
        return self.foot[0] + x * self.scale, self.foot[1] - up * self.scale, towards * self.scale + self.nearer


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The visible points of one tube.

    Attributes:
        index: (N,) flat indices into the canvas.
        along: (N,) position on the axis, 0 at the tube's start and 1 at its end.
        lateral: (N,) offset from the axis to the person's left, in body heights.
        frontal: (N,) sine of the angle around the axis: 1 in front, -1 at the back.
        around: (N,) distance around the axis from the middle of the front, in body heights.
        down: (N,) distance from the tube's start along the axis, in body heights.
        normal: Three (N,) components of the unit normal: right, down, towards the camera.
    """

    index: NDArray[np.intp]
    along: Floats
    lateral: Floats
    frontal: Floats
    around: Floats
    down: Floats
    normal: tuple[Floats, Floats, Floats]


Material = Callable[[Surface], Floats]
"""Colours the points of a surface: (N, 3) in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Tube:
    """An elliptic tube between two points, its width given by a profile along the axis.

    Attributes:
        start: Upper end in body coordinates.
        end: Lower end in body coordinates.
        width: Half width from side to side in body heights, where the profile is 1.
        flatness: Half depth from front to back over half width.
        profile: Factors on the width at evenly spaced stations from start to end.
        cap: Length of the rounded ends over half width; 0 cuts the tube off.
        material: How it is coloured.
        folds: How deep the folds of its cloth are, 0 to 1.
        behind: Taken from the depth of all points, in body heights, for what lies under other cloth.
    """

    start: Point
    end: Point
    width: float
    material: Material
    flatness: float = 1.0
    profile: tuple[float, ...] = (1.0, 1.0)
    cap: float = 1.0
    folds: float = 0.0
    behind: float = 0.0


@dataclass
class Canvas:
    """A picture under way: depths, and the surfaces drawn so far with their colours.

    Attributes:
        depth: (height, width) largest depth drawn at each pixel; minus infinity where nothing is.
        layers: Surfaces in drawing order with their colours and fold depths; later ones cover earlier ones.
    """

    depth: Floats
    layers: list[tuple[Surface, Floats, float]] = field(default_factory=list)

    @classmethod
    def empty(cls, height: int, width: int) -> Canvas:
        """A canvas without anything on it."""
        return cls(np.full((height, width), -np.inf, np.float32))


def draw_tube(canvas: Canvas, tube: Tube, view: View) -> None:
    """Draws the part of a tube that is not hidden by what the canvas holds."""
    x0, y0, depth0 = view.project(tube.start)
    x1, y1, depth1 = view.project(tube.end)
    length = max(math.hypot(x1 - x0, y1 - y0), 0.5)
    axis_x, axis_y = ((x1 - x0) / length, (y1 - y0) / length) if length > 0.5 else (0.0, 1.0)
    sine, cosine = math.sin(view.yaw), math.cos(view.yaw)
    narrowing = math.hypot(cosine, tube.flatness * sine)  # projected half width over half width
    widest = tube.width * view.scale * max(tube.profile) * narrowing + 1
    rows = _clipped(min(y0, y1) - widest, max(y0, y1) + widest, canvas.depth.shape[0])
    columns = _clipped(min(x0, x1) - widest, max(x0, x1) + widest, canvas.depth.shape[1])
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    dy: Floats = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - y0)
    dx: Floats = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5 - x0)
    along = (dx * np.float32(axis_x) + dy * np.float32(axis_y)) / np.float32(length)
    aside: Floats = dx * np.float32(axis_y) - dy * np.float32(axis_x)
    inner: Floats = np.clip(along, 0, 1)
    table = np.interp(np.linspace(0, 1, STATIONS), np.linspace(0, 1, len(tube.profile)), tube.profile)
    widths = (table * tube.width * view.scale * narrowing).astype(np.float32)
    half = widths[(inner * np.float32(STATIONS - 1)).astype(np.intp)]
    beyond = np.asarray((along - inner) * np.float32(length / max(tube.cap, 1e-3)) / half, np.float32)
    offset = aside / half
    inward = 1 - beyond * beyond - offset * offset  # square of the normal towards the camera
    height = (
        np.float32(depth0 - tube.behind * view.scale)
        + inner * np.float32(depth1 - depth0)
        + np.sqrt(np.maximum(inward, 0)) * half * np.float32(math.hypot(sine, tube.flatness * cosine) / narrowing)
    )
    window = canvas.depth[rows, columns]
    visible = (inward > 0) & (height > window)
    row, column = np.nonzero(visible)
    if not len(row):
        return
    window[visible] = height[visible]
    index = (row + rows.start) * canvas.depth.shape[1] + column + columns.start
    parts = (inner[visible], offset[visible], beyond[visible], half[visible] / np.float32(view.scale * narrowing))
    surface = _surface(tube, view, index, parts, (axis_x, axis_y), length)
    canvas.layers.append((surface, tube.material(surface), tube.folds))


def _surface(
    tube: Tube,
    view: View,
    index: NDArray[np.intp],
    parts: tuple[Floats, Floats, Floats, Floats],
    axis: tuple[float, float],
    length: float,
) -> Surface:
    """Position around the tube and normal of each visible point.

    With half axes a (side) and b (front) and the yaw t, an ellipse's point at angle p lies at w cos(p - d) on the
    screen, where w = hypot(a cos t, b sin t) and tan d = b sin t / (a cos t).
    """
    along, offset, beyond, width = parts
    sine, cosine = math.sin(view.yaw), math.cos(view.yaw)
    turn = math.atan2(tube.flatness * sine, cosine)
    inward = np.sqrt(np.maximum(1 - offset * offset, 0))
    lateral = np.float32(math.cos(turn)) * offset - np.float32(math.sin(turn)) * inward
    frontal = np.float32(math.sin(turn)) * offset + np.float32(math.cos(turn)) * inward
    body_z = frontal / np.float32(tube.flatness)
    across = lateral * np.float32(cosine) + body_z * np.float32(sine)
    towards = -lateral * np.float32(sine) + body_z * np.float32(cosine)
    slopes = np.gradient(np.asarray(tube.profile, np.float32)) * (len(tube.profile) - 1)
    station = (along * np.float32(len(tube.profile) - 1) + np.float32(0.5)).astype(np.intp)
    lengthwise = beyond - (slopes * np.float32(tube.width * view.scale / length))[station]
    norm = 1 / np.sqrt(across * across + towards * towards + lengthwise * lengthwise)
    across, towards, lengthwise = across * norm, towards * norm, lengthwise * norm
    normal = (
        across * np.float32(axis[1]) + lengthwise * np.float32(axis[0]),
        lengthwise * np.float32(axis[1]) - across * np.float32(axis[0]),
        towards,
    )
    return Surface(
        index=index,
        along=along,
        lateral=lateral * width,
        frontal=frontal,
        around=np.arctan2(lateral, frontal) * np.float32(tube.width * (1 + tube.flatness) / 2),
        down=along * np.float32(math.dist(tube.start, tube.end)),
        normal=normal,
    )


def plain(colour: Rgb) -> Material:
    """One colour all over."""
    value = np.asarray(colour, np.float32)
    return lambda surface: np.broadcast_to(value, (len(surface.index), 3))


def darker(colour: Rgb, factor: float) -> Rgb:
    """The colour times a factor."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _clipped(low: float, high: float, size: int) -> slice:
    return slice(max(0, math.floor(low)), min(size, math.ceil(high)))
