"""PCB: the body in six horizontal stripes, each described and classified alone.

Source: Sun et al., "Beyond Part Models", ECCV 2018 (without refined part pooling); a row of PS-HRNet (Zhang et al.,
arXiv 2105.11722), Tables I and VI.
Differs from the paper: works at the size of the study's other networks instead of 384 x 128. Where the map's rows are
not a multiple of the stripes, neighbouring stripes share a row. The last stage keeps its resolution (stride 1) as in
the paper. Backbone from timm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import timm
import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.backbone import create_backbone
from crreid.models.classifier import Classifier, ClassifierOutput
from crreid.models.images import check_images

__all__ = ["PCB", "PCBSettings"]


@dataclass(frozen=True, kw_only=True)
class PCBSettings:
    """Shape of the network.

    Attributes:
        backbone: A timm name that begins with `resnet`.
        backbone_options: What makes another network of it, as (("layers", (1, 1, 1, 1)),), see `create_backbone`.
        stripes: Parts p, from head to foot.
        feature_length: Length of a stripe's embedding, before its classifier.
    """

    tag: ClassVar[str] = "PCBSettings"
    backbone: str = "resnet50"
    backbone_options: tuple[tuple[str, Any], ...] = ()
    stripes: int = 6
    feature_length: int = 256

    def __post_init__(self) -> None:
        """Raises InputError naming the first field that cannot be used."""
        if not self.backbone.startswith("resnet") or not timm.is_model(self.backbone):
            raise InputError(f"PCB stands on a ResNet of timm, e.g. resnet50, not on {self.backbone!r}")
        for name in ("stripes", "feature_length"):
            if getattr(self, name) < 1:
                raise InputError(f"PCB {name} must be at least 1, not {getattr(self, name)}")

    @property
    def title(self) -> str:
        """As Table I calls it."""
        return "PCB"

    def build(self, identities: int) -> PCB:
        """The network with random weights."""
        return PCB(self, identities)


class PCB(Classifier):
    """ResNet without its last down-sampling, stripes, a classifier each."""

    def __init__(self, settings: PCBSettings, identities: int) -> None:
        """Builds the network with random weights; nothing is downloaded.

        Args:
            settings: Shape of the network.
            identities: Number of training identities, each classifier's outputs.

        Raises:
            InputError: There are no identities.
        """
        super().__init__()
        if identities < 1:
            raise InputError(f"PCB needs at least one training identity, not {identities}")
        self.settings = settings
        self.backbone = create_backbone(settings.backbone, settings.backbone_options, num_classes=0, global_pool="")
        for module in self.backbone.layer4.modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
        channels = self.backbone.num_features
        length = settings.feature_length
        self.reductions = nn.ModuleList(_reduction(channels, length) for _ in range(settings.stripes))
        self.classifiers = nn.ModuleList(_classifier(length, identities) for _ in range(settings.stripes))

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Describes and classifies the stripes of images.

        Args:
            images: (N, 3, height, width) float, RGB, ImageNet-normalised.

        Returns:
            The stripes' embeddings in a row (N, stripes * feature_length) and class scores of each stripe.

        Raises:
            InputError: The images have another shape or are too small for the stripes.
        """
        stripes = self._stripes(images)
        features = [reduce(stripe) for reduce, stripe in zip(self.reductions, stripes.unbind(2), strict=True)]
        logits = tuple(classify(feature) for classify, feature in zip(self.classifiers, features, strict=True))
        return ClassifierOutput(torch.cat(features, dim=1), logits)

    def embed(self, images: Tensor) -> Tensor:
        """The averages of the stripes in a row, each of unit length: (N, stripes * channels), 12,288 for ResNet-50."""
        stripes = self._stripes(images)
        stripes = nn.functional.normalize(stripes.to(torch.promote_types(stripes.dtype, torch.float32)), dim=1)
        return stripes.flatten(start_dim=1)

    def _stripes(self, images: Tensor) -> Tensor:
        """(N, channels, stripes): averages over each stripe of the last map."""
        check_images("PCB", images)
        maps = self.backbone(images)
        if maps.shape[2] < self.settings.stripes:
            raise InputError(
                f"images of {images.shape[2]} x {images.shape[3]} pixels are too small for PCB: the last map has "
                f"{maps.shape[2]} rows for {self.settings.stripes} stripes"
            )
        return nn.functional.adaptive_avg_pool2d(maps, (self.settings.stripes, 1)).squeeze(3)


def _reduction(channels: int, length: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, length), nn.BatchNorm1d(length), nn.ReLU(inplace=True))


def _classifier(length: int, identities: int) -> nn.Linear:
    classifier = nn.Linear(length, identities)
    nn.init.normal_(classifier.weight, std=0.001)
    nn.init.zeros_(classifier.bias)
    return classifier
