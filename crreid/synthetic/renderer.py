"""The renderer: one image from the numbers (seed, identity, camera, index), and from nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image

from crreid.data.sources import UInt8Image
from crreid.synthetic.cameras import Camera, develop, draw_camera
from crreid.synthetic.figures import figure
from crreid.synthetic.garments import Floats
from crreid.synthetic.occluders import occlude
from crreid.synthetic.people import Person, draw_person
from crreid.synthetic.poses import draw_pose
from crreid.synthetic.scenes import UNITS, draw_scene
from crreid.synthetic.smoothing import box_mean, smooth_noise
from crreid.synthetic.tubes import Canvas, View, draw_tube

__all__ = ["RENDERER_VERSION", "Renderer"]

RENDERER_VERSION = "1"
"""Changes with every change of a pixel, so that cached images are made anew."""

SAMPLES = 3  # canvas pixels along the side of one image pixel

# streams of randomness, the second number of each seed
PERSON, TRACK, IMAGE, CAMERA, SCENE, FOLDS, STRANGER, LOOK = range(8)

LOOK_ALIKES = 3
"""So many identities in a row share a look: coarse colours, cut and build."""


class Renderer:
    """Draws images of people; keeps scenes, cameras and people that it has drawn before."""

    def __init__(self, *, seed: int, height: int, width: int) -> None:
        """Args: seed: 0 or more. height, width: Of the images in pixels."""
        self.seed, self.height, self.width = seed, height, width
        self._forget()

    def image(self, identity: int, camera: int, index: int) -> UInt8Image:
        """Draws one image.

        Args:
            identity: From 1; 0 draws a distractor: somebody else, a box that missed the person, or no person.
            camera: From 1.
            index: Of the image among those of this identity in this camera.

        Returns:
            (height, width, 3) uint8 RGB.
        """
        look = self._camera(camera)
        generator = self._generator(IMAGE, identity, camera, index)
        picture = self._backdrop(camera, generator)
        kind = generator.random() if identity == 0 else 1.0
        if kind > 0.25:  # the rest of the distractors are empty boxes
            track = self._generator(TRACK, identity, camera, index if identity == 0 else 0)
            person = self._stranger(track) if identity == 0 else self._person(identity)
            canvas = Canvas.empty(self.height * SAMPLES, self.width * SAMPLES)
            view = self._place(look, track, generator, person, missed=kind < 0.6)
            self._stand(canvas, person, view, generator)
            if generator.random() < 0.10:
                self._stand_by(canvas, view, generator)
            picture = self._shadow(picture, view, look)
            picture = self._compose(picture, canvas, look, generator)
        if generator.random() < 0.12:
            picture = occlude(picture, generator)
        return develop(picture, look, generator)

    def _forget(self) -> None:
        self._cameras: dict[int, Camera] = {}
        self._people: dict[int, Person] = {}
        self._scenes: dict[int, Image.Image] = {}
        self._fold_map: Floats | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves what can be drawn again behind."""
        return {"seed": self.seed, "height": self.height, "width": self.width}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _generator(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.seed, *numbers]))

    def _camera(self, number: int) -> Camera:
        if number not in self._cameras:
            self._cameras[number] = draw_camera(self._generator(CAMERA, number), number)
        return self._cameras[number]

    def _person(self, identity: int) -> Person:
        if identity not in self._people:
            look = self._generator(LOOK, (identity - 1) // LOOK_ALIKES)
            self._people[identity] = draw_person(self._generator(PERSON, identity), look)
        return self._people[identity]

    def _stranger(self, generator: np.random.Generator) -> Person:
        return draw_person(self._generator(STRANGER, int(generator.integers(2**31))), generator)

    def _backdrop(self, camera: int, generator: np.random.Generator) -> Floats:
        """Another part of the camera's scene: (height, width, 3)."""
        if camera not in self._scenes:
            drawn = draw_scene(self._generator(SCENE, camera), self._camera(camera).scene + self.seed, self.height)
            self._scenes[camera] = Image.fromarray((drawn * 255 + 0.5).astype(np.uint8))
        scene = self._scenes[camera]
        zoom = float(generator.uniform(0.8, 1.15))
        height, width = self.height * zoom, self.width * zoom
        left = float(generator.uniform(0, scene.width - width))
        top = float(generator.uniform(0.02, min(0.35, UNITS[1] - 1.15))) * self.height
        box = (left, top, left + width, top + height)
        part = scene.resize((self.width, self.height), Image.Resampling.BILINEAR, box=box)
        return np.asarray(part, np.float32) / np.float32(255) * np.float32(generator.uniform(0.85, 1.12))

    def _place(
        self,
        look: Camera,
        track: np.random.Generator,
        generator: np.random.Generator,
        person: Person,
        *,
        missed: bool,
    ) -> View:
        """Direction of walk, size, and where the detector put its box."""
        quarter = float(track.choice([0.0, 0.5, 1.0, 1.5], p=[0.32, 0.18, 0.32, 0.18]))
        yaw = math.pi * quarter + float(track.normal(0, 0.35)) + float(generator.normal(0, 0.22))
        scale, foot = float(generator.uniform(0.87, 0.97)), float(generator.normal(0.972, 0.012))
        across = float(generator.normal(0.5, 0.05))
        if generator.random() < 0.10:  # feet cut off
            foot, scale = float(generator.uniform(1.03, 1.25)), float(generator.uniform(0.95, 1.15))
        if missed:
            across += float(generator.choice([-1, 1]) * generator.uniform(0.25, 0.5))
            foot += float(generator.choice([-0.35, 0.0, 0.4]))
        size = self.height * SAMPLES
        return View(
            yaw=yaw,
            pitch=look.pitch,
            scale=scale * (1 + 0.6 * (person.stature - 1)) * size,
            foot=(across * self.width * SAMPLES, foot * size),
        )

    def _stand(self, canvas: Canvas, person: Person, view: View, generator: np.random.Generator) -> None:
        for tube in figure(person, draw_pose(generator, person.stride, person.shoulders)):
            draw_tube(canvas, tube, view)

    def _stand_by(self, canvas: Canvas, view: View, generator: np.random.Generator) -> None:
        """Somebody else at the edge of the box, in front or behind."""
        front = generator.random() < 0.4
        aside = float(generator.choice([-1, 1]) * generator.uniform(0.36, 0.6)) * self.width * SAMPLES
        lower = (
            float(generator.uniform(0.01, 0.06) if front else generator.uniform(-0.12, -0.02)) * self.height * SAMPLES
        )
        other = View(
            yaw=float(generator.uniform(0, 2 * math.pi)),
            pitch=view.pitch,
            scale=view.scale * (1.04 if front else 0.9),
            foot=(view.foot[0] + aside, view.foot[1] + lower),
            nearer=view.scale if front else -view.scale,
        )
        self._stand(canvas, self._stranger(generator), other, generator)

    def _shadow(self, picture: Floats, view: View, look: Camera) -> Floats:
        """Darkens the ground below and behind the person."""
        x = (np.arange(self.width, dtype=np.float32) + 0.5 - view.foot[0] / SAMPLES) * SAMPLES / view.scale
        y = (np.arange(self.height, dtype=np.float32) + 0.5 - view.foot[1] / SAMPLES) * SAMPLES / view.scale
        flat = max(math.sin(look.pitch), 0.12)
        u, v = x[None, :], y[:, None] / np.float32(flat)
        contact = np.exp(-((u / 0.13) ** 2) - (v / 0.22) ** 2)
        length = math.hypot(look.light[0], look.light[2])
        along_x, along_y = -look.light[0] / length, -look.light[2] / length
        along = u * np.float32(along_x) + v * np.float32(along_y)
        aside = u * np.float32(along_y) - v * np.float32(along_x)
        cast = np.exp(-((aside / 0.10) ** 2)) / (1 + np.exp(-14 * along)) / (1 + np.exp(5 * (along - 0.8)))
        dark = np.float32(0.5) * contact + np.float32(look.shadow) * cast * (1 - np.float32(look.ambient))
        return np.asarray(picture * (1 - np.minimum(dark, 0.75))[:, :, None], np.float32)

    def _compose(self, picture: Floats, canvas: Canvas, look: Camera, generator: np.random.Generator) -> Floats:
        """Lights the canvas, shrinks it and lays it over the picture."""
        if not canvas.layers:
            return picture
        colours = np.zeros((canvas.depth.size, 3), np.float32)
        for surface, albedo, folds in canvas.layers:
            shade = self._light(surface.normal, look)
            if folds:
                shade *= 1 + np.float32(0.15 * folds) * self._folds(surface.around, surface.down, generator)
            colours[surface.index] = albedo * shade[:, None]
        solid = (canvas.depth > -np.inf).astype(np.float32)
        alpha = _shrunk(solid.reshape(self.height * SAMPLES, -1, 1))
        front = _shrunk(colours.reshape(self.height * SAMPLES, -1, 3))
        depth = canvas.depth[1::SAMPLES, 1::SAMPLES]
        return picture * (1 - alpha) + front * self._nooks(depth, SAMPLES * self.height)[:, :, None]

    def _light(self, normal: tuple[Floats, Floats, Floats], look: Camera) -> Floats:
        right, down, towards = normal
        facing = right * look.light[0] + down * look.light[1] + towards * look.light[2]
        direct = np.maximum(np.float32(0.2) + np.float32(0.8) * facing, 0)
        rim = np.float32(0.80) + np.float32(0.20) * towards
        around = np.float32(look.ambient) * (1 - np.float32(0.22) * down) * rim
        return np.asarray(around + np.float32(1.18 - look.ambient) * direct, np.float32)

    def _folds(self, around: Floats, down: Floats, generator: np.random.Generator) -> Floats:
        """Wrinkles that lie differently in each image."""
        if self._fold_map is None:
            noise = self._generator(FOLDS)
            fine, broad = smooth_noise(noise, (128, 128), 2.5, 0.7), smooth_noise(noise, (128, 128), 6.0, 0.7)
            self._fold_map = fine + broad
        start = generator.integers(0, 128, 2)
        row = (down * np.float32(190)).astype(np.intp) + start[0]
        column = (around * np.float32(90) + down * np.float32(60) + 64).astype(np.intp) + start[1]
        return np.asarray(self._fold_map[row & 127, column & 127], np.float32)

    def _nooks(self, depth: Floats, size: int) -> Floats:
        """Darker where something near stands in front, as under arms and between legs: (height, width) factors."""
        known = np.maximum(depth, -np.float32(0.15 * size))
        around = box_mean(known, max(3, round(0.06 * self.height)))
        return np.asarray(1 - np.clip((around - known) * np.float32(6.0 / size), 0, 0.35), np.float32)


def _shrunk(canvas: Floats) -> Floats:
    """Means over squares of SAMPLES x SAMPLES: (height, width, channels) of the image from those of the canvas."""
    # sums of slices are several times faster than a mean over two axes
    rows = sum((canvas[offset::SAMPLES] for offset in range(1, SAMPLES)), canvas[::SAMPLES])
    total = sum((rows[:, offset::SAMPLES] for offset in range(1, SAMPLES)), rows[:, ::SAMPLES])
    return np.asarray(total * np.float32(1 / SAMPLES**2), np.float32)
