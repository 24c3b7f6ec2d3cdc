"""Restore, then identify: a restoration module in front of a conventional network, trained together.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Table IV (bicubic, SRCNN, VDSR, RCAN, VDSR-CA before ResNet-50), and
with `restoration=None` the conventional rows of Tables I and VI (ResNet-50, SE-ResNet-50, DenseNet-121, PCB,
HRNet-W32-C), which see the upsampled low-resolution images as they are.

Differs from the paper: it does not print the losses of these rows. Here they are L_ID's cross entropy with label
smoothing (Eq. 8, 9) and, as `triplet_weight` says, its batch-hard triplets (Eq. 7) on the embedding, plus lambda_SR
L_SR (Eq. 5), plus lambda_PS L_PS (Eq. 11) on embedding and class scores, which the paper knows for HRNet-ReID only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.losses.cross_entropy import label_smoothing_cross_entropy
from crreid.losses.pseudo_siamese import pseudo_siamese_loss
from crreid.losses.triplet import batch_hard_triplet
from crreid.methods.method import Method, ParameterGroup, drawn_alone, parameter_group
from crreid.methods.restoring import RestoringMethod, RestoringSettings
from crreid.models.common import Classifier, ClassifierSettings
from crreid.models.pooled_classifier import PooledClassifierSettings


@dataclass(frozen=True, kw_only=True)
class RestoreAndIdentifySettings(RestoringSettings):
    """Which network identifies, what stands before it, and the weights of the losses."""

    tag: ClassVar[str] = "RestoreAndIdentify"
    network: ClassifierSettings = field(default_factory=PooledClassifierSettings)
    cross_entropy_weight: float = 1.15  # lambda_CE, on the sum over the classifiers where there are several (PCB)
    triplet_weight: float = 0.2  # lambda_BH; 0 for networks that are known without a metric loss
    margin: float = 0.3  # m in Eq. 7
    smoothing: float = 0.1  # epsilon in Eq. 9
    pseudo_siamese_weight: float = 0.0  # lambda_PS, 0.5 in the paper; 0 needs no teacher

    @property
    def title(self) -> str:
        """Return e.g. `VDSR-CA + ResNet-50 + PS`, or the network alone."""
        parts = [] if self.restoration is None else [self.restoration.title]
        return " + ".join([*parts, self.network.title, *["PS"] * (self.pseudo_siamese_weight > 0)])

    def build(self, identities: int, teacher: Method | None = None) -> RestoreAndIdentify:
        """Return fresh networks, beside the trained twin of the network where L_PS has a weight."""
        return RestoreAndIdentify(self, identities, teacher)


class RestoreAndIdentify(RestoringMethod):
    """Restoration module and classifier."""

    def __init__(self, settings: RestoreAndIdentifySettings, identities: int, teacher: Method | None) -> None:
        guided = settings.pseudo_siamese_weight > 0
        super().__init__(settings, teacher, guided=guided)
        self.settings = settings
        with drawn_alone("network"):
            self.network = settings.network.build(identities)
        if guided and type(self.teacher) is not type(self.network):
            raise InputError(f"{settings.title} needs a trained {settings.network.title} as teacher")

    def players(self) -> dict[str, list[ParameterGroup]]:
        """Return one player: the network, and the module (where it has weights) at its own learning rate."""
        return {"network": [parameter_group(self.network), *self.restoration_groups()]}

    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        """Return the terms `ce`, and as the settings say `sr`, `triplet` and `ps`."""
        settings = self.settings
        images, terms = self.restored(batch)
        output = self.network(images)
        each = [label_smoothing_cross_entropy(logits, batch.labels, settings.smoothing) for logits in output.logits]
        terms["ce"] = settings.cross_entropy_weight * torch.stack(each).sum()
        if settings.triplet_weight > 0:
            triplet = batch_hard_triplet(output.features, batch.labels, settings.margin)
            terms["triplet"] = settings.triplet_weight * triplet
        if self.teacher is not None:
            with torch.no_grad():
                aim = self.teacher(batch.high)
            pairs = [(each.features, *each.logits) for each in (output, aim)]
            terms["ps"] = settings.pseudo_siamese_weight * pseudo_siamese_loss(*pairs)
        return terms

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return the classifier's descriptor of the restored image."""
        network: Classifier = self.network
        return network.embed(self.given(images))
