"""LRAR: no restoration; the length of a descriptor and the channels of the network follow the image's resolution.

Source: Wu et al., "Learning Resolution-Adaptive Representations for Cross-Resolution Person Re-Identification", arXiv
2207.13037, of which only abstract, notes, formulas and the algorithm were readable. The authors' code is not public.

The descriptor is v = (v_1 ... v_m); an image of level k has its first k sub-vectors, the rest is zero; level m is the
highest resolution. A query of level k is compared with the same k sub-vectors of every gallery image, by squared
Euclidean distance. Masks after each residual block (`crreid.models.resolution_masks`) follow the level too. Training:
cross entropy on the padded descriptors, whose classifier is thereby a sum of sub-classifiers over the live sub-vectors,
plus lambda times the verification loss, on the high-resolution image and its low-resolution copy alike.

What the source leaves open, and what is taken here: depth (ResNet-50); the length of v and of its parts (2,048, equal);
lambda (1); what stands between the network's average and the classifier besides the linear layer (batch normalisation
and dropout, as in the house's other networks, so that without the three mechanisms LRAR is their baseline); which level
a rate between the levels has (`level_of_rate`); whether descriptors are normalised (no); how long each mask trains (an
equal share of the epochs). With the flip test the descriptors of an image and its mirror are added before distances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.losses.cross_entropy import label_smoothing_cross_entropy
from crreid.losses.triplet import batch_hard_triplet
from crreid.losses.verification import VerificationHead, verification_loss
from crreid.methods.method import Method, MethodSettings, ParameterGroup, drawn_alone, parameter_group
from crreid.models.osnet import OSNetClassifier, OSNetSettings
from crreid.models.pooled_classifier import PooledClassifier, PooledClassifierSettings
from crreid.models.resolution_masks import ResolutionMasks, ResolutionMaskSettings
from crreid.numerics import at_least_float32


def level_of_rate(rates: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Return the level whose rate is nearest in ratio: 1.5 is nearer to 2 than to 1.

    In ratio, so that the answer is the same for the proportion 1 / rate that the paper speaks of. Half-way, at the
    geometric mean of two neighbours, the lower resolution is taken, which compares less. `rates` are (N,) float of at
    least 1, `levels` the levels' rates, ascending; the result is (N,) int64 from 0, the lowest resolution.

    Example:
        >>> level_of_rate(torch.tensor([1.0, 1.5, 3.0, 8.0]), (1, 2, 3, 4))
        tensor([3, 2, 1, 0])
    """
    found = torch.zeros_like(rates, dtype=torch.int64)
    for finer, coarser in pairwise(levels):
        found = found + (rates < math.sqrt(finer * coarser))
    return found


@dataclass(frozen=True, kw_only=True)
class LRARSettings(MethodSettings):
    """Three mechanisms, each of which can be left out, and how they train.

    Attributes:
        network: Backbone, length of v and head; sources are silent but for its parts. With OSNet v is its descriptor.
        rates: Downsampling rates of the levels, the highest resolution first; the paper's four.
        varying_length: Mechanism 1; False describes every image by all of v.
        masks: Mechanism 2; None leaves the backbone as it is.
        mask_learning_rate_scale: Learning rate of the masks in multiples of the schedule's; the source is silent. At 1
            a short training leaves them where they were drawn.
        progressive: Masks train one after the other, from the output downwards; False trains all from the start.
        verification_weight: lambda; 0 leaves the loss out.
        triplet_weight: Weight of batch-hard triplets of the padded descriptors, of the high- and of the low-resolution
            images apart, the mean of both. Not in the paper, which starts from ImageNet weights; from random weights
            and in few epochs cross entropy and verification alone hardly learn.
        margin: Margin of the triplets.
    """

    tag: ClassVar[str] = "LRAR"
    network: PooledClassifierSettings | OSNetSettings = field(
        default_factory=lambda: PooledClassifierSettings(feature_length=2048)
    )
    rates: tuple[float, ...] = (1, 2, 3, 4)
    varying_length: bool = True
    masks: ResolutionMaskSettings | None = field(default_factory=ResolutionMaskSettings)
    mask_learning_rate_scale: float = 1.0
    progressive: bool = True
    verification_weight: float = 1.0
    triplet_weight: float = 0.0
    margin: float = 0.3

    def __post_init__(self) -> None:
        if not self.rates or self.rates[0] < 1 or list(self.rates) != sorted(set(self.rates)):
            raise InputError(f"LRAR rates must be ascending numbers of at least 1, e.g. (1, 2, 3, 4), not {self.rates}")
        parts, length = len(self.rates), self.network.feature_length
        if self.varying_length and length % parts:
            raise InputError(f"LRAR cuts feature_length into {parts} equal parts; {length} is no multiple of {parts}")
        for name in ("verification_weight", "triplet_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"LRAR {name} must be 0 or more, not {getattr(self, name)}")

    @property
    def title(self) -> str:
        """Return `LRAR` with all mechanisms, `Baseline` with none, else those that are there."""
        mechanisms = {
            "length": self.varying_length and len(self.rates) > 1,
            "progressive masks" if self.progressive else "joint masks": self.masks is not None,
            "verification": self.verification_weight > 0,
        }
        if all(mechanisms.values()) and self.progressive:
            return "LRAR"
        return " + ".join(name for name, there in mechanisms.items() if there).capitalize() or "Baseline"

    def build(self, identities: int, teacher: Method | None = None) -> LRAR:
        """Return fresh networks; `teacher` is not used."""
        return LRAR(self, identities)


class LRAR(Method):
    """The usual re-ID baseline, whose blocks are masked and whose embedding is cut as the level says.

    `lengths` are the dimensions of a descriptor per level, from the lowest.
    """

    live: Tensor

    def __init__(self, settings: LRARSettings, identities: int) -> None:
        super().__init__()
        self.settings = settings
        levels, length = len(settings.rates), settings.network.feature_length
        with drawn_alone("network"):
            self.network: PooledClassifier | OSNetClassifier = settings.network.build(identities)
        self.masks = None if settings.masks is None else ResolutionMasks(settings.masks, self.network.backbone, levels)
        self.head = VerificationHead(length) if settings.verification_weight > 0 else None
        shares = range(1, levels + 1) if settings.varying_length else [levels] * levels
        self.lengths = [length * share // levels for share in shares]
        live = torch.arange(length) < torch.tensor(self.lengths)[:, None]
        self.register_buffer("live", live.float(), persistent=False)  # (levels, length), 1 in the parts of a level

    def players(self) -> dict[str, list[ParameterGroup]]:
        """Return one player; masks that are frozen for now are among its parameters."""
        groups = [parameter_group(self.network)]
        if self.head is not None:
            groups.append(parameter_group(self.head))
        if self.masks is not None:
            scale = self.settings.mask_learning_rate_scale
            masks = list(self.masks.parameters())  # decay would pull every mask to one half, whatever its level
            groups.append({"params": masks, "learning_rate_scale": scale, "weight_decay": 0.0})
        return {"network": groups}

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Train progressively: only the masks that this epoch is for."""
        if self.masks is not None and self.settings.progressive:
            self.masks.set_epoch(epoch, epochs)

    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        """Return `ce` and, as the settings say, `verification` and `triplet`, over images of both resolutions."""
        settings, labels = self.settings, batch.labels.repeat(2)
        levels = level_of_rate(torch.cat([torch.ones_like(batch.rates), batch.rates]), settings.rates)
        descriptors = self._describe(torch.cat([batch.high, batch.low]), levels)
        terms = {"ce": label_smoothing_cross_entropy(self.network.classify(descriptors), labels, 0.0)}
        if self.head is not None:
            lengths = self.live.sum(dim=1)[levels]
            loss = verification_loss(self.head, descriptors, labels, lengths)
            terms["verification"] = settings.verification_weight * loss
        if settings.triplet_weight > 0:
            each = [batch_hard_triplet(half, batch.labels, settings.margin) for half in descriptors.chunk(2)]
            terms["triplet"] = settings.triplet_weight * torch.stack(each).mean()
        return terms

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return descriptors (N, feature_length), float32 or wider, zero in the parts that an image's level lacks."""
        return at_least_float32(self._describe(images, level_of_rate(rates, self.settings.rates)))

    def distances(self, query: Tensor, gallery: Tensor, query_rates: Tensor) -> Tensor:
        """Return distances (Q, G) float32, each row on the parts that a query of its rate has."""
        levels = level_of_rate(query_rates.to(query.device), self.settings.rates)
        distances = query.new_empty((len(query), len(gallery)), dtype=torch.float32)
        for level, length in enumerate(self.lengths):
            rows = (levels == level).nonzero().squeeze(1)
            distances[rows] = squared_distances(query[rows, :length], gallery[:, :length])
        return distances

    def mask_table(self) -> pd.DataFrame:
        """Return the masks by position, depth (0 nearest the input), level (1 the lowest), rate and channel."""
        values = {} if self.masks is None else self.masks.values()
        rows = [
            (position, depth, level + 1, self.settings.rates[-1 - level], channel, value)
            for depth, (position, masks) in enumerate(values.items())
            for level, mask in enumerate(masks.tolist())
            for channel, value in enumerate(mask)
        ]
        return pd.DataFrame(rows, columns=["position", "depth", "level", "rate", "channel", "value"])

    def _describe(self, images: Tensor, levels: Tensor) -> Tensor:
        """Return the embeddings (N, feature_length), their parts above an image's level (N,) set to zero."""
        network = self.network
        pooled = network.pooled(images) if self.masks is None else self.masks(network.backbone, images, levels)
        embedding = network.features(pooled)
        return embedding * self.live[levels].to(embedding.dtype)


def squared_distances(query: Tensor, gallery: Tensor) -> Tensor:
    """Return the squared Euclidean distance of every pair: (Q, D), (G, D) -> (Q, G) float32, at least 0."""
    query, gallery = query.float(), gallery.float()
    centre = gallery.mean(dim=0)  # moving both changes no distance but loses fewer digits in the product
    query, gallery = query - centre, gallery - centre
    squares = query.square().sum(dim=1)[:, None] + gallery.square().sum(dim=1)
    return torch.addmm(squares, query, gallery.T, alpha=-2).clamp(min=0)
