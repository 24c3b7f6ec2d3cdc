"""PCB: the body in six horizontal stripes, each described and classified alone.

Source: Sun et al., "Beyond Part Models", ECCV 2018 (without refined part pooling); a row of PS-HRNet (Zhang et al.,
arXiv 2105.11722), Tables I and VI.
Differs from the paper: works at the size of the study's other networks instead of 384 x 128. Where the map's rows are
not a multiple of the stripes, neighbouring stripes share a row. The last stage keeps its resolution (stride 1) as in
the paper. Backbone from timm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.backbone import create_backbone
from crreid.models.common import (
    Classifier,
    ClassifierOutput,
    ClassifierSettings,
    check_images,
    check_setting,
    start_classifier,
)
from crreid.numerics import at_least_float32


@dataclass(frozen=True, kw_only=True)
class PCBSettings(ClassifierSettings):
    """Shape of the network on a ResNet: parts p, from head to foot, and the length of a part's embedding."""

    tag: ClassVar[str] = "PCBSettings"
    stripes: int = 6
    feature_length: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_setting(self, "stripes")
        if not self.backbone.startswith("resnet"):
            raise InputError(f"PCB stands on a ResNet of timm, e.g. resnet50, not on {self.backbone!r}")

    def build(self, identities: int) -> PCB:
        """Return the network with random weights for a number of training identities."""
        return PCB(self, identities)


class PCB(Classifier):
    """ResNet without its last downsampling, and per stripe an embedding and a classifier."""

    def __init__(self, settings: PCBSettings, identities: int) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = create_backbone(settings.backbone, settings.backbone_options, num_classes=0, global_pool="")
        for module in self.backbone.layer4.modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
        channels, length = self.backbone.num_features, settings.feature_length
        self.reductions = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, length), nn.BatchNorm1d(length), nn.ReLU(inplace=True))
            for _ in range(settings.stripes)
        )
        classifiers = (start_classifier(nn.Linear(length, identities)) for _ in range(settings.stripes))
        self.classifiers = nn.ModuleList(classifiers)

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Return the stripes' embeddings in a row, (N, stripes * feature_length), and class scores per stripe."""
        stripes = self._stripes(images)
        features = [reduce(stripe) for reduce, stripe in zip(self.reductions, stripes.unbind(2), strict=True)]
        logits = tuple(classify(feature) for classify, feature in zip(self.classifiers, features, strict=True))
        return ClassifierOutput(torch.cat(features, dim=1), logits)

    def embed(self, images: Tensor) -> Tensor:
        """Return the stripes' averages in a row, each of unit length: (N, stripes * channels), 12,288 by default."""
        return nn.functional.normalize(at_least_float32(self._stripes(images)), dim=1).flatten(start_dim=1)

    def _stripes(self, images: Tensor) -> Tensor:
        """Return the averages over each stripe of the last map, (N, channels, stripes)."""
        check_images("PCB", images)
        maps = self.backbone(images)
        if maps.shape[2] < self.settings.stripes:
            problem = f"the last map has {maps.shape[2]} rows for {self.settings.stripes} stripes"
            raise InputError(f"images of {images.shape[2]} x {images.shape[3]} pixels are too small for PCB: {problem}")
        return nn.functional.adaptive_avg_pool2d(maps, (self.settings.stripes, 1)).squeeze(3)
