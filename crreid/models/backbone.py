"""Backbones of timm with random weights, as their papers have them or smaller.

Source of HRNet's stages: Wang et al. (TPAMI 2020), section 3: stage n has n branches, each half as fine and twice as
wide as the one before.
"""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

__all__ = ["create_backbone"]


def create_backbone(name: str, options: tuple[tuple[str, Any], ...] = (), **how: Any) -> nn.Module:
    """Builds a backbone; nothing is downloaded.

    Args:
        name: In timm.
        options: Arguments of timm's builder which make another network of it, as (("layers", (1, 1, 1, 1)),). Of an
            HRNet `width` (channels of the finest branch) and `blocks` (residual blocks a branch and stage) stand for
            the stages, which timm takes as nested dictionaries.
        how: What the caller needs of it, as `features_only=True`.

    Raises:
        TypeError: An option that the network does not have.
    """
    arguments = dict(options)
    if name.startswith("hrnet_") and {"width", "blocks"} <= arguments.keys():
        arguments |= _hrnet_stages(arguments.pop("width"), arguments.pop("blocks"))
    network: nn.Module = timm.create_model(name, pretrained=False, **how, **arguments)
    return network


def _hrnet_stages(width: int, blocks: int) -> dict[str, dict[str, Any]]:
    """One module a stage: bottlenecks in the first, which has one branch, basic blocks in the others."""
    return {
        f"stage{branches}": {
            "num_modules": 1,
            "num_branches": branches,
            "block_type": "BOTTLENECK" if branches == 1 else "BASIC",
            "num_blocks": (blocks,) * branches,
            "num_channels": tuple(width * 2**branch for branch in range(branches)),
            "fuse_method": "SUM",
        }
        for branches in (1, 2, 3, 4)
    }
