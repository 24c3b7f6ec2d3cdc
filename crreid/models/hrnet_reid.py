"""HRNet-ReID: HRNet whose four final resolutions are pooled apart, for person re-identification.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), section III-C, Eq. 6, Fig. 3 and 4; HRNet (Wang et al., TPAMI
2020). Branch n gives Seq(n) = flatten(AAP(f(n)) + lambda_n * AMP(f(n))) with average (AAP) and maximum (AMP) pooling
to a grid; Seq(5) is the four in a row; FC1 and batch normalisation make the feature l_f of it, FC2 the class scores
l_c.

Differs from the paper: Eq. 6 says that branch n is pooled to n x n; the lengths printed beside it, and ours, come
from the grids 4, 2, 2, 1. The values of lambda_n, which the paper does not print, are those of the authors' release.
Differs from the authors' release: its student pools branch 2 to 3 x 3, which does not fit its own next layer, so that
it cannot run. The downsampling head and the last layer of the ImageNet classifier, which the release loads and never
uses (8,301,824 parameters), are left out. Backbone from timm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.backbone import create_backbone
from crreid.models.common import BackboneSettings, Classifier, check_images, check_setting
from crreid.numerics import at_least_float32

GRIDS = (4, 2, 2, 1)  # side of the pooling grid of branch 1 (finest) to 4 (coarsest)

SEQUENCE_LENGTH = 128 * 4**2 + 256 * 2**2 + 512 * 2**2 + 1024 * 1**2
"""Length of Seq(5), 6144: HRNet's widening blocks give each branch these channels, whatever the network's width."""


@dataclass(frozen=True, kw_only=True)
class HRNetReIDSettings(BackboneSettings):
    """Shape of the network; the defaults have 34,414,383 parameters with 751 identities."""

    tag: ClassVar[str] = "HRNetReIDSettings"
    backbone: str = "hrnet_w32"  # an HRNet of timm; `hrnet_w18_small` is the quick one
    pooling: str = "both"  # Eq. 6; `average` and `maximum` are the other rows of Table V, each alone and unweighted
    # lambda_n of Eq. 6, the weight of maximum pooling in branch 1 to 4; used by `both` only
    maximum_weights: tuple[float, float, float, float] = (0.5, 0.2, 0.2, 0.2)
    dropout: float = 0.5  # probability of dropping an element of l_f before the classifier, in training

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.backbone.startswith("hrnet_"):
            raise InputError(f"backbone {self.backbone!r} is no HRNet of timm; expected e.g. hrnet_w32")
        check_setting(self, "pooling", ("average", "maximum", "both"))
        if len(self.maximum_weights) != 4:
            raise InputError(f"maximum_weights must be four numbers, one per branch, not {self.maximum_weights}")


class HRNetReIDOutput(NamedTuple):
    """What training needs of a batch of N images."""

    sequences: tuple[Tensor, ...]  # Seq(1) to Seq(5), each (N, length), not normalised
    features: Tensor  # l_f, (N, feature_length), after batch normalisation and before dropout
    logits: Tensor  # l_c, (N, identities), before softmax


class HRNetReID(Classifier):
    """HRNet, four pooled branches and a head of two fully connected layers.

    `backbone` bears the names of timm's and of the HRNet authors' ImageNet weights, so that those load into it; the
    head's `reduction` is FC1, its `classifier` FC2.

    Example:
        >>> small = HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=(("width", 8), ("blocks", 1)))
        >>> network = HRNetReID(small, identities=5).eval()
        >>> network.embed(torch.randn(2, 3, 64, 32)).shape  # Seq(5) of 6144 numbers and l_f of 512
        torch.Size([2, 6656])
    """

    def __init__(self, settings: HRNetReIDSettings, identities: int) -> None:
        super().__init__()
        self.settings = settings
        hands_out = {"features_only": True, "out_indices": (1, 2, 3, 4)}
        self.backbone = create_backbone(settings.backbone, settings.backbone_options, **hands_out)
        self.add_head(SEQUENCE_LENGTH, settings.feature_length, settings.dropout, identities)

    def forward(self, images: Tensor) -> HRNetReIDOutput:
        """Return the sequences, the feature and the class scores of images; sides are multiples of 32 pixels."""
        sequences = self._sequences(images)
        features = self.features(sequences[-1])
        return HRNetReIDOutput(sequences, features, self.classify(features))

    def embed(self, images: Tensor) -> Tensor:
        """Return descriptors for retrieval: Seq(5) and l_f in a row, without the classifier.

        They are (N, 6144 + feature_length), float32 or wider even under autocast, since distances follow; neither
        normalised nor added to those of the mirror images: both belong to the evaluation. Call `eval()` before.
        """
        last = self._sequences(images)[-1]
        return at_least_float32(torch.cat((last, self.features(last)), dim=1))

    def _sequences(self, images: Tensor) -> tuple[Tensor, ...]:
        check_images("HRNet-ReID", images, multiple=32)
        branches = [
            _pool(maps, self.settings.pooling, grid, weight).flatten(start_dim=1)
            for maps, grid, weight in zip(self.backbone(images), GRIDS, self.settings.maximum_weights, strict=True)
        ]
        return (*branches, torch.cat(branches, dim=1))


def _pool(maps: Tensor, pooling: str, grid: int, maximum_weight: float) -> Tensor:
    """Pool (N, C, height, width) to (N, C, grid, grid) as Eq. 6 does, or by one of its two terms."""
    # windows of one size: as adaptive pooling, with a deterministic backward pass on CUDA and an ONNX operator
    window = (maps.shape[2] // grid, maps.shape[3] // grid)
    average, maximum = nn.functional.avg_pool2d(maps, window), nn.functional.max_pool2d(maps, window)
    if pooling == "average":
        return average
    return maximum if pooling == "maximum" else average + maximum_weight * maximum
