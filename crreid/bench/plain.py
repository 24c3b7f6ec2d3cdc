"""The recipe as anyone would write it: the baseline of every ratio of the benchmark.

Eager, images in NCHW, float32 or autocast; every image made by PIL and torchvision when a loader asks for it; channel
attention from ready modules; losses read after each step; a full sort of the gallery for each query. Losses, batches
and augmentation are those of the package, so that its loss curve must be, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import functional

from crreid.data.degradation import low_resolution_size
from crreid.data.pairs import MEAN, STD, PairBatch, PairDataset
from crreid.data.sampler import SampleKey
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.ranking import RetrievalLabels
from crreid.methods.method import Method
from crreid.models.channel_attention import ChannelAttention
from crreid.training.schedule import Schedule


class PlainAttention(nn.Module):
    """Channel attention as the papers draw it, one module per arrow, with the parameters of ours."""

    def __init__(self, attention: ChannelAttention) -> None:
        super().__init__()
        self.scores = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), attention.reduce, nn.ReLU(inplace=True), attention.expand, nn.Sigmoid()
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Scale the channels of (N, C, height, width)."""
        scales: Tensor = self.scores(maps)
        return maps * scales


def with_plain_attention(module: nn.Module) -> nn.Module:
    """Replace every channel attention within a module by the plain one and, where it had one, a ReLU behind it."""
    for name, child in list(module.named_children()):
        if isinstance(child, ChannelAttention):
            plain: nn.Module = PlainAttention(child)
            setattr(module, name, nn.Sequential(plain, nn.ReLU(inplace=True)) if child.rectified else plain)
        else:
            with_plain_attention(child)
    return module


class PlainPairs(Dataset[dict[str, Any]]):
    """The pairs of a PairDataset, each made by PIL when it is asked for, with the same draws."""

    def __init__(self, dataset: PairDataset, table: ImageTable) -> None:
        """Read nothing yet; raise InputError where `table`, which `dataset` was made from, has other filters."""
        if table.degradation.describe() != "bicubic+antialias -> bilinear":
            raise InputError("the plain recipe knows the default filters only")
        self._dataset, self._read, self._paths = dataset, table.source.read, table.rows["path"].tolist()

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        """Return one pair by the names of PairBatch; images (3, H, W) float32, augmented and normalised."""
        row, dataset = key[2], self._dataset
        original, rate = Image.fromarray(self._read(self._paths[row])), float(dataset.rates[row])
        mirror, top, left = (int(number) for number in dataset.draw(key)[:3])
        height, width = dataset.size
        tensors = []
        for each in (1.0, rate):
            image = functional.to_tensor(_degraded(original, each, dataset.size))
            image = functional.pad(functional.hflip(image) if mirror else image, [dataset.augmentation.padding])
            image = functional.crop(image, top, left, height, width)
            tensors.append(functional.normalize(image, list(MEAN), list(STD)))
        label = int(dataset.labels[row])
        return {"high": tensors[0], "low": tensors[1], "labels": label, "rates": np.float32(rate)}


def _degraded(image: Image.Image, rate: float, size: tuple[int, int]) -> Image.Image:
    if rate > 1:
        height, width = low_resolution_size(image.height, image.width, rate)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def on_device(loader: Iterable[dict[str, Tensor]], device: torch.device) -> Iterator[PairBatch]:
    """Yield the batches of a DataLoader of PlainPairs on a device."""
    for batch in loader:
        yield PairBatch(**{name: tensor.to(device) for name, tensor in batch.items()})


class PlainStep:
    """A training step in a dozen lines, for a method with one player."""

    def __init__(self, method: Method, schedule: Schedule, device: torch.device, *, autocast: bool) -> None:
        """Make the optimiser, at learning rate 0 until `set_learning_rate`; `autocast` means bfloat16."""
        self._method, self._device, self._autocast = method, device, autocast
        self._player, groups = next(iter(method.players().items()))
        momentum, nesterov, decay = schedule.momentum, schedule.nesterov, schedule.weight_decay
        self._optimizers = [
            torch.optim.Adam([group], lr=0.0, weight_decay=decay)
            if group.get("optimizer", schedule.optimizer) == "adam"
            else torch.optim.SGD([group], 0.0, momentum, 0, decay, nesterov)
            for group in groups
        ]

    def __call__(self, batch: PairBatch) -> dict[str, float]:
        """Take a step; return the losses before it."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            losses = self._method.losses(batch, self._player)
            total = torch.stack(list(losses.values())).sum()
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        for optimizer in self._optimizers:
            optimizer.step()
        return {name: loss.item() for name, loss in losses.items()}

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the schedule's learning rate; each group learns at its scale times it."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["learning_rate_scale"]


def plain_scores(distances: np.ndarray, labels: RetrievalLabels) -> dict[str, float]:
    """Return `multi_shot`'s metrics, from distances (queries, gallery) without ties, by a sort of the whole gallery."""
    order = np.argsort(distances, axis=1)
    matches = labels.gallery_identities[order] == labels.query_identities[:, None]
    first, hits, trapezoids = [], [], []
    for query in range(len(order)):
        same_camera = labels.gallery_cameras[order[query]] == labels.query_cameras[query]
        right = matches[query][~(matches[query] & same_camera)]
        if not right.any():
            continue
        found, positions = np.cumsum(right), np.flatnonzero(right)
        precision = found[positions] / (positions + 1)
        before = np.where(positions > 0, (found[positions] - 1) / np.maximum(positions, 1), 1.0)
        first.append(positions[0])
        hits.append(precision.mean())
        trapezoids.append(((precision + before) / 2).mean())
    ranks = {f"rank{rank}": float(np.mean(np.array(first) < rank)) for rank in (1, 5, 10, 20)}
    return ranks | {"map_hit": float(np.mean(hits)), "map_trapezoid": float(np.mean(trapezoids))}
