"""The renderer: one image from the numbers (seed, identity, camera, index), and from nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image

from crreid.data.sources import UInt8Image
from crreid.synthetic.bodies import body, draw_pose
from crreid.synthetic.cameras import Camera, box_mean, develop, draw_camera
from crreid.synthetic.drawing import Canvas, Floats, View, choose
from crreid.synthetic.people import Person, draw_person
from crreid.synthetic.scenes import draw_scene, occlude, smooth_noise

RENDERER_VERSION = "2"
"""Changes with every change of a pixel, so that cached images are drawn again."""

SAMPLES = 3  # canvas pixels along the side of one image pixel
LOOK_ALIKES = 3  # successive identities that share a look: coarse colours, cut and build

# streams of random numbers, the second number of each seed
PERSON, TRACK, IMAGE, CAMERA, SCENE, FOLDS, STRANGER, LOOK = range(8)


def _stream(*numbers: int) -> Generator:
    return np.random.default_rng(numbers)


# what several images share is drawn once per process
@lru_cache(maxsize=1024)
def _person(seed: int, identity: int) -> Person:
    return draw_person(_stream(seed, PERSON, identity), _stream(seed, LOOK, (identity - 1) // LOOK_ALIKES))


@lru_cache(maxsize=64)
def _scene(seed: int, camera: int, height: int) -> Image.Image:
    drawn = draw_scene(_stream(seed, SCENE, camera), camera + seed, height)
    return Image.fromarray((drawn * 255 + 0.5).astype(np.uint8))


@lru_cache(maxsize=4)
def _fold_map(seed: int) -> Floats:
    noise = _stream(seed, FOLDS)
    return smooth_noise(noise, (128, 128), 2.5, 0.7) + smooth_noise(noise, (128, 128), 6.0, 0.7)


@dataclass(frozen=True, kw_only=True)
class Renderer:
    """Draws images of people; the seed names the world, height and width are in pixels."""

    seed: int
    height: int
    width: int

    def image(self, identity: int, camera: int, index: int) -> UInt8Image:
        """Draw image `index` of an identity (0: a distractor) in a camera: (height, width, 3) uint8 RGB."""
        look = draw_camera(_stream(self.seed, CAMERA, camera), camera)
        generator = _stream(self.seed, IMAGE, identity, camera, index)
        picture = self._backdrop(camera, generator)
        kind = generator.random() if identity == 0 else 1.0
        if kind > 0.25:  # the other distractors are empty boxes
            track = _stream(self.seed, TRACK, identity, camera, index if identity == 0 else 0)
            person = self._stranger(track) if identity == 0 else _person(self.seed, identity)
            canvas = Canvas(self.height * SAMPLES, self.width * SAMPLES)
            view = self._place(look, track, generator, person, missed=kind < 0.6)
            self._stand(canvas, person, view, generator)
            if generator.random() < 0.10:
                self._stand_by(canvas, view, generator)
            picture = self._compose(self._shadow(picture, view, look), canvas, look, generator)
        if generator.random() < 0.12:
            picture = occlude(picture, generator)
        return develop(picture, look, generator)

    def _backdrop(self, camera: int, generator: Generator) -> Floats:
        scene = _scene(self.seed, camera, self.height)
        zoom = generator.uniform(0.8, 1.15)
        height, width = self.height * zoom, self.width * zoom
        left, top = generator.uniform(0, scene.width - width), generator.uniform(0.02, 0.35) * self.height
        box = (left, top, left + width, top + height)
        part = scene.resize((self.width, self.height), Image.Resampling.BILINEAR, box=box)
        return np.asarray(part, np.float32) / 255 * generator.uniform(0.85, 1.12)

    def _stranger(self, generator: Generator) -> Person:
        return draw_person(_stream(self.seed, STRANGER, int(generator.integers(2**31))), generator)

    def _place(self, look: Camera, track: Generator, generator: Generator, person: Person, *, missed: bool) -> View:
        quarter = choose(track, {0.0: 0.32, 0.5: 0.18, 1.0: 0.32, 1.5: 0.18})
        yaw = math.pi * quarter + track.normal(0, 0.35) + generator.normal(0, 0.22)
        scale, foot, across = generator.uniform(0.87, 0.97), generator.normal(0.972, 0.012), generator.normal(0.5, 0.05)
        if generator.random() < 0.10:  # feet cut off
            foot, scale = generator.uniform(1.03, 1.25), generator.uniform(0.95, 1.15)
        if missed:
            across += choose(generator, (-1, 1)) * generator.uniform(0.25, 0.5)
            foot += choose(generator, (-0.35, 0.0, 0.4))
        size = self.height * SAMPLES
        return View(
            yaw=yaw,
            pitch=look.pitch,
            scale=scale * (1 + 0.6 * (person.stature - 1)) * size,
            foot=(across * self.width * SAMPLES, foot * size),
        )

    def _stand(self, canvas: Canvas, person: Person, view: View, generator: Generator) -> None:
        for tube in body(person, draw_pose(generator, person.stride, person.shoulders)):
            canvas.draw(tube, view)

    def _stand_by(self, canvas: Canvas, view: View, generator: Generator) -> None:
        front = generator.random() < 0.4
        aside = choose(generator, (-1, 1)) * generator.uniform(0.36, 0.6) * self.width * SAMPLES
        lower = (generator.uniform(0.01, 0.06) if front else generator.uniform(-0.12, -0.02)) * self.height * SAMPLES
        other = View(
            yaw=generator.uniform(0, 2 * math.pi),
            pitch=view.pitch,
            scale=view.scale * (1.04 if front else 0.9),
            foot=(view.foot[0] + aside, view.foot[1] + lower),
            nearer=view.scale if front else -view.scale,
        )
        self._stand(canvas, self._stranger(generator), other, generator)

    def _shadow(self, picture: Floats, view: View, look: Camera) -> Floats:
        x = (np.arange(self.width, dtype=np.float32) + 0.5 - view.foot[0] / SAMPLES) * SAMPLES / view.scale
        y = (np.arange(self.height, dtype=np.float32) + 0.5 - view.foot[1] / SAMPLES) * SAMPLES / view.scale
        u, v = x[None, :], y[:, None] / max(math.sin(look.pitch), 0.12)
        contact = np.exp(-((u / 0.13) ** 2) - (v / 0.22) ** 2)
        length = math.hypot(look.light[0], look.light[2])
        along_x, along_y = -look.light[0] / length, -look.light[2] / length
        along, aside = u * along_x + v * along_y, u * along_y - v * along_x
        cast = np.exp(-((aside / 0.10) ** 2)) / (1 + np.exp(-14 * along)) / (1 + np.exp(5 * (along - 0.8)))
        dark = 0.5 * contact + look.shadow * cast * (1 - np.float32(look.ambient))
        left: Floats = 1 - np.minimum(dark, 0.75)
        return picture * left[:, :, None]

    def _compose(self, picture: Floats, canvas: Canvas, look: Camera, generator: Generator) -> Floats:
        if not canvas.layers:
            return picture
        colours = np.zeros((canvas.depth.size, 3), np.float32)
        for surface, albedo, folds in canvas.layers:
            shade = _light(surface.normal, look)
            if folds:
                start = generator.integers(0, 128, 2)  # wrinkles lie differently in each image
                row = (surface.down * 190).astype(np.intp) + start[0]
                column = (surface.around * 90 + surface.down * 60 + 64).astype(np.intp) + start[1]
                shade *= 1 + 0.15 * folds * _fold_map(self.seed)[row & 127, column & 127]
            colours[surface.index] = albedo * shade[:, None]
        solid = (canvas.depth > -np.inf).astype(np.float32)
        alpha, front = _downsampled(solid[:, :, None]), _downsampled(colours.reshape(*canvas.depth.shape, 3))
        # darker where something near stands in front, as under arms and between legs
        size = SAMPLES * self.height
        known = np.maximum(canvas.depth[1::SAMPLES, 1::SAMPLES], -0.15 * size)
        around = box_mean(known, max(3, round(0.06 * self.height)))
        nooks: Floats = 1 - np.clip((around - known) * (6.0 / size), 0, 0.35)
        return picture * (1 - alpha) + front * nooks[:, :, None]


def _light(normal: tuple[Floats, Floats, Floats], look: Camera) -> Floats:
    right, down, towards = normal
    facing = right * look.light[0] + down * look.light[1] + towards * look.light[2]
    direct: Floats = np.maximum(0.2 + 0.8 * facing, 0)
    ambient: Floats = look.ambient * (1 - 0.22 * down) * (0.80 + 0.20 * towards)
    return ambient + (1.18 - look.ambient) * direct


def _downsampled(canvas: Floats) -> Floats:
    """Average over squares of SAMPLES x SAMPLES: (height, width, channels) of the image."""
    # sums of slices are several times faster than a mean over two axes
    rows = sum((canvas[offset::SAMPLES] for offset in range(1, SAMPLES)), canvas[::SAMPLES])
    columns: Floats = sum((rows[:, offset::SAMPLES] for offset in range(1, SAMPLES)), rows[:, ::SAMPLES])
    return columns * (1 / SAMPLES**2)
