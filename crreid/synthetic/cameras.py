"""Cameras: what one camera does to every picture, from the light of its place to its JPEG encoder."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crreid.data.sources import UInt8Image
from crreid.synthetic.garments import Floats, Rgb
from crreid.synthetic.smoothing import blur, box_mean

__all__ = ["Camera", "develop", "draw_camera"]


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The place and the electronics of one camera.

    Attributes:
        scene: Number of the kind of place behind the people.
        pitch: Angle by which it looks down in radians.
        light: Unit direction towards the light: right, down, towards the camera.
        ambient: Share of light that comes from everywhere, 0 to 1.
        shadow: Darkness of shadows on the ground, 0 to 1.
        cast: Factors on red, green and blue.
        gamma: Exponent of the tone curve; above 1 darkens.
        contrast: Factor on the distance from middle grey.
        offset: Added to all values, as haze or a raised black level does.
        saturation: Factor on the distance from grey.
        blur: Standard deviation of the lens's blur in pixels of 128 rows.
        sharpening: Strength of the halo around edges that the electronics adds.
        noise: Standard deviation of the sensor's noise.
        quality: Of the JPEG encoder, 1 to 95.
    """

    scene: int
    pitch: float
    light: tuple[float, float, float]
    ambient: float
    shadow: float
    cast: Rgb
    gamma: float
    contrast: float
    offset: float
    saturation: float
    blur: float
    sharpening: float
    noise: float
    quality: int


def draw_camera(generator: np.random.Generator, number: int) -> Camera:
    """Draws camera `number` (from 1); neighbours differ in scene and in the tint of their light."""
    azimuth = generator.uniform(0, 2 * math.pi)
    height = generator.uniform(0.5, 1.1)
    warmth = (0.07 if number % 2 else -0.07) * generator.uniform(0.3, 1.4)
    green = generator.normal(0, 0.03)
    return Camera(
        scene=number,
        pitch=float(generator.uniform(0.10, 0.34)),
        light=(
            float(math.cos(height) * math.sin(azimuth)),
            float(-math.sin(height)),
            float(math.cos(height) * (0.35 + 0.65 * abs(math.cos(azimuth)))),
        ),
        ambient=float(generator.uniform(0.42, 0.68)),
        shadow=float(generator.uniform(0.25, 0.6)),
        cast=(float(1 + warmth), float(1 + green), float(1 - warmth)),
        gamma=float(generator.uniform(0.78, 1.22)),
        contrast=float(generator.uniform(0.85, 1.12)),
        offset=float(generator.uniform(-0.02, 0.05)),
        saturation=float(generator.uniform(0.65, 1.15)),
        blur=float(generator.uniform(0.38, 0.62)),
        sharpening=float(generator.uniform(0.0, 0.5)),
        noise=float(generator.uniform(0.008, 0.022)),
        quality=int(generator.integers(78, 93)),
    )


def develop(picture: Floats, camera: Camera, generator: np.random.Generator) -> UInt8Image:
    """Turns light into the file's pixels: exposure, lens, colours, noise, compression.

    Args:
        picture: (height, width, 3) in [0, 1].
        camera: Whose picture.
        generator: Source of exposure, motion blur and noise of this image.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    pixel = height / 128
    exposure = float(generator.uniform(0.90, 1.12))
    motion = float(generator.uniform(0, 0.45)) * (generator.random() < 0.5)
    across = math.hypot(camera.blur, motion)
    blurred = blur(picture, camera.blur * pixel, across * pixel)
    if camera.sharpening > 0.05:
        wide = box_mean(blurred, 3)
        blurred += np.float32(camera.sharpening) * (blurred - wide)
    grey = blurred.mean(axis=2, keepdims=True)
    toned = (grey + (blurred - grey) * np.float32(camera.saturation)) * np.float32(np.array(camera.cast) * exposure)
    toned = np.maximum(toned, 0) ** np.float32(camera.gamma)
    toned = (toned - np.float32(0.45)) * np.float32(camera.contrast) + np.float32(0.45 + camera.offset)
    grain = generator.standard_normal((height, width, 1), np.float32)
    tint = generator.standard_normal((height, width, 3), np.float32)
    toned += np.float32(camera.noise) * (np.float32(0.8) * grain + np.float32(0.6) * tint)
    return _compressed((np.clip(toned, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8), camera.quality)


def _compressed(image: NDArray[np.uint8], quality: int) -> UInt8Image:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))
