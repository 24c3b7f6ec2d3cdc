"""Pairs of one image in high and low resolution, and the batches that a network takes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from crreid.data.augmentation import MEAN, STD, Augmentation, Draw
from crreid.data.degradation import degrade, enlarge
from crreid.data.pixels import PixelCache
from crreid.data.sampler import SampleKey
from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable

__all__ = ["PairBatch", "PairDataset", "PairLoader", "TestImages", "denormalise", "normalise"]

RESIDENT_BYTES = 2**30  # in main memory, beside everything else
RESIDENT_SHARE = 0.3  # of a GPU's free memory
MOST_THREADS = 8


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
class PairBatch:
    """One training batch of N pairs.

    Attributes:
        high: High-resolution images, (N, 3, H, W) float32, normalised.
        low: The same images downsampled and upsampled again, (N, 3, H, W) float32, normalised.
        labels: Index of the identity among the training identities, (N,) int64.
        rates: Downsampling rate of `low`, (N,) float32; 1 where it equals `high`.
    """

    high: Tensor
    low: Tensor
    labels: Tensor
    rates: Tensor


class PairDataset:
    """High- and low-resolution pairs of the training rows of a table.

    Attributes:
        labels: (rows,) index of each row's identity.
        rates: (rows,) downsampling rate of the low-resolution images.
        identities: Number of different identities.
        size: (height, width) of the network's input.
        augmentation: Settings of the augmentation.
    """

    def __init__(
        self, table: ImageTable, pixels: PixelCache, size: tuple[int, int], augmentation: Augmentation, *, seed: int
    ) -> None:
        """Prepare labels.

        Args:
            table: Training rows only; identities become labels 0, 1, … in sorted order.
            pixels: The decoded images.
            size: (height, width) of the network's input.
            augmentation: Settings of the augmentation.
            seed: Seed of the augmentation.
        """
        self._table, self._pixels, self._seed = table, pixels, seed
        self.size, self.augmentation = size, augmentation
        identities, self.labels = np.unique(table.rows["identity"].to_numpy(), return_inverse=True)
        self.identities = len(identities)
        self._paths = table.rows["path"].tolist()
        self.rates = table.rows["rate"].to_numpy()

    def __len__(self) -> int:
        return len(self._paths)

    def pair(self, row: int) -> tuple[UInt8Image, UInt8Image]:
        """Return a row in high and low resolution as the protocol defines, (H, W, 3) uint8 each at the input size."""
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
    threads make the next batches while one is used. The batches are the same.
    """

    def __init__(self, dataset: PairDataset, sampler: Sampler[list[SampleKey]], device: torch.device) -> None:
        """Make all pairs if they fit into memory.

        Args:
            dataset: Training pairs.
            sampler: Draws the keys of each batch.
            device: Device of the batches.
        """
        self._dataset, self._sampler, self._device = dataset, sampler, device
        self._labels = torch.tensor(dataset.labels, device=device)
        self._rates = torch.tensor(dataset.rates.astype(np.float32), device=device)
        room = RESIDENT_BYTES
        if device.type == "cuda":
            room = int(RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0])
        height, width = dataset.size
        self._resident: tuple[Tensor, Tensor] | None = None
        if 2 * len(dataset) * height * width * 3 <= room:
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # the filters run outside Python's lock
                high, low = self._pairs(range(len(dataset)), pool)
            self._resident = high.to(device), low.to(device)

    def __iter__(self) -> Iterator[PairBatch]:
        """Yield the batches of the sampler's epoch."""
        augment = self._dataset.augmentation.apply
        for keys, high, low in self._images():
            draws = self._moved(torch.from_numpy(np.stack([self._dataset.draw(key) for key in keys])))
            rows = self._moved(_rows(keys))
            yield PairBatch(
                high=normalise(augment(high, draws)),
                low=normalise(augment(low, draws)),
                labels=self._labels[rows],
                rates=self._rates[rows],
            )

    def _images(self) -> Iterator[tuple[list[SampleKey], Tensor, Tensor]]:
        """Yield the keys of each batch with its images in high and low resolution, (N, H, W, 3) uint8 on the device."""
        if self._resident is not None:
            high, low = self._resident
            for keys in self._sampler:
                rows = self._moved(_rows(keys))
                yield keys, high[rows], low[rows]
            return
        threads = min(os.cpu_count() or 1, MOST_THREADS)
        pool, waiting = ThreadPoolExecutor(threads), deque[tuple[list[SampleKey], Future[tuple[Tensor, Tensor]]]]()
        try:
            for keys in self._sampler:
                waiting.append((keys, pool.submit(self._pairs, _rows(keys).tolist())))
                if len(waiting) > threads:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            pool.shutdown(cancel_futures=True)

    def _next(
        self, waiting: deque[tuple[list[SampleKey], Future[tuple[Tensor, Tensor]]]]
    ) -> tuple[list[SampleKey], Tensor, Tensor]:
        keys, future = waiting.popleft()
        high, low = future.result()
        return keys, self._moved(high), self._moved(low)

    def _pairs(self, rows: Sequence[int], pool: ThreadPoolExecutor | None = None) -> tuple[Tensor, Tensor]:
        """Make the pairs of some rows, by the threads of a pool if there is one: (N, H, W, 3) uint8 each on the CPU."""
        high, low = (np.empty((len(rows), *self._dataset.size, 3), dtype=np.uint8) for _ in range(2))

        def fill(place: int) -> None:
            high[place], low[place] = self._dataset.pair(rows[place])

        list((pool.map if pool else map)(fill, range(len(rows))))
        return torch.from_numpy(high), torch.from_numpy(low)

    def _moved(self, tensor: Tensor) -> Tensor:
        """Move a tensor to the device without waiting for it."""
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)


def _rows(keys: list[SampleKey]) -> Tensor:
    return torch.tensor([row for _, _, row in keys])


class TestImages(Dataset[UInt8Image]):
    """The images of a table as a trained network sees them: degraded by their rate, no augmentation."""

    __test__ = False  # the name is the field's, not pytest's

    def __init__(self, table: ImageTable, pixels: PixelCache, size: tuple[int, int]) -> None:
        """Take the same arguments as PairDataset."""
        self._pixels, self._size, self._filters = pixels, size, table.degradation
        self._paths, self._rates = table.rows["path"].tolist(), table.rows["rate"].tolist()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> UInt8Image:
        """Return (H, W, 3) uint8 at the input size."""
        return degrade(self._pixels.read(self._paths[row]), self._rates[row], self._size, self._filters)
