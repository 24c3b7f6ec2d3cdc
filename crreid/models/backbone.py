"""Backbones of timm with random weights, as their papers have them or smaller.

Source of HRNet's stages: Wang et al. (TPAMI 2020), section 3: stage n has n branches, each half as fine and twice as
wide as the one before.
"""

from __future__ import annotations

from typing import Any

import timm
from torch import nn


def create_backbone(name: str, options: tuple[tuple[str, Any], ...] = (), **arguments: Any) -> nn.Module:
    """Build timm's network of a name, to whose builder options and arguments go; nothing is downloaded.

    Options make another network of it, as (("layers", (1, 1, 1, 1)),). For an HRNet `width` (channels of the finest
    branch) and `blocks` (residual blocks per branch and stage) stand for the stages, which timm takes as nested
    dictionaries. An option that the network does not have raises TypeError.

    Example:
        >>> network = create_backbone("hrnet_w18_small", (("width", 8), ("blocks", 1)), features_only=True)
        >>> network.feature_info.channels()
        [64, 128, 256, 512, 1024]
    """
    arguments |= dict(options)
    if name.startswith("hrnet_") and {"width", "blocks"} <= arguments.keys():
        width, blocks = arguments.pop("width"), arguments.pop("blocks")
        for branches in (1, 2, 3, 4):  # one module per stage: bottlenecks in the first, which has one branch
            arguments[f"stage{branches}"] = {
                "num_modules": 1,
                "num_branches": branches,
                "block_type": "BOTTLENECK" if branches == 1 else "BASIC",
                "num_blocks": (blocks,) * branches,
                "num_channels": tuple(width * 2**branch for branch in range(branches)),
                "fuse_method": "SUM",
            }
    network: nn.Module = timm.create_model(name, pretrained=False, **arguments)
    return network
