"""A training of seconds: pictures of noise, and a network of one convolution."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from crreid.data.pairs import Augmentation, PairBatch, PairDataset
from crreid.data.pixels import PixelCache
from crreid.data.table import ImageTable
from crreid.methods.method import Method, ParameterGroup, parameter_group

TIMINGS = ["seconds", "pairs_per_second"]
"""Columns of a log that differ from training to training."""


class Tiny(Method):
    """A network of one convolution, with dropout so that its random numbers matter."""

    def __init__(self, seed: int = 0, *, dropout: float = 0.3, identities: int = 4, stop: int = -1) -> None:
        """With `stop`, that step is not taken: it ends as that of a killed process does."""
        super().__init__()
        torch.manual_seed(seed)
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(32, identities))
        self.steps, self.stop = 0, stop

    def players(self) -> dict[str, list[ParameterGroup]]:
        return {"network": [parameter_group(self.network), parameter_group(self.head)]}

    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        if self.steps == self.stop:
            raise KeyboardInterrupt
        self.steps += 1
        features = self.network(batch.low).float()
        cross_entropy = nn.functional.cross_entropy(self.head(features).float(), batch.labels)
        return {"ce": cross_entropy, "size": 1e-3 * features.square().mean()}

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        return self.network(images)


@dataclass(frozen=True)
class Pictures:
    """Noise around a grey of each identity's own."""

    location: str = "noise"

    def read(self, path: str) -> np.ndarray:
        grey = 30 * int(path.partition("_")[0])
        noise = np.random.default_rng(list(path.encode())).normal(grey, 40, (16, 8, 3))
        return np.clip(noise, 0, 255).astype(np.uint8)

    def content(self, paths: Any) -> str:
        return "noise"


def pictures(identities: int, folder: Path) -> PairDataset:
    """Four pictures of each identity; decoded ones lie in the folder."""
    rows = [(f"{person}_{image}.png", person, image, "train", 2) for person in range(identities) for image in range(4)]
    frame = pd.DataFrame(rows, columns=["path", "identity", "camera", "role", "rate"])
    table = ImageTable(name="noise", rows=frame, source=Pictures())
    return PairDataset(table, PixelCache(table, folder), (16, 8), Augmentation(padding=1), seed=0)
