"""What the conventional re-identification networks of Tables I, IV and VI have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

__all__ = ["BACKBONE_TITLES", "Classifier", "ClassifierOutput", "ClassifierSettings"]

BACKBONE_TITLES = {
    "densenet121": "DenseNet-121",
    "hrnet_w18_small": "HRNet-W18-small-C",
    "hrnet_w32": "HRNet-W32-C",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "seresnet18": "SE-ResNet-18",
    "seresnet50": "SE-ResNet-50",
}
"""timm's names and how papers write them."""


class ClassifierOutput(NamedTuple):
    """What training needs of a batch of N images.

    Attributes:
        features: Embeddings that a metric loss may pull together, (N, length), not normalised.
        logits: Class scores before softmax, (N, identities) each: one, or one a part of the body.
    """

    features: Tensor
    logits: tuple[Tensor, ...]


class Classifier(nn.Module, ABC):
    """Images to class scores in training, to descriptors in retrieval; `backbone` is timm's module."""

    backbone: Any  # untyped on purpose: timm's modules are

    @abstractmethod
    def forward(self, images: Tensor) -> ClassifierOutput:
        """Describes and classifies images (N, 3, height, width), ImageNet-normalised."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Descriptors (N, length), float32 or wider, of images (N, 3, height, width)."""


class ClassifierSettings(Protocol):
    """Frozen settings of a classifier."""

    @property
    def title(self) -> str:
        """How tables call it."""
        ...

    @property
    def backbone(self) -> str:
        """The backbone's name in timm."""
        ...

    def build(self, identities: int) -> Classifier:
        """The network with fresh weights from torch's global generator, for so many training identities."""
        ...
