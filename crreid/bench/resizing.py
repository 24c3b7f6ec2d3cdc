"""Whether images could be shrunk and enlarged as tensors: how far that is from PIL, which defines the protocol."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode  # type: ignore[attr-defined]
from torchvision.transforms.v2 import functional as transforms

from crreid.bench.jobs import Measurement
from crreid.data.degradation import degrade, low_resolution_size
from crreid.data.table import ImageTable

__all__ = ["grey_level_differences"]

RATES = (2, 3, 4)
IMAGES = 64

Resize = Callable[[Tensor, tuple[int, int], str], Tensor]


def grey_level_differences(table: ImageTable, size: tuple[int, int], device: torch.device) -> list[Measurement]:
    """Largest and mean difference in grey levels, over the pixels and colours of images shrunk and enlarged again.

    Args:
        table: At most 64 images of it are compared, each at the rates 2, 3 and 4.
        size: (height, width) that they are enlarged to.
        device: Where tensors are resized.

    Returns:
        One measurement a way, in `details`: `largest_difference` and `mean_difference` in [0, 255], and the share of
        values that differ, `share_different`.
    """
    paths = list(dict.fromkeys(table.rows["path"]))[:IMAGES]
    images = [table.source.read(path) for path in paths]
    found = []
    ways: dict[str, Resize] = {
        "float tensors, antialias (torch)": _as_floats,
        "float tensors, rounded to grey levels between": _as_rounded_floats,
        "uint8 tensors (torchvision)": _as_bytes,
    }
    for name, resize in ways.items():
        differences = []
        for image in images:
            tensor = torch.tensor(image).permute(2, 0, 1)[None].to(device)
            for rate in RATES:
                small = low_resolution_size(image.shape[0], image.shape[1], rate)
                low = resize(resize(tensor, small, "bicubic"), size, "bilinear")
                pixels = low.float().round().clamp(0, 255)[0].permute(1, 2, 0).cpu().numpy()
                differences.append(np.abs(pixels - degrade(image, rate, size, table.degradation)).ravel())
        values = np.concatenate(differences)
        details = {
            "largest_difference": float(values.max()),
            "mean_difference": float(values.mean()),
            "share_different": float(np.count_nonzero(values) / len(values)),
        }
        found.append(Measurement(case=name, details=details))
    return found


def _as_floats(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return torch.nn.functional.interpolate(images.float(), size, mode=mode, antialias=True, align_corners=False)


def _as_rounded_floats(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    return _as_floats(images, size, mode).round().clamp(0, 255)


def _as_bytes(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    resized: Tensor = transforms.resize(  # type: ignore[attr-defined]
        images, list(size), InterpolationMode(mode), antialias=True
    )
    return resized
