"""Discriminators: which resolution features come from, and whether an image is a real high-resolution one.

Source: D_F and D_I of CAD-Net (Li et al., "Recover and Identify", ICCV 2019). That D_F is a chain of five convolutions
as in Tsai et al. (CVPR 2018) and D_I is like ResNet-18 is general knowledge of the paper, not read in it.

Differs from Tsai et al.: kernels of 3 x 3, and only so many of them at stride 2 that f's size is reached, none for f.
Theirs of 4 x 4, all at stride 2, leave nothing of maps of 8 x 4. Kernels of 3 x 3 that step on by 2 over a map of one
pixel use a ninth of their weights, and PyTorch 2.15 was seen to give garbage as their gradient in bfloat16 (processor,
maps one pixel wide).
Differs from ResNet-18: group normalisation, so that an image is judged alone. Batch normalisation would judge it by its
company, which is real and recovered when a discriminator learns and only recovered when it is to be deceived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import timm
from timm.layers.norm import GroupNorm
from torch import Tensor, nn

from crreid.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings:
    """Shape of both discriminators; their outputs are logits, positive for "high resolution" and "real".

    Attributes:
        widths: Channels between the convolutions of a strided discriminator, of which there is one more.
        image_backbone: timm's name of D_I, a network that takes group normalisation; None for a strided discriminator
            as D_F is, at a fraction of the cost.
    """

    tag: ClassVar[str] = "DiscriminatorSettings"
    widths: tuple[int, ...] = (64, 128, 256, 512)
    image_backbone: str | None = "resnet18"

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise InputError(f"a discriminator's widths must be numbers of channels, at least one, not {self.widths}")
        if self.image_backbone is not None and not timm.is_model(self.image_backbone):
            raise InputError(f"timm has no backbone {self.image_backbone!r}; expected e.g. resnet18, or None")

    def build_for_features(self, channels: int, halvings: int = 0) -> nn.Module:
        """Return D_F with random weights: maps (N, channels, h, w), halved so many times, to logits (N, 1, h', w')."""
        return StridedDiscriminator(channels, self.widths, halvings)

    def build_for_images(self) -> nn.Module:
        """Return D_I with random weights: images (N, 3, height, width) to logits (N, 1), or (N, 1, h', w') if strided.

        Raises InputError where `image_backbone` does not take group normalisation.
        """
        name = self.image_backbone
        if name is None:
            return StridedDiscriminator(3, self.widths, len(self.widths) + 1)
        try:
            network: nn.Module = timm.create_model(name, pretrained=False, num_classes=1, norm_layer=GroupNorm)
        except (TypeError, ValueError) as error:  # another kind of network, or channels that 32 groups do not divide
            raise InputError(f"image_backbone {name!r} does not take group normalisation; try resnet18") from error
        return network


class StridedDiscriminator(nn.Module):
    """3 x 3 convolutions, the first ones at stride 2, with leaky ReLU between; logits of overlapping patches."""

    def __init__(self, channels: int, widths: Sequence[int], halvings: int) -> None:
        """Build the chain for maps of so many channels, its first convolutions (`halvings`) at stride 2."""
        super().__init__()
        layers = list[nn.Module]()
        for number, (before, after) in enumerate(zip([channels, *widths], [*widths, 1], strict=True)):
            stride = 2 if number < halvings else 1
            layers += [nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits (N, 1, h', w') of maps (N, channels, h, w): each halving rounds up."""
        logits: Tensor = self.layers(maps)
        return logits
