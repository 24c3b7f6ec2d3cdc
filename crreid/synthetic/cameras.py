"""Cameras: what one camera does to every picture, from the light of its place to its JPEG encoder."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image

from crreid.data.sources import UInt8Image
from crreid.synthetic.drawing import Floats, Rgb


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The light and the electronics of one camera."""

    pitch: float  # angle by which it looks down in radians
    light: tuple[float, float, float]  # unit direction towards the light: right, down, towards the camera
    ambient: float  # share of light that comes from everywhere, 0 to 1
    shadow: float  # darkness of shadows on the ground, 0 to 1
    cast: Rgb  # factors on red, green and blue
    gamma: float  # exponent of the tone curve; above 1 darkens
    contrast: float  # factor on the distance from middle grey
    offset: float  # added to all values, as haze or a raised black level does
    saturation: float  # factor on the distance from grey
    blur: float  # standard deviation of the lens's blur in pixels of 128 rows
    sharpening: float  # strength of the halo around edges that the electronics adds
    noise: float  # standard deviation of the sensor's noise
    quality: int  # of the JPEG encoder, 1 to 95


def draw_camera(generator: Generator, number: int) -> Camera:
    """Draw camera `number` (from 1); neighbours differ in the tint of their light."""
    azimuth, height = generator.uniform(0, 2 * math.pi), generator.uniform(0.5, 1.1)
    warmth = (0.07 if number % 2 else -0.07) * generator.uniform(0.3, 1.4)
    green = generator.normal(0, 0.03)
    aside, towards = math.sin(azimuth), 0.35 + 0.65 * abs(math.cos(azimuth))
    return Camera(
        pitch=generator.uniform(0.10, 0.34),
        light=(math.cos(height) * aside, -math.sin(height), math.cos(height) * towards),
        ambient=generator.uniform(0.42, 0.68),
        shadow=generator.uniform(0.25, 0.6),
        cast=(1 + warmth, 1 + green, 1 - warmth),
        gamma=generator.uniform(0.78, 1.22),
        contrast=generator.uniform(0.85, 1.12),
        offset=generator.uniform(-0.02, 0.05),
        saturation=generator.uniform(0.65, 1.15),
        blur=generator.uniform(0.38, 0.62),
        sharpening=generator.uniform(0.0, 0.5),
        noise=generator.uniform(0.008, 0.022),
        quality=int(generator.integers(78, 93)),
    )


def develop(picture: Floats, camera: Camera, generator: Generator) -> UInt8Image:
    """Turn light, (height, width, 3) in [0, 1], into uint8 RGB: exposure, lens, colours, noise, compression."""
    height, width = picture.shape[:2]
    pixel = height / 128
    exposure = generator.uniform(0.90, 1.12)
    motion = generator.uniform(0, 0.45) * (generator.random() < 0.5)
    blurred = blur(picture, camera.blur * pixel, math.hypot(camera.blur, motion) * pixel)
    if camera.sharpening > 0.05:
        blurred += camera.sharpening * (blurred - box_mean(blurred, 3))
    grey = blurred.mean(axis=2, keepdims=True)
    toned = (grey + (blurred - grey) * camera.saturation) * (np.array(camera.cast) * exposure).astype(np.float32)
    toned = np.maximum(toned, 0) ** camera.gamma
    toned = (toned - 0.45) * camera.contrast + (0.45 + camera.offset)
    grain = generator.standard_normal((height, width, 1), np.float32)
    tint = generator.standard_normal((height, width, 3), np.float32)
    toned += camera.noise * (0.8 * grain + 0.6 * tint)
    file = io.BytesIO()
    image = (np.clip(toned, 0, 1) * 255 + 0.5).astype(np.uint8)
    Image.fromarray(image).save(file, "JPEG", quality=camera.quality)
    return np.array(Image.open(file))


def blur(picture: Floats, down: float, across: float) -> Floats:
    """Blur by a Gaussian with these standard deviations in pixels along the first two axes, repeating the edges."""
    for axis, deviation in ((0, down), (1, across)):
        radius = max(1, math.ceil(2.5 * deviation))
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(deviation, 1e-3)) ** 2)
        picture = _weighted(picture, (weights / weights.sum()).astype(np.float32), axis)
    return picture


def box_mean(picture: Floats, size: int) -> Floats:
    """Average over squares of `size` x `size` pixels (made odd), repeating the edges of the first two axes."""
    weights = np.full(size | 1, 1 / (size | 1), np.float32)
    return _weighted(_weighted(picture, weights, 0), weights, 1)


def _weighted(picture: Floats, weights: Floats, axis: int) -> Floats:
    radius, size = len(weights) // 2, picture.shape[axis]
    padded = np.pad(picture, [(radius * (axis == each),) * 2 for each in range(picture.ndim)], mode="edge")
    result = np.zeros_like(picture)
    for offset, weight in enumerate(weights):
        part = padded[offset : offset + size] if axis == 0 else padded[:, offset : offset + size]
        result += weight * part
    return result
