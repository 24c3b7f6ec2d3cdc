"""Maps of absolute errors: where a restored image differs from its original, on one scale with its colour bar."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crreid.data.sources import UInt8Image
from crreid.figures.style import SMALL, place

__all__ = ["ERROR_COLOURS", "absolute_error", "error_bar", "error_scale"]

ERROR_COLOURS = "magma"
"""Perceptually uniform, from black for no error to pale yellow; can be read without colour."""


def absolute_error(image: UInt8Image, original: UInt8Image) -> NDArray[np.float32]:
    """Absolute error in grey levels of 255, mean of the three channels: (H, W) of two (H, W, 3) uint8 images."""
    difference: NDArray[np.float32] = np.abs(image.astype(np.float32) - original.astype(np.float32)).mean(axis=2)
    return difference


def error_scale(maps: Iterable[NDArray[np.float32]]) -> Normalize:
    """One scale for all maps, from 0 to the 99.5th percentile of their errors, at least 1 grey level."""
    return Normalize(0, max(1.0, float(np.percentile(np.concatenate([part.ravel() for part in maps]), 99.5))))


def error_bar(figure: Figure, left: float, top: float, height: float, scale: Normalize) -> None:
    """A colour bar at a place in inches from the figure's upper left corner; 0.75 inches wide with its labels."""
    bar = place(figure, left, top, 0.12, height)
    bar.grid(False)
    figure.colorbar(ScalarMappable(scale, ERROR_COLOURS), cax=bar, label="absolute error (grey levels)", extend="max")
    bar.tick_params(labelsize=SMALL)
    bar.yaxis.label.set_fontsize(SMALL)
