"""How near an image comes to its original: peak signal-to-noise ratio and structural similarity, one definition each.

Both names stand for several numbers in the literature (luminance or colour, cropped or not, uniform or Gaussian
window), several decibels apart; numbers of two papers compare only where these choices do. Here scikit-image computes
them with every choice spelled out.
"""

from __future__ import annotations

import numpy as np
from skimage import metrics

from crreid.data.sources import UInt8Image
from crreid.errors import InputError

__all__ = ["WINDOW", "peak_signal_to_noise_ratio", "structural_similarity"]

RANGE = 255
WINDOW = 11
"""Pixels along a side of the window of `structural_similarity`, so the least height and width of its images."""


def peak_signal_to_noise_ratio(original: UInt8Image, image: UInt8Image) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(255² / mean squared error).

    One mean squared error over all pixels and the three channels of RGB, no crop.

    Args:
        original: (H, W, 3) uint8.
        image: (H, W, 3) uint8.

    Returns:
        At least 0; infinite for identical images. Whoever averages must decide what such an image counts for.

    Raises:
        InputError: Other types, or shapes that differ.
    """
    _check(original, image, least=1)
    with np.errstate(divide="ignore"):
        ratio = metrics.peak_signal_noise_ratio(original, image, data_range=RANGE)  # type: ignore[no-untyped-call]
    return float(ratio)


def structural_similarity(original: UInt8Image, image: UInt8Image) -> float:
    """Structural similarity index with the settings of Wang et al. (IEEE TIP 2004).

    Window of 11x11 pixels weighted by a Gaussian of deviation 1.5, K1 = 0.01, K2 = 0.03, range 255, population
    covariance. Each RGB channel by itself, then the mean of the three. Nothing is cropped from the images, and every
    window whose 11x11 pixels lie inside of them counts the same.

    Args:
        original: (H, W, 3) uint8, H and W at least 11.
        image: (H, W, 3) uint8.

    Returns:
        In [-1, 1]; 1 for identical images.

    Raises:
        InputError: Other types, images smaller than the window, or shapes that differ.
    """
    _check(original, image, least=WINDOW)
    similarity = metrics.structural_similarity(  # type: ignore[no-untyped-call]
        original,
        image,
        channel_axis=2,
        data_range=RANGE,
        gaussian_weights=True,
        sigma=1.5,
        truncate=3.5,  # deviations at which the window ends: 5 pixels to each side
        use_sample_covariance=False,
        K1=0.01,
        K2=0.03,
    )
    return float(similarity)


def _check(original: UInt8Image, image: UInt8Image, *, least: int) -> None:
    for array in (original, image):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or min(array.shape[:2]) < least:
            expected = f"(H, W, 3) uint8 with H and W of at least {least}"
            raise InputError(f"an image to compare is {array.shape} {array.dtype}; expected {expected}")
    if original.shape != image.shape:
        raise InputError(f"images to compare are {original.shape} and {image.shape}; expected one size")
