"""Resolution-adaptive masks: a residual network that looks at an image of each resolution through channels of its own.

Source: LRAR (Wu et al., arXiv 2207.13037), mechanism 2: after residual block l, the maps X become X * Sigmoid(M_k), one
learned vector M_k a resolution level k with an element a channel; masks of one layer after the other are trained, from
the output downwards (Algorithm 1).
Differs from the paper: nothing that is readable. It does not print from which distribution masks start, and "after each
residual block" leaves open whether before or after the block's last ReLU; here after, on the block's output. One mask a
stage instead of a block is an option. The residual network comes from timm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import timm.models.resnet
import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.images import check_images

__all__ = ["ResolutionMask", "ResolutionMaskSettings", "ResolutionMasks", "positions_in_training"]

STAGES = ("layer1", "layer2", "layer3", "layer4")


@dataclass(frozen=True, kw_only=True)
class ResolutionMaskSettings:
    """Where masks stand and how they start.

    Attributes:
        per: A mask after each residual `block` (the paper) or after each of the four stages.
        initial_mean: Of the normal distribution that M is drawn from; the paper says random. 3 makes masks of about
            0.95, so that a mask that joins a trained network does not break it; with 0, masks of 0.5, a short
            progressive training ends with a clearly higher cross entropy.
        initial_deviation: Its standard deviation. The larger it is, the less alike are the maps of one image at two
            levels before anything is learnt; short trainings do not make up for 1.
    """

    tag: ClassVar[str] = "ResolutionMaskSettings"
    per: Literal["block", "stage"] = "block"
    initial_mean: float = 3.0
    initial_deviation: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError naming the first field that cannot be used."""
        if self.per not in ("block", "stage"):
            raise InputError(f"masks stand per block or per stage, not per {self.per!r}")
        if self.initial_deviation < 0:
            raise InputError(f"initial_deviation of masks must be 0 or more, not {self.initial_deviation}")

    def build(self, backbone: nn.Module, levels: int) -> ResolutionMasks:
        """Masks with random values for a network of timm, to be applied by `ResolutionMasks.forward`."""
        return ResolutionMasks(self, backbone, levels)


class ResolutionMask(nn.Module):
    """The masks of all levels at one position.

    Attributes:
        raw: M, (levels, channels) float, before the sigmoid.
        applied: Whether maps are scaled at all; a mask whose turn has not come is not there.
    """

    def __init__(self, levels: int, channels: int, mean: float, deviation: float) -> None:
        """Draws the values from torch's global generator."""
        super().__init__()
        self.raw = nn.Parameter(torch.empty(levels, channels).normal_(mean, deviation))
        self.applied = True

    def forward(self, maps: Tensor, levels: Tensor) -> Tensor:
        """Scales maps (N, channels, H, W) by the mask of each image's level (N,), int64 from 0."""
        if not self.applied:
            return maps
        factors = self.raw[levels].sigmoid().to(maps.dtype)  # else float32 factors undo autocast
        return maps * factors[:, :, None, None]


class ResolutionMasks(nn.Module):
    """Masks at every position of a residual network, which is not part of this module: its weights have their names.

    Freshly built, and after weights were loaded, all masks are applied and all learn; `set_epoch` takes them in turn.

    Attributes:
        positions: Names of timm's modules that masks follow, from the input to the output, e.g. `layer1.0`.
    """

    def __init__(self, settings: ResolutionMaskSettings, backbone: nn.Module, levels: int) -> None:
        """Draws masks for a network.

        Args:
            settings: Where masks stand and how they start.
            backbone: A ResNet of timm.
            levels: Number of resolution levels.

        Raises:
            InputError: The network is not one of timm's ResNets.
        """
        super().__init__()
        if not isinstance(backbone, timm.models.resnet.ResNet):
            raise InputError(
                f"masks follow the blocks of a ResNet of timm, e.g. resnet50, not of {type(backbone).__name__}"
            )
        self.settings, self.levels = settings, levels
        channels: dict[Any, Any] = {info["module"]: info["num_chs"] for info in backbone.feature_info}
        self.positions: tuple[str, ...] = STAGES
        if settings.per == "block":
            self.positions = tuple(f"{stage}.{i}" for stage in STAGES for i in range(len(getattr(backbone, stage))))
        self.masks = nn.ModuleList(
            ResolutionMask(levels, channels[position.split(".")[0]], settings.initial_mean, settings.initial_deviation)
            for position in self.positions
        )

    def forward(self, backbone: Any, images: Tensor, levels: Tensor) -> Tensor:
        """Describes images by the network, masked.

        Args:
            backbone: The network that the masks were built for.
            images: (N, 3, height, width) float, RGB, ImageNet-normalised.
            levels: (N,) int64, from 0, the lowest resolution.

        Returns:
            (N, channels): averages of the last maps.

        Raises:
            InputError: The images have another shape.
        """
        check_images("a masked ResNet", images)
        maps = backbone.maxpool(backbone.act1(backbone.bn1(backbone.conv1(images))))
        masks = self._by_position()
        for stage in STAGES:
            for index, block in enumerate(getattr(backbone, stage)):
                maps = block(maps)
                if mask := masks.get(f"{stage}.{index}"):
                    maps = mask(maps, levels)
            if mask := masks.get(stage):
                maps = mask(maps, levels)
        pooled: Tensor = backbone.global_pool(maps)
        return pooled

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Progressive training (Algorithm 1): masks nearer the output are frozen, those nearer the input not there yet.

        Args:
            epoch: 0 the first.
            epochs: Of the whole training; the positions share them as `positions_in_training` says.
        """
        active = positions_in_training(len(self.positions), epoch, epochs)
        for number, mask in enumerate(self._by_position().values()):
            mask.applied = number >= active.start
            mask.raw.requires_grad_(number in active)

    @torch.no_grad()
    def values(self) -> dict[str, Tensor]:
        """Sigmoid(M) of every position in order: (levels, channels) float32 in (0, 1), on the CPU."""
        return {position: mask.raw.float().sigmoid().cpu() for position, mask in self._by_position().items()}

    def _by_position(self) -> dict[str, ResolutionMask]:
        masks = [mask for mask in self.masks if isinstance(mask, ResolutionMask)]
        return dict(zip(self.positions, masks, strict=True))


def positions_in_training(positions: int, epoch: int, epochs: int) -> range:
    """Which masks learn in an epoch, counted from the input.

    Each position in turn, the last first, for an equal share of the epochs to within one. With fewer epochs than
    positions each epoch trains a group of neighbours, of equal size to within one.

    Args:
        positions: Number of masks.
        epoch: 0 the first.
        epochs: Of the whole training.
    """
    phases = min(positions, epochs)
    phase = epoch * phases // epochs
    return range(positions - (phase + 1) * positions // phases, positions - phase * positions // phases)
