"""Resolution-adaptive masks: a residual network that looks at an image of each resolution through channels of its own.

Source: LRAR (Wu et al., arXiv 2207.13037), mechanism 2: after residual block l, the maps X become X * Sigmoid(M_k), one
learned vector M_k per resolution level k with one element per channel; masks of one layer after the other are trained,
from the output downwards (Algorithm 1).
Differs from the paper: nothing that is readable. It does not print from which distribution masks start, and "after each
residual block" leaves open whether before or after the block's last ReLU; here after, on the block's output. The
residual network is a ResNet of timm or, in no source, OSNet, whose six blocks have a shortcut around them, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.common import check_images
from crreid.models.osnet import CHANNELS, OSNet

STAGES = ("layer1", "layer2", "layer3", "layer4")

INITIAL_MEAN = 3.0
"""Mean of the distribution that M is drawn from; the paper says random. Masks of about 0.95 do not break a trained
network that they join; with 0, masks of 0.5, a short progressive training ended with a clearly higher cross entropy."""


@dataclass(frozen=True, kw_only=True)
class ResolutionMaskSettings:
    """How masks start: the standard deviation of the distribution that M is drawn from.

    The larger it is, the less alike are the maps of one image at two levels before anything is learnt; short trainings
    do not make up for 1.
    """

    tag: ClassVar[str] = "ResolutionMaskSettings"
    initial_deviation: float = 1.0

    def __post_init__(self) -> None:
        if self.initial_deviation < 0:
            raise InputError(f"initial_deviation of masks must be 0 or more, not {self.initial_deviation}")


class ResolutionMask(nn.Module):
    """The masks of all levels at one position: `raw` is M, (levels, channels) float, before the sigmoid.

    A mask whose turn has not come is not `applied`.
    """

    def __init__(self, levels: int, channels: int, deviation: float) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.empty(levels, channels).normal_(INITIAL_MEAN, deviation))
        self.applied = True

    def forward(self, maps: Tensor, levels: Tensor) -> Tensor:
        """Scale maps (N, channels, H, W) by the mask of each image's level (N,), int64 from 0."""
        if not self.applied:
            return maps
        factors = self.raw[levels].sigmoid().to(maps.dtype)  # else float32 factors undo autocast
        return maps * factors[:, :, None, None]


class ResolutionMasks(nn.Module):
    """Masks after every block of a residual network, which is not part of this module: its weights have their names.

    Freshly built, and after weights were loaded, all masks are applied and all learn; `set_epoch` takes them in turn.
    `positions` are the names of the blocks that masks follow, from the input to the output, e.g. `layer1.0`.

    Example:
        >>> backbone = timm.create_model("test_resnet", num_classes=0)
        >>> masks = ResolutionMasks(ResolutionMaskSettings(), backbone, levels=4)
        >>> masks(backbone, torch.randn(2, 3, 64, 32), torch.tensor([0, 3])).shape
        torch.Size([2, 96])
    """

    masks: Any  # a ModuleList of ResolutionMask

    def __init__(self, settings: ResolutionMaskSettings, backbone: nn.Module, levels: int) -> None:
        """Draw masks for the resolution levels. Raises InputError where the network is no ResNet of timm, nor OSNet."""
        super().__init__()
        channels = _channels_after_blocks(backbone)
        self.positions = tuple(channels)
        self.masks = nn.ModuleList(
            ResolutionMask(levels, width, settings.initial_deviation) for width in channels.values()
        )

    def forward(self, backbone: Any, images: Tensor, levels: Tensor) -> Tensor:
        """Return the averages (N, channels) of the masked network's last maps; levels are (N,) int64, 0 the lowest."""
        check_images("a masked network", images)
        masks = iter(self.masks)
        if isinstance(backbone, OSNet):
            return backbone.pooled(images, lambda maps: next(masks)(maps, levels))
        maps = backbone.maxpool(backbone.act1(backbone.bn1(backbone.conv1(images))))
        for stage in STAGES:
            for block in getattr(backbone, stage):
                maps = next(masks)(block(maps), levels)
        pooled: Tensor = backbone.global_pool(maps)
        return pooled

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Train progressively (Algorithm 1): masks nearer the output are frozen, those nearer the input are absent."""
        active = positions_in_training(len(self.positions), epoch, epochs)
        for number, mask in enumerate(self.masks):
            mask.applied = number >= active.start
            mask.raw.requires_grad_(number in active)

    @torch.no_grad()
    def values(self) -> dict[str, Tensor]:
        """Return Sigmoid(M) by position in order: (levels, channels) float32 in (0, 1), on the CPU."""
        masks = [mask.raw.float().sigmoid().cpu() for mask in self.masks]
        return dict(zip(self.positions, masks, strict=True))


def _channels_after_blocks(backbone: Any) -> dict[str, int]:
    """Return the channels of the maps that each block gives, by the blocks' names from the input to the output."""
    if isinstance(backbone, OSNet):
        stages = zip(("conv2", "conv3", "conv4"), CHANNELS[1:], strict=True)
        return {f"{stage}.{block}": width for stage, width in stages for block in range(2)}
    if not isinstance(backbone, ResNet):
        name = type(backbone).__name__
        raise InputError(f"masks follow the blocks of a ResNet of timm, e.g. resnet50, or of OSNet, not of {name}")
    widths: dict[Any, Any] = {info["module"]: info["num_chs"] for info in backbone.feature_info}
    return {f"{stage}.{i}": widths[stage] for stage in STAGES for i in range(len(getattr(backbone, stage)))}


def positions_in_training(positions: int, epoch: int, epochs: int) -> range:
    """Return which masks learn in an epoch, counted from the input.

    Each position in turn, the last first, for an equal share of the epochs to within one. With fewer epochs than
    positions each epoch trains a group of neighbours, of equal size to within one.

    Example:
        >>> [positions_in_training(4, epoch, epochs=2) for epoch in range(2)]
        [range(2, 4), range(0, 2)]
    """
    phases = min(positions, epochs)
    phase = epoch * phases // epochs
    return range(positions - (phase + 1) * positions // phases, positions - phase * positions // phases)
