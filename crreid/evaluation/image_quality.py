"""How near an image comes to its original: PSNR, SSIM and LPIPS, and both of what a method restores.

PSNR and SSIM stand for several numbers in the literature (luminance or colour, cropped or not, uniform or Gaussian
window), several decibels apart. Here scikit-image computes them with every choice spelled out.

LPIPS, learned perceptual image patch similarity (Zhang et al., CVPR 2018), says how different two images look to a
network: version 0.1 with AlexNet, as the authors' package `lpips` computes it. The package brings the weights of the
linear layers; AlexNet's ImageNet weights are the user's to give.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage import metrics
from torch import Tensor, nn

from crreid.data.pairs import STD, denormalise, normalise
from crreid.data.prepare import PreparedData
from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.evaluation.evaluate import image_batches
from crreid.methods.method import Method
from crreid.models.weights import fill_module
from crreid.numerics import effective_precision, one_thread

RANGE = 255  # of pixel values
WINDOW = 11  # pixels along a side of SSIM's window, so the least height and width of its images
LEAST_SIDE = 31  # pixels of height and width below which AlexNet has no map left
IDENTICAL_DECIBELS = 100.0
"""What an image without any error counts for in a mean, which one infinite ratio would make useless. Of 256x128 pixels
an image with a single value off by one has 98.1 decibels."""


def peak_signal_to_noise_ratio(original: UInt8Image, image: UInt8Image) -> float:
    """Return the peak signal-to-noise ratio, 10 log10(255² / mean squared error) dB, of two (H, W, 3) uint8 images.

    One mean squared error over all pixels and the three channels of RGB, no crop. Infinite for identical images.
    """
    _check(original, image, "(H, W, 3)", least=1)
    with np.errstate(divide="ignore"):
        return float(metrics.peak_signal_noise_ratio(original, image, data_range=RANGE))  # type: ignore[no-untyped-call]


def structural_similarity(original: UInt8Image, image: UInt8Image) -> float:
    """Return the structural similarity in [-1, 1] of two (H, W, 3) uint8 images, as Wang et al. define it (TIP 2004).

    Window of 11x11 pixels weighted by a Gaussian of deviation 1.5, K1 = 0.01, K2 = 0.03, range 255, population
    covariance. Each RGB channel by itself, then the mean of the three, over every window that lies inside the images.
    """
    _check(original, image, "(H, W, 3)", least=WINDOW)
    window = {"gaussian_weights": True, "sigma": 1.5, "truncate": 3.5}  # 3.5 deviations: 5 pixels to each side
    rest = {"use_sample_covariance": False, "channel_axis": 2, "data_range": RANGE, "K1": 0.01, "K2": 0.03}
    return float(metrics.structural_similarity(original, image, **window, **rest))  # type: ignore[no-untyped-call]


def absolute_error(original: UInt8Image, image: UInt8Image) -> float:
    """Return the mean absolute difference of two (H, W, 3) uint8 images in the units of L_SR, ImageNet-normalised."""
    _check(original, image, "(H, W, 3)", least=1)
    channels = np.abs(original.astype(np.float64) - image).mean(axis=(0, 1)) / RANGE
    return float((channels / np.array(STD)).mean())


class PerceptualDistance:
    """LPIPS of pairs of images, in float32 whatever they were made in."""

    def __init__(self, weights: Mapping[str, Tensor], *, origin: str, device: torch.device) -> None:
        """Build the network on a device from AlexNet's weights by torchvision's names; `origin` is for messages."""
        try:
            lpips: Any = importlib.import_module("lpips")  # an optional extra
        except ImportError as error:
            raise InputError("LPIPS needs the package lpips; install the extra: pip install 'crreid[lpips]'") from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks torchvision for random weights in a deprecated way
            network: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        body: nn.Module = network.get_submodule("net")
        # the package names torchvision's `features.3.weight` by its slices: `slice2.3.weight`
        places = {name.partition(".")[2]: name for name in body.state_dict()}
        named = {places.get(name.removeprefix("features."), name): tensor for name, tensor in weights.items()}
        fill_module(body, named, origin=origin, complete=True)
        self._network, self._device = network.to(device).eval(), device

    @torch.inference_mode()
    def __call__(self, originals: UInt8Image, images: UInt8Image) -> list[float]:
        """Return the distance, at least 0, of each image from its original, both (N, H, W, 3) uint8."""
        _check(originals, images, "(N, H, W, 3)", least=LEAST_SIDE)
        tensors = (torch.tensor(array, device=self._device).permute(0, 3, 1, 2) for array in (originals, images))
        found: Tensor = self._network(*(tensor.float() / RANGE for tensor in tensors), normalize=True)
        return found.flatten().tolist()


def _check(originals: UInt8Image, images: UInt8Image, shape: str, *, least: int) -> None:
    for array in (originals, images):
        sized = array.ndim == shape.count(",") + 1 and array.shape[-1] == 3 and min(array.shape[-3:-1]) >= least
        if array.dtype != np.uint8 or not sized:
            expected = f"{shape} uint8 with H and W of at least {least}"
            raise InputError(f"images to compare are {array.shape} {array.dtype}; expected {expected}")
    if originals.shape != images.shape:
        raise InputError(f"images to compare are {originals.shape} and {images.shape}; expected one shape")


@one_thread()
@torch.inference_mode()
def restore_pixels(
    method: Method, images: NDArray[np.uint8], *, device: torch.device, precision: str = "bf16"
) -> NDArray[np.uint8] | None:
    """Restore (N, H, W, 3) uint8 images at the network's input size, low resolution already upsampled.

    Returns pixels of the same shape, clamped and rounded; None for a method that restores nothing.
    """
    method.eval()
    precision = effective_precision(precision, device)
    inputs = normalise(torch.tensor(images, device=device))
    if precision == "bf16":
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        restored = method.restore(inputs)
    if restored is None:
        return None
    if not restored.isfinite().all():
        raise InputError("restored images hold values that are not finite; expected the weights of a sound training")
    pixels: NDArray[np.uint8] = (denormalise(restored) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def restoration_quality(
    method: Method,
    data: PreparedData,
    rates: Sequence[float],
    *,
    size: tuple[int, int],
    device: torch.device,
    precision: str = "bf16",
    perceptual: PerceptualDistance | None = None,
) -> pd.DataFrame:
    """Measure a query of each identity after restoration, downsampled from its high-resolution file by every rate.

    The original is that file at the network's size. On data of native low resolution (CAVIAR) it is no better than the
    recording. Values are means over the images of what each scores by itself.

    The method, on `device`, is set to evaluation mode here; for one that restores nothing, its input is measured. Rates
    are at least 1, `size` (height, width) of the network's input at least 11 pixels each, 31 where LPIPS is measured,
    with `perceptual`; `precision` is `bf16` or `fp32`, as in training.

    Returns:
        Columns rate, measure (`psnr` in decibels, where an image without error counts `IDENTICAL_DECIBELS`, `ssim`,
        `l1` as `absolute_error`, and `lpips` where it is measured), value, input (the same of the unrestored input),
        images (their number).
    """
    measures = ("psnr", "ssim", "l1") if perceptual is None else ("psnr", "ssim", "l1", "lpips")
    first = data.query.select(~data.query.rows.duplicated("identity"))
    lines: list[tuple[float, str, float, float, int]] = []
    for rate in rates:
        originals, inputs = (image_batches(first.with_rates(each), data.pixels, size) for each in (1, rate))
        before: list[tuple[float, ...]] = []
        after: list[tuple[float, ...]] = []
        for original, low in zip(originals, inputs, strict=True):
            given = _quality(original, low, perceptual)
            restored = restore_pixels(method, low, device=device, precision=precision)
            before += given
            after += given if restored is None else _quality(original, restored, perceptual)
        means = zip(measures, np.mean(after, axis=0).tolist(), np.mean(before, axis=0).tolist(), strict=True)
        lines += [(float(rate), *mean, len(after)) for mean in means]
    return pd.DataFrame(lines, columns=["rate", "measure", "value", "input", "images"])


def _quality(
    originals: UInt8Image, images: UInt8Image, perceptual: PerceptualDistance | None
) -> list[tuple[float, ...]]:
    """Return PSNR, SSIM, L1 and perhaps LPIPS of every image of two stacks (N, H, W, 3)."""
    pairs = list(zip(originals, images, strict=True))
    ratios = [min(peak_signal_to_noise_ratio(*pair), IDENTICAL_DECIBELS) for pair in pairs]
    columns = [ratios, [structural_similarity(*pair) for pair in pairs], [absolute_error(*pair) for pair in pairs]]
    columns += [] if perceptual is None else [perceptual(originals, images)]
    return list(zip(*columns, strict=True))
