"""The batches of an epoch on a device: from images kept there decoded, or read anew by a loader; the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from crreid.data.pairs import PairBatch, PairDataset, PairSamples
from crreid.data.sampler import SampleKey

__all__ = ["LoadedBatches", "PairBatches", "ResidentBatches", "pair_batches"]

RESIDENT_BYTES = 2**30  # on the processor, beside everything else
RESIDENT_SHARE = 0.3  # of a GPU's free memory


class PairBatches(Protocol):
    """Yields the batches of the epoch that their sampler is set to."""

    def __iter__(self) -> Iterator[PairBatch]:
        """Batches on the device, normalised."""
        ...


def pair_batches(
    dataset: PairDataset, sampler: Sampler[list[SampleKey]], device: torch.device, *, workers: int = 0
) -> PairBatches:
    """Resident batches where all pairs fit into memory, else loaded ones.

    Args:
        dataset: Training pairs.
        sampler: Whose batches.
        device: Where batches go.
        workers: Loader processes of loaded batches.
    """
    room = RESIDENT_BYTES
    if device.type == "cuda":
        room = int(RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0])
    if 2 * len(dataset) * dataset.size[0] * dataset.size[1] * 3 <= room:
        return ResidentBatches(dataset, sampler, device)
    return LoadedBatches(dataset, sampler, device, workers=workers)


class ResidentBatches:
    """Every pair decoded, shrunk and enlarged by the protocol's filters once, at the input size, kept on the device."""

    def __init__(self, dataset: PairDataset, sampler: Sampler[list[SampleKey]], device: torch.device) -> None:
        """Prepares all pairs; memory is that of (rows, H, W, 3) bytes twice."""
        self._dataset, self._sampler, self._device = dataset, sampler, device
        high, low = (np.empty((len(dataset), *dataset.size, 3), dtype=np.uint8) for _ in range(2))

        def prepare(row: int) -> None:
            high[row], low[row] = dataset.pair(row)

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # the filters run outside Python's lock
            list(pool.map(prepare, range(len(dataset))))
        columns = (high, low, dataset.labels, dataset.rates.astype(np.float32))
        self._columns = dict(
            zip(
                ("high", "low", "labels", "rates"),
                (torch.tensor(column, device=device) for column in columns),
                strict=True,
            )
        )

    def __iter__(self) -> Iterator[PairBatch]:
        """Batches of the sampler's epoch."""
        for keys in self._sampler:
            rows = self._move(torch.tensor([row for _, _, row in keys]))
            draws = self._move(torch.from_numpy(np.stack([self._dataset.draw(key) for key in keys])))
            samples = {name: column[rows] for name, column in self._columns.items()}
            yield PairSamples(**samples, draws=draws).batch(self._dataset.augmentation, self._device)

    def _move(self, tensor: Tensor) -> Tensor:
        """To the device, without waiting for it."""
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)


class LoadedBatches:
    """Pairs read and prepared anew in each epoch, by loader processes if there are any."""

    def __init__(
        self, dataset: PairDataset, sampler: Sampler[list[SampleKey]], device: torch.device, *, workers: int = 0
    ) -> None:
        """Reads nothing yet."""
        self._augmentation, self._device = dataset.augmentation, device
        self._loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=PairSamples.collate,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            # workers that outlive an epoch would draw from the generator of dropout in the first epoch after a start
            persistent_workers=False,
            generator=torch.Generator(),  # else it would take a number from that of dropout
        )

    def __iter__(self) -> Iterator[PairBatch]:
        """Batches of the sampler's epoch."""
        for samples in self._loader:
            yield samples.batch(self._augmentation, self._device)
