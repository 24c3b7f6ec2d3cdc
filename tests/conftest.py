"""Small tables with random pixels, which any part can be tested on."""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable
from crreid.errors import InputError

torch.set_num_threads(1)  # small tensors: more threads only wait for each other
os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # train and decode in this process: another one imports torch for seconds


@dataclass(frozen=True)
class NoiseSource:
    """Reads `name` as an image of noise that the name alone decides."""

    height: int = 32
    width: int = 16
    location: str = "noise"

    def read(self, path: str) -> UInt8Image:
        if path.startswith("broken"):
            raise InputError(f"{path}: not a readable image (broken on purpose)")
        generator = np.random.default_rng(list(path.encode()))
        return generator.integers(0, 256, (self.height, self.width, 3), dtype=np.uint8)

    def content(self, paths: Iterable[str]) -> str:
        lines = [f"noise of {self.height} x {self.width}", *paths]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def make_table(
    train_identities: int = 4, test_identities: int = 3, cameras: int = 3, images: int = 2, **source: int
) -> ImageTable:
    """Identities from 1; each has `images` in every camera; test images have the role gallery, one more a query."""
    rows = []
    for identity in range(1, train_identities + test_identities + 1):
        for camera in range(1, cameras + 1):
            for image in range(images):
                role = "train" if identity <= train_identities else "gallery"
                rows.append((f"{identity:04d}_c{camera}_{image}.png", identity, camera, role, 1))
            if identity > train_identities:
                rows.append((f"{identity:04d}_c{camera}_query.png", identity, camera, "query", 1))
    rows.append(("0000_c1_0.png", 0, 1, "distractor", 1))
    rows.append(("0000_c2_0.png", 0, 2, "distractor", 1))
    rows.append(("-1_c2_0.png", -1, 2, "junk", 1))
    columns = ["path", "identity", "camera", "role", "rate"]
    return ImageTable(name="noise", rows=pd.DataFrame(rows, columns=columns), source=NoiseSource(**source))


@pytest.fixture
def table() -> ImageTable:
    """4 training and 3 test identities, 3 cameras, 2 images each, 2 distractors, 1 junk box."""
    return make_table()


@pytest.fixture(scope="session")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where decoded images of the built-in data lie, for all tests."""
    return tmp_path_factory.mktemp("pixels")


@pytest.fixture
def table_maker() -> Callable[..., ImageTable]:
    return make_table
