"""Pairs of one image in high and low resolution: samples, and the batches that a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crreid.data.augmentation import MEAN, STD, Augmentation, Draw
from crreid.data.degradation import degrade, enlarge
from crreid.data.pixels import PixelCache
from crreid.data.sampler import SampleKey
from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable

__all__ = ["PairBatch", "PairDataset", "PairSamples", "TestImages", "denormalise", "normalise"]


def normalise(pixels: Tensor) -> Tensor:
    """uint8 images (N, H, W, 3) to what the networks take: (N, 3, H, W) float32 with ImageNet's mean and deviation."""
    mean, std = _statistics(pixels.device)
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def denormalise(images: Tensor) -> Tensor:
    """Undoes `normalise` for looking and for image quality: (N, 3, H, W) float32 clamped to [0, 1]."""
    mean, std = _statistics(images.device)
    return (images.float() * std + mean).clamp(0, 1)


@cache  # a constant made anew for each batch would make the processor wait for the GPU
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return mean, std


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """One training batch of N pairs.

    Attributes:
        high: High-resolution images, (N, 3, H, W) float32, normalised.
        low: The same images shrunk and enlarged again, (N, 3, H, W) float32, normalised.
        labels: Index of the identity among the training identities, (N,) int64.
        rates: By which `low` was shrunk, (N,) float32; 1 where it equals `high`.
    """

    high: Tensor
    low: Tensor
    labels: Tensor
    rates: Tensor


@dataclass(frozen=True, kw_only=True)
class PairSamples:
    """The same before augmentation, on the processor or a device.

    Attributes:
        high: (N, H, W, 3) uint8.
        low: (N, H, W, 3) uint8.
        labels: (N,) int64.
        rates: (N,) float32.
        draws: (N, 7) int64, see `Augmentation.draw`.
    """

    high: Tensor
    low: Tensor
    labels: Tensor
    rates: Tensor
    draws: Tensor

    @classmethod
    def collate(cls, samples: Sequence[tuple[UInt8Image, UInt8Image, int, float, Draw]]) -> Self:
        """Stacks samples of a PairDataset."""
        high, low, labels, rates, draws = zip(*samples, strict=True)
        return cls(
            high=torch.from_numpy(np.stack(high)),
            low=torch.from_numpy(np.stack(low)),
            labels=torch.tensor(labels),
            rates=torch.tensor(rates, dtype=torch.float32),
            draws=torch.from_numpy(np.stack(draws)),
        )

    def batch(self, augmentation: Augmentation, device: torch.device) -> PairBatch:
        """The batch on a device: moved there as uint8, augmented, normalised."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in vars(self).items()}
        draws = moved.pop("draws")
        for name in ("high", "low"):
            moved[name] = normalise(augmentation.apply(moved[name], draws))
        return PairBatch(**moved)

    def pin_memory(self) -> PairSamples:
        """Called by a data loader that prepares batches for a GPU."""
        return PairSamples(**{name: tensor.pin_memory() for name, tensor in vars(self).items()})


class PairDataset(Dataset[tuple[UInt8Image, UInt8Image, int, float, Draw]]):
    """HR/LR pairs of the training rows of a table, addressed by the keys of an IdentitySampler.

    Attributes:
        labels: (rows,) index of each row's identity.
        rates: (rows,) by which the low-resolution images are shrunk.
        identities: How many different ones there are.
        size: (height, width) of the network's input.
        augmentation: What is drawn for each sample.
    """

    def __init__(
        self, table: ImageTable, pixels: PixelCache, size: tuple[int, int], augmentation: Augmentation, *, seed: int
    ) -> None:
        """Prepares labels.

        Args:
            table: Training rows only; identities become labels 0, 1, … in sorted order.
            pixels: The decoded images.
            size: (height, width) of the network's input.
            augmentation: What is drawn for each sample.
            seed: Of the augmentation.
        """
        self._table, self._pixels, self._seed = table, pixels, seed
        self.size, self.augmentation = size, augmentation
        identities, self.labels = np.unique(table.rows["identity"].to_numpy(), return_inverse=True)
        self.identities = len(identities)
        self._paths = table.rows["path"].tolist()
        self.rates = table.rows["rate"].to_numpy()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, key: SampleKey) -> tuple[UInt8Image, UInt8Image, int, float, Draw]:
        """(HR, LR, label, rate, draw) of a sample; images (H, W, 3) uint8 at the input size, not augmented."""
        row = key[2]
        high, low = self.pair(row)
        return high, low, int(self.labels[row]), float(self.rates[row]), self.draw(key)

    def pair(self, row: int) -> tuple[UInt8Image, UInt8Image]:
        """High and low resolution of a row, (H, W, 3) uint8 each at the input size: the protocol's definition."""
        image, rate, filters = self._pixels.read(self._paths[row]), self.rates[row], self._table.degradation
        high = enlarge(image, self.size, filters)
        return high, high if rate == 1 else degrade(image, rate, self.size, filters)

    def draw(self, key: SampleKey) -> Draw:
        """The augmentation of a sample, which follows from the seed, the epoch and the position in it."""
        epoch, position, _ = key
        return self.augmentation.draw(self.size, np.random.default_rng([self._seed, epoch, position]))


class TestImages(Dataset[UInt8Image]):
    """The images of a table as a trained network sees them: degraded by their rate, no augmentation."""

    __test__ = False  # the name is the field's, not pytest's

    def __init__(self, table: ImageTable, pixels: PixelCache, size: tuple[int, int]) -> None:
        """Args as for PairDataset."""
        self._pixels, self._size, self._filters = pixels, size, table.degradation
        self._paths, self._rates = table.rows["path"].tolist(), table.rows["rate"].tolist()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> UInt8Image:
        """(H, W, 3) uint8 at the input size."""
        return degrade(self._pixels.read(self._paths[row]), self._rates[row], self._size, self._filters)
