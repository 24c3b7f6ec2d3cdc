"""A backbone, its maps averaged over the image, one small embedding and a classifier: the usual re-ID baseline.

Source: the rows ResNet-50 (He et al., CVPR 2016), SE-ResNet-50 (Hu et al., CVPR 2018), DenseNet-121 (Huang et al., CVPR
2017) and HRNet-W32-C (Wang et al., TPAMI 2020, the ImageNet head: widening blocks, a chain of strided convolutions,
2,048 channels, average) of PS-HRNet (Zhang et al., arXiv 2105.11722), Tables I, IV and VI.
Differs from the papers: PS-HRNet quotes these rows from works that do not agree on a head; this one (FC, batch
normalisation, dropout, classifier) is what public baselines share. Backbones from timm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from crreid.models.backbone import create_backbone
from crreid.models.common import Classifier, ClassifierOutput, ClassifierSettings, check_images
from crreid.numerics import at_least_float32

TITLES = {
    "densenet121": "DenseNet-121",
    "hrnet_w18_small": "HRNet-W18-small-C",
    "hrnet_w32": "HRNet-W32-C",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "seresnet18": "SE-ResNet-18",
    "seresnet50": "SE-ResNet-50",
}
"""timm's names and the papers' names."""


@dataclass(frozen=True, kw_only=True)
class PooledClassifierSettings(ClassifierSettings):
    """Shape of the network on any backbone of timm; `dropout` drops elements of the embedding in training."""

    tag: ClassVar[str] = "PooledClassifierSettings"
    dropout: float = 0.5

    @property
    def title(self) -> str:
        """Return the papers' name of the backbone, `small ...` where options make it smaller."""
        if self.backbone.startswith("hrnet") and (width := dict(self.backbone_options).get("width")):
            return f"small HRNet-W{width}-C"
        return ("small " if self.backbone_options else "") + TITLES.get(self.backbone, self.backbone)

    def build(self, identities: int) -> PooledClassifier:
        """Return the network with random weights."""
        return PooledClassifier(self, identities)


class PooledClassifier(Classifier):
    """Backbone, average, embedding, classifier."""

    def __init__(self, settings: PooledClassifierSettings, identities: int) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = create_backbone(settings.backbone, settings.backbone_options, num_classes=0)
        self.add_head(self.backbone.num_features, settings.feature_length, settings.dropout, identities)

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Return the embedding (N, feature_length) and one set of class scores."""
        check_images(self.settings.title, images)
        features = self.features(self.pooled(images))
        return ClassifierOutput(features, (self.classify(features),))

    def embed(self, images: Tensor) -> Tensor:
        """Return the embedding, (N, feature_length), after batch normalisation."""
        check_images(self.settings.title, images)
        return at_least_float32(self.features(self.pooled(images)))
