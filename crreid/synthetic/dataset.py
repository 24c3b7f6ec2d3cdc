"""The synthetic data set: an image table as of Market-1501, and the source that draws its images when they are read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.synthetic.renderer import RENDERER_VERSION, Renderer

__all__ = ["SyntheticSettings", "SyntheticSource", "synthetic_pedestrians"]

PATH = re.compile(r"(\d{4,})_c(\d+)_(\d{2,})\.png")

DISTRACTOR_SHARE = 0.1
"""Distractors as a share of the test identities' images."""


@dataclass(frozen=True, kw_only=True)
class SyntheticSettings:
    """How many people, cameras and images there are.

    Attributes:
        train_identities: Identities for training, numbered from 1.
        test_identities: Identities for query and gallery, numbered after those for training.
        cameras: Cameras, numbered from 1.
        images_per_camera: Images of each identity in each camera, numbered from 1.
        height: Of all images in pixels.
        width: Of all images in pixels.
        seed: Names the world: its people, cameras and moments.
    """

    train_identities: int = 100
    test_identities: int = 100
    cameras: int = 4
    images_per_camera: int = 4
    height: int = 128
    width: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a number that is too small."""
        least = {
            "train_identities": 2,
            "test_identities": 2,
            "cameras": 2,
            "images_per_camera": 2,
            "height": 32,
            "width": 16,
            "seed": 0,
        }
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise InputError(f"synthetic data: {name} must be at least {minimum}, not {getattr(self, name)}")

    @property
    def distractors(self) -> int:
        """Number of distractor images."""
        return round(DISTRACTOR_SHARE * self.test_identities * self.cameras * self.images_per_camera)


class SyntheticSource:
    """Draws images by paths such as `0012_c3_07.png`: identity, camera, index; identity 0000 is a distractor.

    An image depends on the seed, its size and the three numbers of its path, not on how many people there are.
    """

    def __init__(self, settings: SyntheticSettings) -> None:
        """Args: settings: Which paths exist, and the size and seed of the images."""
        self.settings = settings
        self._renderer = Renderer(seed=settings.seed, height=settings.height, width=settings.width)

    @property
    def location(self) -> str:
        """`built-in`."""
        return "built-in"

    def read(self, path: str) -> UInt8Image:
        """Draws one image: (height, width, 3) uint8 RGB.

        Raises:
            InputError: The data set has no such path.
        """
        return self._renderer.image(*self._numbers(path))

    def content(self, paths: Iterable[str]) -> str:
        """Digest of the paths, the renderer's version, and the settings that pixels depend on."""
        settings = self.settings
        start = f"synthetic {RENDERER_VERSION} {settings.seed} {settings.height}x{settings.width}\n"
        return hashlib.sha256((start + "".join(f"{path}\n" for path in paths)).encode()).hexdigest()[:16]

    def _numbers(self, path: str) -> tuple[int, int, int]:
        """Identity, camera and index of a path that exists."""
        settings, match = self.settings, PATH.fullmatch(path)
        if match:
            identity, camera, index = (int(number) for number in match.groups())
            people = settings.train_identities + settings.test_identities
            images = settings.images_per_camera if identity else _distractors_in(settings, camera)
            if (
                identity <= people
                and 1 <= camera <= settings.cameras
                and 1 <= index <= images
                and path == _path(identity, camera, index)
            ):
                return identity, camera, index
        raise InputError(
            f"built-in:{path}: no such image; expected a path such as 0012_c3_02.png "
            "(identity, camera, index) within the settings of the synthetic data"
        )


def synthetic_pedestrians(settings: SyntheticSettings = SyntheticSettings()) -> ImageTable:
    """The table of the synthetic data set; nothing is drawn before it is read.

    Training and test identities are disjoint. Of each test identity the first image in each camera is a query, the
    others are gallery. Distractors have identity 0.
    """
    rows: list[tuple[str, int, int, str, float]] = []
    for identity in range(1, settings.train_identities + settings.test_identities + 1):
        for camera in range(1, settings.cameras + 1):
            for index in range(1, settings.images_per_camera + 1):
                role = "query" if index == 1 else "gallery"
                role = "train" if identity <= settings.train_identities else role
                rows.append((_path(identity, camera, index), identity, camera, role, 1.0))
    for camera in range(1, settings.cameras + 1):
        for index in range(1, _distractors_in(settings, camera) + 1):
            rows.append((_path(0, camera, index), 0, camera, "distractor", 1.0))
    return ImageTable(
        name="synthetic",
        rows=pd.DataFrame(rows, columns=["path", "identity", "camera", "role", "rate"]),
        source=SyntheticSource(settings),
        notes=(f"Drawn people, no photographs: renderer {RENDERER_VERSION}, seed {settings.seed}.",),
    )


def _path(identity: int, camera: int, index: int) -> str:
    return f"{identity:04d}_c{camera}_{index:02d}.png"


def _distractors_in(settings: SyntheticSettings, camera: int) -> int:
    """Distractors are dealt out to the cameras in turn."""
    share, rest = divmod(settings.distractors, settings.cameras)
    return share + (camera <= rest)
