"""Pairs of one image in high and low resolution, through the same mirror, padding and crop, as tensors of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crreid.data.degradation import degrade, enlarge
from crreid.data.pixels import PixelCache
from crreid.data.sampler import SampleKey
from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable

__all__ = ["Augmentation", "PairBatch", "PairDataset", "TestImages", "denormalise", "normalise"]

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0, 1]
STD = (0.229, 0.224, 0.225)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 images (N, H, W, 3) to what the networks take: (N, 3, H, W) float32 with ImageNet's mean and deviation."""
    mean, std = (torch.tensor(values, device=pixels.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def denormalise(images: Tensor) -> Tensor:
    """Undoes `normalise` for looking and for image quality: (N, 3, H, W) float32 clamped to [0, 1]."""
    mean, std = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images.float() * std + mean).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Training augmentation, the same draw for both images of a pair (PS-HRNet release: mirror, pad 10, crop).

    Attributes:
        mirror: Probability of a left-right mirror.
        padding: Black pixels added on every side before a crop of the input size at random; 0 = no crop.
        erasing: Probability of random erasing (Zhong et al., AAAI 2020), off in the paper: 2 to 40 % of the area.
    """

    mirror: float = 0.5
    padding: int = 10
    erasing: float = 0.0

    def apply(self, images: Sequence[UInt8Image], generator: np.random.Generator) -> list[UInt8Image]:
        """Applies one draw to images of one size, (H, W, 3) uint8 each; results have the same size."""
        height, width = images[0].shape[:2]
        mirror = generator.random() < self.mirror
        top, left = generator.integers(0, 2 * self.padding + 1, size=2)
        erase = self._rectangle(height, width, generator) if generator.random() < self.erasing else None
        results = []
        for image in images:
            image = image[:, ::-1] if mirror else image
            if self.padding:
                border = ((self.padding, self.padding), (self.padding, self.padding), (0, 0))
                image = np.pad(image, border)[top : top + height, left : left + width]
            if erase is not None:
                image = image.copy()
                image[erase] = np.round(np.array(MEAN) * 255).astype(np.uint8)
            results.append(np.ascontiguousarray(image))
        return results

    @staticmethod
    def _rectangle(height: int, width: int, generator: np.random.Generator) -> tuple[slice, slice]:
        area, aspect = height * width * generator.uniform(0.02, 0.4), np.exp(generator.uniform(-1.2, 1.2))
        rows = int(np.clip(round(np.sqrt(area * aspect)), 1, height))
        columns = int(np.clip(round(np.sqrt(area / aspect)), 1, width))
        top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
        return slice(top, top + rows), slice(left, left + columns)


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """One training batch of N pairs.

    Attributes:
        high: High-resolution images, (N, 3, H, W) float32, normalised.
        low: The same images shrunk and enlarged again, (N, 3, H, W) float32, normalised.
        labels: Index of the identity among the training identities, (N,) int64.
        cameras: (N,) int64.
        rates: By which `low` was shrunk, (N,) float32; 1 where it equals `high`.
    """

    high: Tensor
    low: Tensor
    labels: Tensor
    cameras: Tensor
    rates: Tensor

    @classmethod
    def collate(cls, samples: Sequence[tuple[UInt8Image, UInt8Image, int, int, float]]) -> Self:
        """Stacks samples of a PairDataset; images stay (N, H, W, 3) uint8 until `to`, which is less to move."""
        high, low, labels, cameras, rates = zip(*samples, strict=True)
        return cls(
            high=torch.from_numpy(np.stack(high)),
            low=torch.from_numpy(np.stack(low)),
            labels=torch.tensor(labels),
            cameras=torch.tensor(cameras),
            rates=torch.tensor(rates, dtype=torch.float32),
        )

    def to(self, device: torch.device) -> PairBatch:
        """The batch on a device, normalised and ready for a network."""
        high, low = (normalise(images.to(device, non_blocking=True)) for images in (self.high, self.low))
        labels, cameras, rates = (
            tensor.to(device, non_blocking=True) for tensor in (self.labels, self.cameras, self.rates)
        )
        return PairBatch(high=high, low=low, labels=labels, cameras=cameras, rates=rates)

    def pin_memory(self) -> PairBatch:
        """Called by a data loader that prepares batches for a GPU."""
        return PairBatch(**{name: tensor.pin_memory() for name, tensor in vars(self).items()})


class PairDataset(Dataset[tuple[UInt8Image, UInt8Image, int, int, float]]):
    """HR/LR pairs of the training rows of a table, addressed by the keys of an IdentitySampler."""

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
        self._table, self._pixels, self._size, self._augmentation, self._seed = table, pixels, size, augmentation, seed
        identities, self.labels = np.unique(table.rows["identity"].to_numpy(), return_inverse=True)
        self.identities = len(identities)
        self._paths = table.rows["path"].tolist()
        self._cameras = table.rows["camera"].tolist()
        self._rates = table.rows["rate"].tolist()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, key: SampleKey) -> tuple[UInt8Image, UInt8Image, int, int, float]:
        """(HR, LR, label, camera, rate) of a sample; images (H, W, 3) uint8 at the input size."""
        epoch, position, row = key
        image, rate, filters = self._pixels.read(self._paths[row]), self._rates[row], self._table.degradation
        high = enlarge(image, self._size, filters)
        low = high if rate == 1 else degrade(image, rate, self._size, filters)
        generator = np.random.default_rng([self._seed, epoch, position])
        high, low = self._augmentation.apply((high, low), generator)
        return high, low, int(self.labels[row]), self._cameras[row], rate


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
