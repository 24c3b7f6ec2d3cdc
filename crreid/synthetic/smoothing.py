"""Smoothing: small Gaussian blurs, box means and smooth noise."""

from __future__ import annotations

import math

import numpy as np

from crreid.synthetic.garments import Floats

__all__ = ["blur", "box_mean", "smooth_noise"]


def blur(picture: Floats, down: float, across: float) -> Floats:
    """Gaussian blur with repeated edges.

    Args:
        picture: (height, width, channels).
        down: Standard deviation along the rows' axis in pixels.
        across: Standard deviation along the columns' axis in pixels.
    """
    for axis, deviation in ((0, down), (1, across)):
        radius = max(1, math.ceil(2.5 * deviation))
        offsets = np.arange(-radius, radius + 1)
        weights = np.exp(-0.5 * (offsets / max(deviation, 1e-3)) ** 2)
        picture = _weighted(picture, (weights / weights.sum()).astype(np.float32), axis)
    return picture


def box_mean(picture: Floats, size: int) -> Floats:
    """Mean over squares of `size` x `size` pixels (made odd) with repeated edges: (height, width, channels)."""
    weights = np.full(size | 1, 1 / (size | 1), np.float32)
    return _weighted(_weighted(picture, weights, 0), weights, 1)


def smooth_noise(generator: np.random.Generator, shape: tuple[int, int], grain: float, strength: float) -> Floats:
    """Noise that repeats at its borders, smooth over `grain` pixels, of standard deviation `strength`."""
    rows, columns = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    window = np.exp(-2 * (math.pi * grain) ** 2 * (rows**2 + columns**2))
    window[0, 0] = 0
    noise = np.fft.irfft2(np.fft.rfft2(generator.standard_normal(shape)) * window, shape)
    return (noise * (strength / max(float(noise.std()), 1e-9))).astype(np.float32)


def _weighted(picture: Floats, weights: Floats, axis: int) -> Floats:
    """Convolution along one axis with a short symmetric kernel."""
    radius, size = len(weights) // 2, picture.shape[axis]
    padding = [(0, 0)] * picture.ndim
    padding[axis] = (radius, radius)
    padded = np.pad(picture, padding, mode="edge")
    result = np.zeros_like(picture)
    for offset, weight in enumerate(weights):
        part = padded[offset : offset + size] if axis == 0 else padded[:, offset : offset + size]
        result += weight * part
    return result
