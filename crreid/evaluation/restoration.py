"""What a method makes of low-resolution images, and how near that comes to the originals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from crreid.data.pairs import TestImages, denormalise, normalise
from crreid.data.prepare import PreparedData
from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.evaluation.image_quality import peak_signal_to_noise_ratio, structural_similarity
from crreid.evaluation.perceptual_distance import PerceptualDistance
from crreid.methods.method import Method

__all__ = ["IDENTICAL_DECIBELS", "restoration_quality", "restore_pixels"]

IDENTICAL_DECIBELS = 100.0
"""What an image without any error counts for in a mean, which one infinite ratio would make useless. Of 256x128 pixels
an image with a single value off by one has 98.1 decibels."""


@torch.inference_mode()
def restore_pixels(
    method: Method, images: NDArray[np.uint8], *, device: torch.device, precision: str = "bf16"
) -> NDArray[np.uint8] | None:
    """Restores images, as pixels: clamped to the range of an image and rounded.

    Args:
        method: On `device`; set to evaluation mode here.
        images: (N, H, W, 3) uint8 at the network's input size, low resolution already enlarged.
        device: Where to restore.
        precision: `bf16` or `fp32`, as in training.

    Returns:
        (N, H, W, 3) uint8, or None for a method that restores nothing.

    Raises:
        InputError: The method's output is not finite.
    """
    method.eval()
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
    batch: int = 64,
    workers: int = 0,
) -> dict[str, dict[str, float]]:
    """Image quality of the queries after restoration, each query shrunk from its high-resolution file by every rate.

    The original is that file at the network's size. On data of native low resolution (CAVIAR) it is no better than the
    recording. Values are means over the images of what each scores by itself.

    Args:
        method: On `device`; set to evaluation mode here. For one that restores nothing, its input is measured.
        data: Whose queries.
        rates: At least 1 each.
        size: (height, width) of the network's input, at least 11 pixels each, 31 for LPIPS.
        device: Where to restore.
        precision: `bf16` or `fp32`, as in training.
        perceptual: Measures LPIPS too.
        batch: Images at a time.
        workers: Loader processes.

    Returns:
        By `rate r`: `psnr` in decibels (an image without error counts `IDENTICAL_DECIBELS`), `ssim`, `lpips` where it
        is measured, the same of the unrestored input as `input_psnr` and so on, and how many `images`. Plain numbers
        that JSON takes.

    Raises:
        InputError: A rate below 1, or a size below those pixels.
    """
    measures = ("psnr", "ssim") if perceptual is None else ("psnr", "ssim", "lpips")
    names = (*measures, *(f"input_{measure}" for measure in measures))
    quality = {}
    for rate in rates:
        originals, inputs = (
            DataLoader(
                TestImages(data.query.with_rates(each), data.pixels, size),
                batch,
                collate_fn=np.stack,
                num_workers=workers,
            )
            for each in (1, rate)
        )
        scores: list[tuple[float, ...]] = []
        for original, low in zip(originals, inputs, strict=True):
            before = _scores(original, low, perceptual)
            restored = restore_pixels(method, low, device=device, precision=precision)
            after = before if restored is None else _scores(original, restored, perceptual)
            scores += [(*one, *other) for one, other in zip(after, before, strict=True)]
        means: list[float] = np.mean(scores, axis=0).tolist()
        quality[f"rate {rate:g}"] = dict(zip(names, means, strict=True)) | {"images": len(scores)}
    return quality


def _scores(
    originals: UInt8Image, images: UInt8Image, perceptual: PerceptualDistance | None
) -> list[tuple[float, ...]]:
    """PSNR, SSIM and perhaps LPIPS of every image of two stacks (N, H, W, 3)."""
    scores = [
        (min(peak_signal_to_noise_ratio(*pair), IDENTICAL_DECIBELS), structural_similarity(*pair))
        for pair in zip(originals, images, strict=True)
    ]
    if perceptual is None:
        return [*scores]
    return [(*score, distance) for score, distance in zip(scores, perceptual(originals, images), strict=True)]
