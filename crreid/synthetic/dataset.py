"""The synthetic data set: an image table like Market-1501's, and the source that draws an image when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.synthetic.renderer import RENDERER_VERSION, Renderer

LEAST = {"train_identities": 2, "test_identities": 2, "cameras": 2, "images_per_camera": 2, "height": 32, "width": 16}
FIRST_TEST_IDENTITY = 5001  # fixed, so that whoever trains or validates on more identities never meets one of the test
DISTRACTOR_SHARE = 0.1  # distractors per image of the test identities


@dataclass(frozen=True, kw_only=True)
class SyntheticSettings:
    """How many people, cameras and images there are, numbered from 1 but for the test identities."""

    train_identities: int = 100
    test_identities: int = 100  # for query and gallery, numbered from FIRST_TEST_IDENTITY
    cameras: int = 4
    images_per_camera: int = 4  # of each identity
    height: int = 128  # of all images in pixels
    width: int = 64
    seed: int = 0  # names the world: its people, cameras and moments

    def __post_init__(self) -> None:
        for name, minimum in {**LEAST, "seed": 0}.items():
            if getattr(self, name) < minimum:
                raise InputError(f"synthetic data: {name} must be at least {minimum}, not {getattr(self, name)}")
        for name in ("train_identities", "test_identities"):
            if getattr(self, name) >= FIRST_TEST_IDENTITY - 1:
                raise InputError(f"synthetic data: {name} must be below {FIRST_TEST_IDENTITY - 1}")


@lru_cache(maxsize=4)
def _images(settings: SyntheticSettings) -> dict[str, tuple[int, int, int]]:
    """Return identity, camera and index behind each path, in the order of the table."""
    cameras, per_camera = range(1, settings.cameras + 1), settings.images_per_camera
    train, test = range(1, settings.train_identities + 1), range(settings.test_identities)
    identities = (*train, *(FIRST_TEST_IDENTITY + place for place in test))
    numbers = [(i, camera, n) for i in identities for camera in cameras for n in range(1, per_camera + 1)]
    distractors = round(DISTRACTOR_SHARE * settings.test_identities * settings.cameras * per_camera)
    share, rest = divmod(distractors, settings.cameras)  # dealt out to the cameras in turn
    numbers += [(0, camera, n) for camera in cameras for n in range(1, share + (camera <= rest) + 1)]
    return {f"{i:04d}_c{camera}_{n:02d}.png": (i, camera, n) for i, camera, n in numbers}


@dataclass(frozen=True)
class SyntheticSource:
    """Draws images by paths such as `0012_c3_07.png`: identity, camera, index; identity 0000 is a distractor."""

    settings: SyntheticSettings
    location = "built-in"

    def read(self, path: str) -> UInt8Image:
        """Draw one image, (height, width, 3) uint8 RGB; raise InputError where the data set has no such path."""
        settings, numbers = self.settings, _images(self.settings).get(path)
        if numbers is None:
            raise InputError(
                f"built-in:{path}: no such image; expected a path such as 0012_c3_02.png "
                "(identity, camera, index) within the settings of the synthetic data"
            )
        return Renderer(seed=settings.seed, height=settings.height, width=settings.width).image(*numbers)

    def content(self, paths: Iterable[str]) -> str:
        """Return 16 hexadecimal digits over the paths, the renderer's version, seed and size; nothing is drawn."""
        settings = self.settings
        start = f"synthetic {RENDERER_VERSION} {settings.seed} {settings.height}x{settings.width}"
        return hashlib.sha256("".join(f"{line}\n" for line in (start, *paths)).encode()).hexdigest()[:16]


def synthetic_pedestrians(settings: SyntheticSettings = SyntheticSettings()) -> ImageTable:
    """Return the table; the first image of each test identity in each camera is a query, the others are gallery."""
    rows: list[tuple[str, int, int, str, float]] = []
    for path, (identity, camera, index) in _images(settings).items():
        role = "train" if identity < FIRST_TEST_IDENTITY else "query" if index == 1 else "gallery"
        rows.append((path, identity, camera, role if identity else "distractor", 1.0))
    return ImageTable(
        name="synthetic",
        rows=pd.DataFrame(rows, columns=["path", "identity", "camera", "role", "rate"]),
        source=SyntheticSource(settings),
        notes=(f"Drawn people, no photographs: renderer {RENDERER_VERSION}, seed {settings.seed}.",),
    )
