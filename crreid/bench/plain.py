"""The authors' recipe as anyone would write it: what every ratio of the benchmark is measured against.

Eager, images as they come (NCHW), float32 or, as a setting, autocast; every image read, resized, degraded and augmented
by PIL when a loader asks for it; channel attention from ready modules; losses read after each step; a full sort of the
gallery for each query. Losses, batches and augmentation are those of the package, so that its loss curve must be, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from crreid.data.augmentation import MEAN, STD
from crreid.data.degradation import low_resolution_size
from crreid.data.pairs import PairBatch, PairDataset
from crreid.data.sampler import SampleKey
from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.ranking import Distances, RetrievalLabels
from crreid.methods.method import Method
from crreid.models.channel_attention import ChannelAttention
from crreid.training.schedule import Schedule

__all__ = [
    "PlainAttention",
    "PlainPairs",
    "PlainScores",
    "PlainStep",
    "PlainTestImages",
    "plain_embeddings",
    "plain_loader",
    "plain_scores",
    "with_plain_attention",
]

BATCH = 64  # images embedded at a time, as in `embed_table`


class PlainAttention(nn.Module):
    """Channel attention as the papers draw it, one module an arrow, with the parameters of ours."""

    def __init__(self, attention: ChannelAttention) -> None:
        """Shares the two convolutions of `attention`."""
        super().__init__()
        self.scores = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), attention.reduce, nn.ReLU(inplace=True), attention.expand, nn.Sigmoid()
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Scales the channels of (N, C, height, width)."""
        scales: Tensor = self.scores(maps)
        return maps * scales


def with_plain_attention(module: nn.Module) -> nn.Module:
    """Replaces every channel attention within a module by the plain one and, where it had one, a ReLU behind it."""
    for name, child in list(module.named_children()):
        if isinstance(child, ChannelAttention):
            plain: nn.Module = PlainAttention(child)
            if child.rectified:
                plain = nn.Sequential(plain, nn.ReLU(inplace=True))
            setattr(module, name, plain)
        else:
            with_plain_attention(child)
    return module


class PlainPairs(Dataset[Any]):
    """The pairs of a PairDataset, each made by PIL when it is asked for."""

    def __init__(self, dataset: PairDataset, table: ImageTable, read: Callable[[str], UInt8Image]) -> None:
        """Reads nothing yet.

        Args:
            dataset: Whose labels and draws.
            table: The table that `dataset` was made from.
            read: Reads the image at a path of the table.

        Raises:
            InputError: The protocol's filters are not the default ones.
        """
        if table.degradation.describe() != "bicubic+antialias -> bilinear":
            raise InputError("the plain recipe knows the default filters only")
        self._dataset, self._read = dataset, read
        self._paths = table.rows["path"].tolist()

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, Tensor, int, int, float]:
        """(HR, LR, label, rate) of a sample; images (3, H, W) float32, augmented and normalised."""
        row, dataset = key[2], self._dataset
        image, rate = Image.fromarray(self._read(self._paths[row])), float(dataset.rates[row])
        mirror, top, left = (int(number) for number in dataset.draw(key)[:3])
        height, width = dataset.size
        tensors = []
        for picture in (_resized(image, dataset.size), _shrunk_and_enlarged(image, rate, dataset.size)):
            picture = ImageOps.mirror(picture) if mirror else picture
            picture = ImageOps.expand(picture, dataset.augmentation.padding)
            tensors.append(_tensor(picture.crop((left, top, left + width, top + height))))
        return tensors[0], tensors[1], int(dataset.labels[row]), rate


class PlainTestImages(Dataset[Tensor]):
    """The images of a table for the test: (3, H, W) float32, degraded by their rate and normalised."""

    def __init__(self, table: ImageTable, read: Callable[[str], UInt8Image], size: tuple[int, int]) -> None:
        """Args as for PlainPairs; size: (height, width) of the network's input."""
        self._read, self._size = read, size
        self._paths, self._rates = table.rows["path"].tolist(), table.rows["rate"].tolist()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> Tensor:
        return _tensor(
            _shrunk_and_enlarged(Image.fromarray(self._read(self._paths[row])), self._rates[row], self._size)
        )


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _shrunk_and_enlarged(image: Image.Image, rate: float, size: tuple[int, int]) -> Image.Image:
    if rate > 1:
        height, width = low_resolution_size(image.height, image.width, rate)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return _resized(image, size)


def _tensor(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def plain_loader(
    pairs: PlainPairs, sampler: Sampler[list[SampleKey]], device: torch.device, workers: int
) -> DataLoader[Any]:
    """A loader of batches (high, low, labels, rates), on the processor.

    Args:
        pairs: The data set.
        sampler: Whose batches.
        device: Where batches will go.
        workers: Loader processes; 0 loads in this one.
    """
    return DataLoader(pairs, batch_sampler=sampler, num_workers=workers, pin_memory=device.type == "cuda")


class PlainStep:
    """A training step in a dozen lines."""

    def __init__(self, method: Method, schedule: Schedule, device: torch.device, *, autocast: bool) -> None:
        """Makes the optimiser, at rate 0 until `set_learning_rate`.

        Args:
            method: On `device`, with one player.
            schedule: Momentum and weight decay.
            device: Where the method is.
            autocast: Run the networks in bfloat16.
        """
        self._method, self._device, self._autocast = method, device, autocast
        self._player, player = next(iter(method.players().items()))
        self.optimizer = torch.optim.SGD(
            player.groups,
            lr=0.0,
            momentum=schedule.momentum,
            nesterov=schedule.nesterov,
            weight_decay=schedule.weight_decay,
        )

    def __call__(self, batch: PairBatch) -> dict[str, float]:
        """Takes a step; the losses before it."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            losses = self._method.losses(batch, self._player)
            total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {name: loss.item() for name, loss in losses.items()}

    def set_learning_rate(self, learning_rate: float) -> None:
        """Sets the rate of the schedule; each group learns at its scale times it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["learning_rate_scale"]

    def epoch(self, loader: DataLoader[Any]) -> list[dict[str, float]]:
        """A step with each batch of a loader; the losses of each."""
        names = ("high", "low", "labels", "rates")
        history = []
        for batch in loader:
            moved = {
                name: (tensor.float() if name == "rates" else tensor).to(self._device)
                for name, tensor in zip(names, batch, strict=True)
            }
            history.append(self(PairBatch(**moved)))
        return history


@torch.no_grad()
def plain_embeddings(
    method: Method, images: PlainTestImages, device: torch.device, *, autocast: bool, workers: int
) -> Tensor:
    """(N, D) float32 descriptors of images, that of the mirror image added to each."""
    method.eval()
    features = []
    for batch in DataLoader(images, BATCH, num_workers=workers):
        batch = batch.to(device)
        rates = torch.ones(len(batch), device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            feature = method.embed(batch, rates).float() + method.embed(batch.flip(3), rates).float()
        features.append(feature.cpu())
    return torch.cat(features)


@dataclass(frozen=True, kw_only=True)
class PlainScores:
    """As fractions, of the queries that have a right image in the gallery.

    Attributes:
        ranks: Share of queries with a right image among the first 1, 5, 10, 20.
        map_hit: Precision averaged at each hit.
        map_trapezoid: Precision before and at each hit averaged.
    """

    ranks: dict[int, float]
    map_hit: float
    map_trapezoid: float


def plain_scores(distances: Distances, labels: RetrievalLabels) -> PlainScores:
    """The usual evaluation: the whole gallery sorted for all queries at once, then one query after the other.

    Args:
        distances: (queries, gallery), without ties.
        labels: Of its rows and columns, with cameras.
    """
    order = np.argsort(np.asarray(distances), axis=1)
    matches = labels.gallery_identities[order] == labels.query_identities[:, None]
    first, hits, trapezoids = [], [], []
    for query in range(len(order)):
        same_camera = labels.gallery_cameras[order[query]] == labels.query_cameras[query]
        right = matches[query][~(matches[query] & same_camera)]
        if not right.any():
            continue
        found = np.cumsum(right)
        positions = np.flatnonzero(right)
        precision = found[positions] / (positions + 1)
        before = np.where(positions > 0, (found[positions] - 1) / np.maximum(positions, 1), 1.0)
        first.append(positions[0])
        hits.append(precision.mean())
        trapezoids.append(((precision + before) / 2).mean())
    ranks = {rank: float(np.mean(np.array(first) < rank)) for rank in (1, 5, 10, 20)}
    return PlainScores(ranks=ranks, map_hit=float(np.mean(hits)), map_trapezoid=float(np.mean(trapezoids)))
