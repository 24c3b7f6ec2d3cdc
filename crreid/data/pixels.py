"""Decoded images of a table in one memory-mapped file, so that an epoch decodes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from crreid.data.sources import ImageSource, UInt8Image
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.files import write_atomically

__all__ = ["PixelCache"]

FEW_IMAGES = 500  # are decoded sooner than further processes start
MOST_PROCESSES = 4


class PixelCache:
    """Every image of a table, decoded once, at native size.

    The cache is two files named by the table's paths and the source's fingerprint: the pixels end to end, and an index
    of sizes that is written last. Loader workers share the pages.
    """

    def __init__(self, table: ImageTable, folder: Path) -> None:
        """Opens the cache, decoding into it first where there is none.

        Args:
            table: Whose images.
            folder: Where caches lie; made when missing.

        Raises:
            InputError: An image cannot be read, or the cache not be written; nothing half-written stays.
        """
        paths = sorted(set(table.rows["path"]))
        fingerprint = table.source.fingerprint(paths)
        key = hashlib.sha256(f"{fingerprint}\n{table.name.removeprefix('mlr-')}".encode()).hexdigest()[:16]
        self._file = Path(folder) / f"{key}.pixels"
        index = Path(folder) / f"{key}.json"
        if not index.exists():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{index}.lock"):
                if not index.exists():
                    self._decode(table, paths, index)
        sizes: list[list[int]] = json.loads(index.read_text())
        areas = np.array([height * width * 3 for height, width in sizes], dtype=np.int64)
        ends = np.cumsum(areas)
        self._places = {
            path: (int(end - area), int(height), int(width))
            for path, end, area, (height, width) in zip(paths, ends, areas, sizes, strict=True)
        }
        self._pixels: NDArray[np.uint8] = np.memmap(self._file, dtype=np.uint8, mode="r")

    def _decode(self, table: ImageTable, paths: list[str], index: Path) -> None:
        sizes: list[tuple[int, int]] = []
        several = min(os.cpu_count() or 1, MOST_PROCESSES) if len(paths) > FEW_IMAGES else 0
        batches = DataLoader(
            _Images(table.source, paths),
            batch_size=16,
            collate_fn=list,
            num_workers=several,
            generator=torch.Generator(),  # of its own: whether a cache was there must not move torch's
        )

        def write(stream: BinaryIO) -> None:
            for image in (image for batch in batches for image in batch):
                if isinstance(image, InputError):
                    raise image
                sizes.append((image.shape[0], image.shape[1]))
                stream.write(np.ascontiguousarray(image).tobytes())

        write_atomically(self._file, write)
        write_atomically(index, json.dumps(sizes).encode())

    def read(self, path: str) -> UInt8Image:
        """The image at `path` of the table: (height, width, 3) uint8, a view that must not be written to."""
        start, height, width = self._places[path]
        return self._pixels[start : start + height * width * 3].reshape(height, width, 3)

    def __len__(self) -> int:
        return len(self._places)


class _Images(Dataset[UInt8Image | InputError]):
    """Images of a source; a reason in place of one that cannot be read, since a loader would rewrite its message."""

    def __init__(self, source: ImageSource, paths: list[str]) -> None:
        self._source, self._paths = source, paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> UInt8Image | InputError:
        try:
            return self._source.read(self._paths[index])
        except InputError as error:
            return error
