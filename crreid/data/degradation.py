"""Downsampling an image to low resolution and upsampling it again: the filters are part of the protocol.

PIL's bicubic filter is the default for downsampling, its bilinear one for upsampling (specifications of MLR sets leave
both open; public builds differ, and without antialiasing the same "bicubic" moves pixels by more than ten grey levels).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from crreid.data.sources import UInt8Image
from crreid.errors import InputError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """How low resolution is made.

    Attributes:
        shrink: Filter for downsampling: nearest, box, bilinear, bicubic or lanczos.
        enlarge: Filter that brings any image, small or not, to the size of the network's input.
        antialias: False downsamples without a low-pass filter (bilinear and bicubic only), as OpenCV's default does.
        jpeg_quality: Encode the small image as JPEG once (1 to 95), as builds that store files do; None = do not.
    """

    tag: ClassVar[str] = "Degradation"
    shrink: str = "bicubic"
    enlarge: str = "bilinear"
    antialias: bool = True
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        """Raise InputError for an unknown filter or a quality out of range."""
        for name in (self.shrink, self.enlarge):
            if name not in FILTERS:
                raise InputError(f"unknown filter {name!r}; expected one of {', '.join(FILTERS)}")
        if not self.antialias and self.shrink not in ("bilinear", "bicubic"):
            raise InputError(f"antialias=False needs the filter bilinear or bicubic, not {self.shrink!r}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 95:
            raise InputError(f"jpeg_quality must lie between 1 and 95, not {self.jpeg_quality}")

    def describe(self) -> str:
        """Return one phrase for digests and manifests, e.g. `bicubic+antialias -> bilinear`."""
        antialias = "+antialias" if self.antialias and self.shrink not in ("nearest", "box") else ""
        jpeg = "" if self.jpeg_quality is None else f"+jpeg{self.jpeg_quality}"
        return f"{self.shrink}{antialias}{jpeg} -> {self.enlarge}"


def low_resolution_size(height: int, width: int, rate: float) -> tuple[int, int]:
    """Return (height, width) of an image downsampled by `rate` >= 1: floor division, at least one pixel."""
    if not rate >= 1:
        raise InputError(f"rate must be at least 1 (1 = high resolution), not {rate:g}")
    return max(1, math.floor(height / rate)), max(1, math.floor(width / rate))


def shrink(image: UInt8Image, rate: float, degradation: Degradation) -> UInt8Image:
    """Downsample (height, width, 3) uint8 by `rate` >= 1; rate 1 returns the image itself."""
    if rate == 1:
        return image
    height, width = low_resolution_size(image.shape[0], image.shape[1], rate)
    if degradation.antialias or degradation.shrink in ("nearest", "box"):
        small = _resize(image, height, width, degradation.shrink)
    else:
        import torch  # slow to import; tables and decoding workers do without it

        tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
        resized = torch.nn.functional.interpolate(tensor, (height, width), mode=degradation.shrink, antialias=False)
        small = resized[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()
    if degradation.jpeg_quality is not None:
        buffer = io.BytesIO()
        Image.fromarray(small).save(buffer, "JPEG", quality=degradation.jpeg_quality)
        small = np.asarray(Image.open(buffer))
    return small


def enlarge(image: UInt8Image, size: tuple[int, int], degradation: Degradation) -> UInt8Image:
    """Bring (height, width, 3) uint8 to `size` (height, width); an image of that size is returned as it is."""
    if image.shape[:2] == size:
        return image
    return _resize(image, size[0], size[1], degradation.enlarge)


def degrade(image: UInt8Image, rate: float, size: tuple[int, int], degradation: Degradation) -> UInt8Image:
    """Return low resolution as a network sees it: downsampled at native size, upsampled to `size`. (*size, 3) uint8."""
    return enlarge(shrink(image, rate, degradation), size, degradation)


def _resize(image: UInt8Image, height: int, width: int, name: str) -> UInt8Image:
    return np.asarray(Image.fromarray(image).resize((width, height), FILTERS[name]))
