"""Pairs of one image in high and low resolution, their augmentation, and the batches that a network takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from crreid.data.degradation import degrade, enlarge
from crreid.data.pixels import PixelCache
from crreid.data.sampler import SampleKey
from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0, 1]
STD = (0.229, 0.224, 0.225)

Draw = NDArray[np.int64]
"""(3,): mirrored or not, top and left of the crop in the padded image."""

RESIDENT_BYTES = 2**30  # in main memory, beside everything else
RESIDENT_SHARE = 0.3  # of a GPU's free memory


def normalise(pixels: Tensor) -> Tensor:
    """Return uint8 images (N, H, W, 3) as (N, 3, H, W) float32 normalised as ImageNet."""
    mean, std = _statistics(pixels.device)
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def denormalise(images: Tensor) -> Tensor:
    """Undo `normalise` for looking and for image quality: (N, 3, H, W) float32 clamped to [0, 1]."""
    mean, std = _statistics(images.device)
    return (images.float() * std + mean).clamp(0, 1)


@cache  # a constant made anew for each batch would make the CPU wait for the GPU
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return mean, std


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Mirror, pad, crop: the same draw for both images of a pair (PS-HRNet release).

    Attributes:
        mirror: Probability of mirroring.
        padding: Black pixels added on each side before a random crop of the original size.
    """

    tag: ClassVar[str] = "Augmentation"
    mirror: float = 0.5
    padding: int = 10

    def draw(self, generator: np.random.Generator) -> Draw:
        """Return one draw."""
        mirror = generator.random() < self.mirror
        top, left = generator.integers(0, 2 * self.padding + 1, size=2)
        return np.array([mirror, top, left], dtype=np.int64)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augment (N, H, W, 3) uint8 images by draws, (N, 3) int64 on the same device."""
        count, height, width, _ = images.shape
        mirror, top, left = draws.T[:, :, None]
        row, column = (torch.arange(side, device=images.device) for side in (height, width))
        rows, columns = row + top - self.padding, column + left - self.padding  # (N, H), (N, W) in the image
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        columns = torch.where(mirror > 0, width - 1 - columns, columns)
        image = torch.arange(count, device=images.device)[:, None, None]
        cropped = images[image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
        cropped *= inside[..., None]
        return cropped


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """One training batch of N pairs.

    Attributes:
        high: High-resolution images, (N, 3, H, W) float32, normalised.
        low: The same images downsampled and upsampled again.
        labels: Index of the identity among the training identities, (N,) int64.
        rates: Downsampling rate of `low`, (N,) float32; 1 where it equals `high`.
    """

    high: Tensor
    low: Tensor
    labels: Tensor
    rates: Tensor


class PairDataset:
    """High- and low-resolution pairs of a table of training rows, at `size`, (height, width) of the network's input.

    Attributes:
        labels: (rows,) index of each row's identity among the `identities` different ones, in sorted order.
        rates: (rows,) downsampling rate of the low-resolution images.
    """

    def __init__(
        self, table: ImageTable, pixels: PixelCache, size: tuple[int, int], augmentation: Augmentation, *, seed: int
    ) -> None:
        """Number the identities; `seed` is that of the augmentation."""
        self._table, self._pixels, self._seed = table, pixels, seed
        self.size, self.augmentation = size, augmentation
        identities, self.labels = np.unique(table.rows["identity"].to_numpy(), return_inverse=True)
        self.identities = len(identities)
        self._paths = table.rows["path"].tolist()
        self.rates = table.rows["rate"].to_numpy()

    def __len__(self) -> int:
        return len(self._paths)

    def pair(self, row: int) -> tuple[UInt8Image, UInt8Image]:
        """Return a row in high and low resolution, (H, W, 3) uint8 each at the input size."""
        image, rate, filters = self._pixels.read(self._paths[row]), self.rates[row], self._table.degradation
        high = enlarge(image, self.size, filters)
        return high, high if rate == 1 else degrade(image, rate, self.size, filters)

    def draw(self, key: SampleKey) -> Draw:
        """Draw the augmentation of a sample, which follows from the seed, the epoch and the position in it."""
        epoch, position, _ = key
        return self.augmentation.draw(np.random.default_rng([self._seed, epoch, position]))


class PairLoader:
    """Yields the batches of the epoch that a sampler is set to: on a device, augmented and normalised.

    Where all pairs fit into memory, they are made once, at the input size, and stay on the device as bytes. Otherwise
    threads make those of each batch, while a GPU is busy with the batch before. The batches are the same.
    """

    def __init__(self, dataset: PairDataset, sampler: Sampler[list[SampleKey]], device: torch.device) -> None:
        """Make all pairs if they fit into memory."""
        self._dataset, self._sampler, self._device = dataset, sampler, device
        self._labels = torch.tensor(dataset.labels, device=device)
        self._rates = torch.tensor(dataset.rates.astype(np.float32), device=device)
        self._resident: tuple[Tensor, Tensor] | None = None
        room = RESIDENT_BYTES
        if device.type == "cuda":
            room = int(RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0])
        height, width = dataset.size
        if 2 * len(dataset) * height * width * 3 <= room:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                high, low = self._made(range(len(dataset)), pool)
            self._resident = high.to(device), low.to(device)

    def __iter__(self) -> Iterator[PairBatch]:
        """Yield the batches of the sampler's epoch."""
        augment = self._dataset.augmentation.apply
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # starts no thread before it is used
            for keys in self._sampler:
                rows = [row for _, _, row in keys]
                places = self._moved(torch.tensor(rows))
                high, low = (
                    [self._moved(images) for images in self._made(rows, pool)]
                    if self._resident is None
                    else [images[places] for images in self._resident]
                )
                draws = self._moved(torch.from_numpy(np.stack([self._dataset.draw(key) for key in keys])))
                yield PairBatch(
                    high=normalise(augment(high, draws)),
                    low=normalise(augment(low, draws)),
                    labels=self._labels[places],
                    rates=self._rates[places],
                )

    def _made(self, rows: Sequence[int], pool: ThreadPoolExecutor) -> tuple[Tensor, Tensor]:
        """Make pairs by threads, for the filters run outside Python's lock: (N, H, W, 3) uint8 each on the CPU."""
        high, low = (np.empty((len(rows), *self._dataset.size, 3), dtype=np.uint8) for _ in range(2))

        def make(place: int) -> None:
            high[place], low[place] = self._dataset.pair(rows[place])

        list(pool.map(make, range(len(rows))))
        return torch.from_numpy(high), torch.from_numpy(low)

    def _moved(self, tensor: Tensor) -> Tensor:
        """Move a tensor to the device without waiting for it."""
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)


class TestImages(Dataset[UInt8Image]):
    """The images of a table as a trained network sees them: degraded by their rate, no augmentation."""

    __test__ = False  # the name is the field's, not pytest's

    def __init__(self, table: ImageTable, pixels: PixelCache, size: tuple[int, int]) -> None:
        """Take the arguments of PairDataset."""
        self._pixels, self._size, self._filters = pixels, size, table.degradation
        self._paths, self._rates = table.rows["path"].tolist(), table.rows["rate"].tolist()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> UInt8Image:
        """Return (H, W, 3) uint8 at the input size."""
        return degrade(self._pixels.read(self._paths[row]), self._rates[row], self._size, self._filters)
