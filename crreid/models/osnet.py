"""OSNet x0.25: small blocks, each of which looks at several scales at once and mixes them by a gate.

Source: Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019, at a quarter of its width:
16, 64, 96 and 128 channels, 201,864 parameters before the classifier. Tensors have the names of torchreid's model zoo,
so that its weights load.
Differs from the paper: nothing known. The descriptor is the paper's, the 512 numbers after the fully connected layer,
which its authors compare by Euclidean distance; the study's methods compare it as they compare every descriptor.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.common import (
    Classifier,
    ClassifierOutput,
    ClassifierSettings,
    check_images,
    check_setting,
    start_classifier,
)
from crreid.numerics import at_least_float32

CHANNELS = (16, 64, 96, 128)  # of the stem and of the three stages
REDUCTION = 4  # how many times narrower a block's streams are than its output
GATE_REDUCTION = 16


@dataclass(frozen=True, kw_only=True)
class OSNetSettings(ClassifierSettings):
    """Length of the descriptor; the rest of the network is fixed. Pretrained weights have the default length."""

    tag: ClassVar[str] = "OSNetSettings"
    backbone: str = "osnet_x0_25"

    def __post_init__(self) -> None:
        """Raise InputError for another backbone, options, or no length; timm does not know this network."""
        check_setting(self, "backbone", ("osnet_x0_25",))
        check_setting(self, "feature_length")
        if self.backbone_options:
            raise InputError(f"osnet_x0_25 has no options; got {dict(self.backbone_options)}")

    @property
    def title(self) -> str:
        """Return the paper's name."""
        return "OSNet x0.25"

    def build(self, identities: int) -> OSNetClassifier:
        """Return the network with random weights."""
        return OSNetClassifier(self, identities)


class OmniScaleBlock(nn.Module):
    """Four streams of one to four light convolutions, weighted by one gate and added; a shortcut around them."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        middle = after // REDUCTION
        self.conv1 = _convolution(before, middle)
        self.conv2a = _light_convolution(middle)
        self.conv2b = nn.Sequential(*(_light_convolution(middle) for _ in range(2)))
        self.conv2c = nn.Sequential(*(_light_convolution(middle) for _ in range(3)))
        self.conv2d = nn.Sequential(*(_light_convolution(middle) for _ in range(4)))
        self.gate = _gate(middle)
        self.conv3 = _convolution(middle, after, relu=False)
        self.downsample = nn.Identity() if before == after else _convolution(before, after, relu=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, after, H, W) of maps (N, before, H, W)."""
        narrow = self.conv1(maps)
        streams = (stream(narrow) for stream in (self.conv2a, self.conv2b, self.conv2c, self.conv2d))
        one, two, three, four = (self.gate(stream) * stream for stream in streams)
        return nn.functional.relu(self.conv3(one + two + three + four) + self.downsample(maps))


class OSNet(nn.Module):
    """Images to descriptors; `fc` makes them of the average of the last map.

    Example:
        >>> network = OSNet().eval()
        >>> network(torch.randn(2, 3, 256, 128)).shape
        torch.Size([2, 512])
        >>> [tuple(maps.shape[1:]) for maps in network.maps(torch.randn(2, 3, 256, 128))]
        [(16, 128, 64), (64, 64, 32), (96, 32, 16), (128, 16, 8), (128, 16, 8)]
    """

    def __init__(self, num_features: int = 512) -> None:
        super().__init__()
        self.num_features = num_features
        stem, first, second, third = CHANNELS
        self.conv1 = _convolution(3, stem, kernel=7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Sequential(OmniScaleBlock(stem, first), OmniScaleBlock(first, first), _transition(first))
        self.conv3 = nn.Sequential(OmniScaleBlock(first, second), OmniScaleBlock(second, second), _transition(second))
        self.conv4 = nn.Sequential(OmniScaleBlock(second, third), OmniScaleBlock(third, third))
        self.conv5 = _convolution(third, third)
        self.fc = nn.Sequential(nn.Linear(third, num_features), nn.BatchNorm1d(num_features), nn.ReLU(inplace=True))

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors (N, num_features) of images (N, 3, H, W)."""
        descriptors: Tensor = self.fc(self.pooled(images))
        return descriptors

    def pooled(self, images: Tensor, after_block: Callable[[Tensor], Tensor] = lambda maps: maps) -> Tensor:
        """Return the averages of the last maps, (N, 128)."""
        return self.maps(images, after_block)[-1].mean(dim=(2, 3))

    def maps(
        self, images: Tensor, after_block: Callable[[Tensor], Tensor] = lambda maps: maps
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the maps of the stem, of the three stages and of the last convolution.

        They are 1/2, 1/4, 1/8, 1/16 and 1/16 as high and wide as the images. `after_block` changes the maps that each
        of the six blocks gives, in their order.
        """
        stem = self.conv1(images)
        maps, stages = self.maxpool(stem), []
        for stage in (self.conv2, self.conv3, self.conv4):
            first, second, *transition = stage
            maps = after_block(second(after_block(first(maps))))
            stages.append(maps)
            for layer in transition:
                maps = layer(maps)
        return stem, stages[0], stages[1], stages[2], self.conv5(maps)


class OSNetClassifier(Classifier):
    """OSNet and a classifier of its descriptors."""

    backbone: OSNet

    def __init__(self, settings: OSNetSettings, identities: int) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = OSNet(settings.feature_length)
        self.classifier = start_classifier(nn.Linear(settings.feature_length, identities))

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Return the descriptor (N, feature_length) and one set of class scores."""
        features = self.features(self.pooled(images))
        return ClassifierOutput(features, (self.classify(features),))

    def embed(self, images: Tensor) -> Tensor:
        """Return the descriptor, (N, feature_length)."""
        return at_least_float32(self.features(self.pooled(images)))

    def pooled(self, images: Tensor) -> Tensor:
        """Return the averages of the last maps, (N, 128)."""
        check_images(self.settings.title, images)
        return self.backbone.pooled(images)

    def features(self, pooled: Tensor) -> Tensor:
        """Return the descriptors (N, feature_length) of averages (N, 128)."""
        features: Tensor = self.backbone.fc(pooled)
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Return class scores (N, identities) of descriptors; there is no dropout."""
        logits: Tensor = self.classifier(features)
        return logits


def _convolution(before: int, after: int, kernel: int = 1, stride: int = 1, *, relu: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    layers: dict[str, nn.Module] = {"conv": convolution, "bn": nn.BatchNorm2d(after)}
    return nn.Sequential(OrderedDict(layers | ({"relu": nn.ReLU(inplace=True)} if relu else {})))


def _light_convolution(width: int) -> nn.Sequential:
    """Return a 3 x 3 convolution in two: of all channels at a pixel, then of each channel alone."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(width, width, 1, bias=False),
        "conv2": nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
        "bn": nn.BatchNorm2d(width),
        "relu": nn.ReLU(inplace=True),
    }
    return nn.Sequential(OrderedDict(layers))


def _gate(width: int) -> nn.Sequential:
    """Return the network that weighs the channels of a stream, (N, width, H, W) to (N, width, 1, 1) in (0, 1)."""
    narrow = width // GATE_REDUCTION
    layers: dict[str, nn.Module] = {
        "average": nn.AdaptiveAvgPool2d(1),
        "fc1": nn.Conv2d(width, narrow, 1),
        "relu": nn.ReLU(inplace=True),
        "fc2": nn.Conv2d(narrow, width, 1),
        "sigmoid": nn.Sigmoid(),
    }
    return nn.Sequential(OrderedDict(layers))


def _transition(width: int) -> nn.Sequential:
    """Return what halves the maps between two stages."""
    return nn.Sequential(_convolution(width, width), nn.AvgPool2d(2))
