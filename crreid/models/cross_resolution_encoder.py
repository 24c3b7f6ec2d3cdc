"""Cross-resolution encoder: a ResNet, or OSNet, that hands out the maps of all its stages.

Source: CAD-Net (Li et al., "Recover and Identify", ICCV 2019): E takes images of either resolution at one size to f,
of h x w x d numbers, and has skip connections to the decoder; F, the encoder of recovered images, gives g of f's size.
That both are ImageNet ResNet-50 without shared weights is general knowledge of the paper, not read in it. Here both are
this class, and f and g are the map of the last stage, a thirty-second of the image. ResNets are timm's.

OSNet (in no source) has no stage at a thirty-second: f and g are its last maps averaged over 2 x 2, and what they tell
of a person is what OSNet's linear layer makes of their average over the image, 512 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import timm
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from crreid.errors import InputError
from crreid.models.common import check_images
from crreid.models.osnet import CHANNELS, OSNet
from crreid.numerics import at_least_float32

REDUCTIONS = (2, 4, 8, 16, 32)
"""How many times smaller than the image the maps are: the stem's, then those of the four residual stages."""


@dataclass(frozen=True, kw_only=True)
class CrossResolutionEncoderSettings:
    """Shape of the network: a ResNet of timm with four stages, e.g. `resnet50`, `resnet18`, or `osnet_x0_25`."""

    tag: ClassVar[str] = "CrossResolutionEncoderSettings"
    backbone: str = "resnet50"

    def __post_init__(self) -> None:
        if self.backbone != "osnet_x0_25" and not timm.is_model(self.backbone):
            raise InputError(f"timm has no backbone {self.backbone!r}; expected a ResNet, e.g. resnet50")


class CrossResolutionEncoder(nn.Module):
    """Images to the maps of five depths, the last one the feature; `length` is that of what it tells of a person."""

    backbone: Any  # untyped on purpose: timm's modules are

    def __init__(self, settings: CrossResolutionEncoderSettings) -> None:
        """Build the network with random weights; an InputError names a backbone without maps of these depths."""
        super().__init__()
        self.channels: tuple[int, ...]
        if settings.backbone == "osnet_x0_25":
            self.backbone = OSNet()
            self.channels, self.length = (*CHANNELS, CHANNELS[-1]), self.backbone.num_features
            return
        try:
            self.backbone = timm.create_model(settings.backbone, pretrained=False, features_only=True)
            reductions = tuple(self.backbone.feature_info.reduction())
        except (RuntimeError, AttributeError):  # of networks that have no maps
            reductions = ()
        if reductions != REDUCTIONS:
            problem = (
                "has no maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size; expected a ResNet, e.g. resnet50"
            )
            raise InputError(f"backbone {settings.backbone!r} {problem}")
        self.channels = tuple(self.backbone.feature_info.channels())
        self.length = self.channels[-1]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return five maps, the last one f (or g), of images whose sides are multiples of 32 pixels.

        The maps are (N, `channels[i]`, height / REDUCTIONS[i], width / REDUCTIONS[i]).
        """
        check_images("the encoder", images, REDUCTIONS[-1])
        if isinstance(self.backbone, OSNet):
            *maps, last = self.backbone.maps(images)
            return (*maps, avg_pool2d(last, 2))
        return tuple(self.backbone(images))

    def described(self, feature: Tensor) -> Tensor:
        """Return what the last map (N, d, h, w) tells of a person, (N, length): its average, float32 or wider."""
        average = at_least_float32(feature).mean(dim=(2, 3))
        return at_least_float32(self.backbone.fc(average)) if isinstance(self.backbone, OSNet) else average
