"""A backbone, its maps averaged over the image, one small embedding and a classifier: the usual re-ID baseline.

Source: the rows ResNet-50 (He et al., CVPR 2016), SE-ResNet-50 (Hu et al., CVPR 2018), DenseNet-121 (Huang et al., CVPR
2017) and HRNet-W32-C (Wang et al., TPAMI 2020, the ImageNet head: widening blocks, a chain of strided convolutions,
2,048 channels, average) of PS-HRNet (Zhang et al., arXiv 2105.11722), Tables I, IV and VI.
Differs from the papers: PS-HRNet quotes these rows from works that do not agree on a head; this one (FC, batch
normalisation, dropout, classifier) is what public baselines share. Backbones from timm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import timm
import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.backbone import create_backbone
from crreid.models.classifier import BACKBONE_TITLES, Classifier, ClassifierOutput
from crreid.models.images import check_images

__all__ = ["PooledClassifier", "PooledClassifierSettings"]


@dataclass(frozen=True, kw_only=True)
class PooledClassifierSettings:
    """Shape of the network.

    Attributes:
        backbone: A timm name, e.g. `resnet50`, `seresnet50`, `densenet121`, `hrnet_w32`.
        backbone_options: What makes another network of it, as (("layers", (1, 1, 1, 1)),), see `create_backbone`.
        feature_length: Length of the embedding.
        dropout: Probability of dropping an element of the embedding before the classifier, in training.
    """

    tag: ClassVar[str] = "PooledClassifierSettings"
    backbone: str = "resnet50"
    backbone_options: tuple[tuple[str, Any], ...] = ()
    feature_length: int = 512
    dropout: float = 0.5

    def __post_init__(self) -> None:
        """Raises InputError naming the first field that cannot be used."""
        if not timm.is_model(self.backbone):
            raise InputError(f"timm has no backbone {self.backbone!r}; expected e.g. resnet50")
        if self.feature_length < 1:
            raise InputError(f"feature_length must be at least 1, not {self.feature_length}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must lie in [0, 1), not {self.dropout}")

    @property
    def title(self) -> str:
        """As papers call the backbone."""
        title = BACKBONE_TITLES.get(self.backbone, self.backbone)
        return f"small {title}" if self.backbone_options and "small" not in title else title

    def build(self, identities: int) -> PooledClassifier:
        """The network with random weights."""
        return PooledClassifier(self, identities)


class PooledClassifier(Classifier):
    """Backbone, average, embedding, classifier."""

    def __init__(self, settings: PooledClassifierSettings, identities: int) -> None:
        """Builds the network with random weights; nothing is downloaded.

        Args:
            settings: Shape of the network.
            identities: Number of training identities, the classifier's outputs.

        Raises:
            InputError: There are no identities.
        """
        super().__init__()
        if identities < 1:
            raise InputError(f"{settings.title} needs at least one training identity, not {identities}")
        self.settings = settings
        self.backbone = create_backbone(settings.backbone, settings.backbone_options, num_classes=0)
        self.reduction = nn.Linear(self.backbone.num_features, settings.feature_length)
        self.normalisation = nn.BatchNorm1d(settings.feature_length)
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(settings.feature_length, identities)
        nn.init.kaiming_normal_(self.reduction.weight, mode="fan_out")
        nn.init.zeros_(self.reduction.bias)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Describes and classifies images.

        Args:
            images: (N, 3, height, width) float, RGB, ImageNet-normalised.

        Returns:
            The embedding (N, feature_length) and one set of class scores.

        Raises:
            InputError: The images have another shape.
        """
        features = self._features(images)
        return ClassifierOutput(features, (self.classifier(self.dropout(features)),))

    def embed(self, images: Tensor) -> Tensor:
        """The embedding, (N, feature_length), after batch normalisation."""
        features = self._features(images)
        return features.to(torch.promote_types(features.dtype, torch.float32))

    def _features(self, images: Tensor) -> Tensor:
        check_images(self.settings.title, images)
        features: Tensor = self.normalisation(self.reduction(self.backbone(images)))
        return features
