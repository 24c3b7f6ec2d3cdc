"""What the networks share: checks, the head for identification, and the settings that methods take any of.

`Interpolation` stands here, too: the row "Bicubic" of PS-HRNet's Table IV (Zhang et al., arXiv 2105.11722), which every
restoration module must beat. Images reach every module upsampled to the network's size by the filter that the data's
settings name; this one returns its input, so that its run must be given data upsampled by the filter it names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import timm
from torch import Tensor, nn

from crreid.errors import InputError


def check_images(name: str, images: Tensor, multiple: int = 1) -> None:
    """Raise InputError unless `images` is (N, 3, H, W) with H and W multiples of `multiple`; `name` is the model's."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"{name} expects images of shape (N, 3, height, width), not {tuple(images.shape)}")
    height, width = images.shape[2:]
    if height % multiple or width % multiple or min(height, width) < multiple:
        raise InputError(f"{name} needs height and width in multiples of {multiple} pixels, not {height} x {width}")


def check_setting(settings: Any, name: str, choices: Iterable[str] = ()) -> None:
    """Raise InputError unless a field is one of the choices, or without choices at least 1."""
    value, choices = getattr(settings, name), tuple(choices)
    if choices and value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    if not choices and value < 1:
        raise InputError(f"{name} must be at least 1, not {value}")


def convolution(channels_in: int, channels_out: int, kernel: int = 3, *, bias: bool = True) -> nn.Conv2d:
    """Return a convolution that keeps the height and width of maps."""
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=bias)


def shown(name: str, values: Iterable[tuple[str, Any]]) -> str:
    """Return a name and what makes another network of it, e.g. `resnet18 (layers 1-1-1-1, width 16)`."""
    words = [f"{key} {'-'.join(map(str, value)) if isinstance(value, tuple) else value}" for key, value in values]
    return f"{name} ({', '.join(words).replace('_', ' ')})" if words else name


@dataclass(frozen=True, kw_only=True)
class BackboneSettings:
    """Settings of a network with an embedding on a backbone of timm; see `create_backbone` for its options."""

    backbone: str = "resnet50"
    backbone_options: tuple[tuple[str, Any], ...] = ()
    feature_length: int = 512

    def __post_init__(self) -> None:
        if not timm.is_model(self.backbone):
            raise InputError(f"timm has no backbone {self.backbone!r}; expected e.g. resnet50")
        check_setting(self, "feature_length")
        dropout = getattr(self, "dropout", 0)  # some networks have none
        if not 0 <= dropout < 1:
            raise InputError(f"dropout must lie in [0, 1), not {dropout}")

    @property
    def runs_on(self) -> str:
        """Return the backbone as it is built, e.g. `resnet18 (layers 1-1-1-1)`."""
        return shown(self.backbone, (option for option in self.backbone_options if not option[0].startswith("stem")))


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(BackboneSettings, ABC):
    """Settings of a `Classifier` that gives `ClassifierOutput`."""

    @property
    def title(self) -> str:
        """Return its name in tables: by default the network's."""
        return type(self).__name__.removesuffix("Settings")

    @abstractmethod
    def build(self, identities: int) -> Classifier:
        """Return the network with random weights for a number of training identities."""


class ClassifierOutput(NamedTuple):
    """What training needs of a batch of N images."""

    features: Tensor  # embeddings for a metric loss, (N, length), not normalised
    logits: tuple[Tensor, ...]  # class scores before softmax, (N, identities): one, or one per part of the body


class Classifier(nn.Module, ABC):
    """Images to class scores in training, to descriptors in retrieval."""

    backbone: Any  # untyped on purpose: timm's modules are

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Return descriptors (N, length), float32 or wider."""

    def add_head(self, length: int, feature_length: int, dropout: float, identities: int) -> None:
        """Add FC, batch normalisation, dropout and a classifier behind `length` pooled numbers."""
        self.reduction = nn.Linear(length, feature_length)
        self.normalisation = nn.BatchNorm1d(feature_length)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(feature_length, identities)
        nn.init.kaiming_normal_(self.reduction.weight, mode="fan_out")
        nn.init.zeros_(self.reduction.bias)
        start_classifier(self.classifier)

    def pooled(self, images: Tensor) -> Tensor:
        """Return the averages of the backbone's last maps, (N, length)."""
        pooled: Tensor = self.backbone(images)
        return pooled

    def features(self, pooled: Tensor) -> Tensor:
        """Return the embedding (N, feature_length) of pooled maps (N, length), before dropout."""
        features: Tensor = self.normalisation(self.reduction(pooled))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Return class scores (N, identities) of embeddings."""
        logits: Tensor = self.classifier(self.dropout(features))
        return logits


def start_classifier(classifier: nn.Linear) -> nn.Linear:
    """Return a classifier with weights drawn from N(0, 0.001^2). Raises InputError where it has no identities."""
    if classifier.out_features < 1:
        raise InputError(f"a classifier needs at least one training identity, not {classifier.out_features}")
    nn.init.normal_(classifier.weight, std=0.001)
    nn.init.zeros_(classifier.bias)
    return classifier


@dataclass(frozen=True, kw_only=True)
class RestorationSettings(ABC):
    """Settings of a module that maps upsampled images (N, 3, H, W) to restored ones."""

    def __post_init__(self) -> None:
        """Raise InputError naming the first whole number that is below 1."""
        for field in fields(self):
            if isinstance(getattr(self, field.name), int):
                check_setting(self, field.name)

    @property
    def title(self) -> str:
        """Return the module's name in Table IV: by default the network's."""
        return type(self).__name__.removesuffix("Settings")

    @property
    def runs_on(self) -> str:
        """Return the title and what differs from the paper's module, e.g. `VDSR-CA (depth 4, width 16)`."""
        values = [(field.name, getattr(self, field.name), field.default) for field in fields(self)]
        return shown(self.title, ((name, value) for name, value, default in values if value not in (default, None)))

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the module with random weights."""


@dataclass(frozen=True, kw_only=True)
class InterpolationSettings(RestorationSettings):
    """Settings of no restoration; `filter` upsamples the images, as Pillow calls it."""

    tag: ClassVar[str] = "InterpolationSettings"
    filter: str = "bicubic"

    def __post_init__(self) -> None:
        check_setting(self, "filter", ("nearest", "box", "bilinear", "bicubic", "lanczos"))

    @property
    def title(self) -> str:
        """Return e.g. `Bicubic`."""
        return self.filter.capitalize()

    def build(self) -> nn.Module:
        """Return the identity; it has no weights."""
        return nn.Identity()
