"""Decoded images of a table in one memory-mapped file, so that an epoch decodes nothing."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import loky
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from crreid.data.sources import ImageSource, UInt8Image, read_images
from crreid.data.table import ImageTable
from crreid.errors import without_interrupts
from crreid.files import write_atomically

FEW_IMAGES = 500  # are decoded sooner than further processes start
MOST_PROCESSES = 4
CHUNK = 32  # images that a process decodes at a time
FORMAT = 1  # of the cache, to be raised when sources read other pixels from the same files


class PixelCache:
    """Every image of a table, decoded once, at native size.

    The cache is two files named by `content`, the digest of the images' files: the pixels end to end, and an index that
    says whose they are and is written last. Files that do not fit the content are made anew. Processes share the pages.
    """

    def __init__(self, table: ImageTable, folder: Path) -> None:
        """Open the cache, decoding into it first where there is none; nothing half-written stays."""
        paths = sorted(set(table.rows["path"]))
        self.content = table.source.content(paths)
        self._file = Path(folder) / f"{self.content}.pixels"
        self._index = Path(folder) / f"{self.content}.json"
        sizes = self._sizes(len(paths))
        if sizes is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._index}.lock"):
                sizes = self._sizes(len(paths)) or self._decode(table.source, paths)
        areas = np.array([height * width * 3 for height, width in sizes], dtype=np.int64)
        ends = np.cumsum(areas)
        self._places = {
            path: (int(end - area), height, width)
            for path, end, area, (height, width) in zip(paths, ends, areas, sizes, strict=True)
        }
        self._pixels: NDArray[np.uint8] = np.memmap(self._file, dtype=np.uint8, mode="r")

    def _sizes(self, count: int) -> list[tuple[int, int]] | None:
        """Return height and width of `count` images by the index; None if the cache is not of this content."""
        try:
            index: dict[str, Any] = json.loads(self._index.read_text())
            sizes = [(int(height), int(width)) for height, width in index["sizes"]]
            given = (index["format"], index["content"], len(sizes), self._file.stat().st_size)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        bytes_of_images = sum(height * width * 3 for height, width in sizes)
        return sizes if given == (FORMAT, self.content, count, bytes_of_images) else None

    def _decode(self, source: ImageSource, paths: list[str]) -> list[tuple[int, int]]:
        """Decode all images into the cache: their heights and widths."""
        sizes: list[tuple[int, int]] = []

        def write(stream: BinaryIO) -> None:
            for image in _decoded(source, paths):
                sizes.append((image.shape[0], image.shape[1]))
                stream.write(np.ascontiguousarray(image).tobytes())

        write_atomically(self._file, write)
        index = {"format": FORMAT, "content": self.content, "sizes": sizes}
        write_atomically(self._index, json.dumps(index).encode())
        return sizes

    def read(self, path: str) -> UInt8Image:
        """The image at `path` of the table: (height, width, 3) uint8, a view that must not be written to."""
        start, height, width = self._places[path]
        return self._pixels[start : start + height * width * 3].reshape(height, width, 3)

    def __len__(self) -> int:
        return len(self._places)


def _decoded(source: ImageSource, paths: list[str]) -> Iterator[UInt8Image]:
    """Yield the images in order; many of them are decoded by several processes.

    loky starts fresh processes that never import the program's main module: decoding works in a script without a main
    guard, within a worker of another pool, and beside threads. A daemonic process may start none and decodes alone.
    """
    processes = min(loky.cpu_count(), MOST_PROCESSES)
    if len(paths) <= FEW_IMAGES or processes == 1 or multiprocessing.current_process().daemon:
        yield from map(source.read, paths)
        return
    chunks = [paths[first : first + CHUNK] for first in range(0, len(paths), CHUNK)]
    pool = loky.ProcessPoolExecutor(processes)
    try:
        with without_interrupts():
            futures = [pool.submit(read_images, source, chunk) for chunk in chunks][::-1]
        while futures:  # not `map`, whose cancelled futures make loky print a traceback on Ctrl-C
            yield from futures.pop().result()
    finally:
        pool.shutdown(wait=True, kill_workers=True)
