"""Restore, then identify: a restoration module in front of a conventional network, trained together.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Table IV (bicubic, SRCNN, VDSR, RCAN, VDSR-CA before ResNet-50), and
with `restoration=None` the conventional rows of Tables I and VI (ResNet-50, SE-ResNet-50, DenseNet-121, PCB,
HRNet-W32-C), which see the upsampled low-resolution images as they are.

Differs from the paper: it does not print the losses of these rows. Here they are L_ID's cross entropy with label
smoothing (Eq. 8, 9) and, as `triplet_weight` says, its batch-hard triplets (Eq. 7) on the embedding, plus lambda_SR
L_SR (Eq. 5): Eq. 12 without its third term.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from crreid.data.pairs import PairBatch
from crreid.losses.cross_entropy import label_smoothing_cross_entropy
from crreid.losses.restoration import restoration_loss
from crreid.losses.triplet import batch_hard_triplet
from crreid.methods.method import Method, MethodSettings, Player, parameter_group
from crreid.models.common import ClassifierSettings, RestorationSettings
from crreid.models.pooled_classifier import PooledClassifierSettings


@dataclass(frozen=True, kw_only=True)
class RestoreAndIdentifySettings(MethodSettings):
    """Which network identifies, what stands before it, and the weights of the losses."""

    tag: ClassVar[str] = "RestoreAndIdentify"
    network: ClassifierSettings = field(default_factory=PooledClassifierSettings)
    restoration: RestorationSettings | None = None  # None feeds the network the upsampled image
    cross_entropy_weight: float = 1.15  # lambda_CE, on the mean over the classifiers where there are several (PCB)
    triplet_weight: float = 0.2  # lambda_BH; 0 for networks that are known without a metric loss
    margin: float = 0.3  # m in Eq. 7
    smoothing: float = 0.1  # epsilon in Eq. 9
    restoration_weight: float = 0.5  # lambda_SR
    restoration_learning_rate_scale: float = 1.0  # learning rate of the module in multiples of the schedule's

    @property
    def title(self) -> str:
        """Return e.g. `VDSR-CA + ResNet-50`, or the network alone."""
        parts = [] if self.restoration is None else [self.restoration.title]
        return " + ".join([*parts, self.network.title])

    def build(self, identities: int, teacher: Method | None = None) -> RestoreAndIdentify:
        """Return fresh networks; `teacher` is not used."""
        return RestoreAndIdentify(self, identities)


class RestoreAndIdentify(Method):
    """Restoration module and classifier."""

    def __init__(self, settings: RestoreAndIdentifySettings, identities: int) -> None:
        super().__init__()
        self.settings = settings
        self.restoration = None if settings.restoration is None else settings.restoration.build()
        self._learns_to_restore = self.restoration is not None and any(True for _ in self.restoration.parameters())
        self.network = settings.network.build(identities)

    def players(self) -> dict[str, Player]:
        """Return one player: the network, and the module (where it has weights) at its own learning rate."""
        groups = [parameter_group(self.network)]
        if self.restoration is not None and self._learns_to_restore:
            groups.append(parameter_group(self.restoration, self.settings.restoration_learning_rate_scale))
        return {"network": Player(groups=groups)}

    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        """Return the terms `ce`, and as the settings say `triplet` and `sr`."""
        settings, images, terms = self.settings, batch.low, dict[str, Tensor]()
        if self.restoration is not None:
            images = self.restoration(batch.low)
        if self._learns_to_restore:
            terms["sr"] = settings.restoration_weight * restoration_loss(images, batch.high)
        output = self.network(images)
        each = [label_smoothing_cross_entropy(logits, batch.labels, settings.smoothing) for logits in output.logits]
        terms["ce"] = settings.cross_entropy_weight * torch.stack(each).mean()
        if settings.triplet_weight > 0:
            triplet = batch_hard_triplet(output.features, batch.labels, settings.margin)
            terms["triplet"] = settings.triplet_weight * triplet
        return terms

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return the classifier's descriptor of the restored image, whatever its rate; the gallery is restored too."""
        return self.network.embed(images if self.restoration is None else self.restoration(images))
