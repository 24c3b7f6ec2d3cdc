"""HRNet-ReID: HRNet whose four final resolutions are pooled apart, for person re-identification.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), section III-C, Eq. 6, Fig. 3 and 4; HRNet (Wang et al., TPAMI
2020). Branch n gives Seq(n) = flatten(AAP(f(n)) + lambda_n * AMP(f(n))) with average (AAP) and maximum (AMP) pooling
to a grid; Seq(5) is the four in a row; FC1 and batch normalisation make the feature l_f of it, FC2 the class scores
l_c.

Differs from the paper: Eq. 6 says that branch n is pooled to n x n; the lengths printed beside it, and ours, come
from the grids 4, 2, 2, 1. The values of lambda_n, which the paper does not print, are those of the authors' release.
Differs from the authors' release: its student pools branch 2 to 3 x 3, which no longer fits its own next layer, so
that it cannot run; here that is an error of the settings. The down-sampling head and the last layer of the ImageNet
classifier, which the release loads and never uses (8,301,824 parameters), are left out. Backbone from timm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import timm
import torch
from torch import Tensor, nn

from crreid.errors import InputError
from crreid.models.backbone import create_backbone
from crreid.models.images import check_images

__all__ = ["BRANCH_CHANNELS", "POOLINGS", "HRNetReID", "HRNetReIDOutput", "HRNetReIDSettings"]

BRANCH_CHANNELS = (128, 256, 512, 1024)
"""Channels of the four maps after HRNet's widening blocks; the same for every width of HRNet."""

POOLINGS = ("average", "maximum", "both")


@dataclass(frozen=True, kw_only=True)
class HRNetReIDSettings:
    """Shape of the network; the defaults have 34,414,383 parameters with 751 identities.

    Attributes:
        backbone: A timm name that begins with `hrnet_`; `hrnet_w18_small` is the quick one.
        backbone_options: What makes another network of it, as (("width", 16), ("blocks", 1)), see `create_backbone`.
        pooling: `both` is Eq. 6; `average` and `maximum` are the other rows of Table V, each alone and unweighted.
        grids: Side of the pooling grid of branch 1 (finest) to 4 (coarsest).
        maximum_weights: lambda_n of Eq. 6, the weight of maximum pooling in branch 1 to 4; used by `both` only.
        sequence_length: Length of Seq(5) that the head is built for; the grids must give it.
        feature_length: Length of the feature l_f.
        dropout: Probability of dropping an element of l_f before the classifier, in training.
    """

    tag: ClassVar[str] = "HRNetReIDSettings"
    backbone: str = "hrnet_w32"
    backbone_options: tuple[tuple[str, Any], ...] = ()
    pooling: str = "both"
    grids: tuple[int, int, int, int] = (4, 2, 2, 1)
    maximum_weights: tuple[float, float, float, float] = (0.5, 0.2, 0.2, 0.2)
    sequence_length: int = 6144
    feature_length: int = 512
    dropout: float = 0.5

    def __post_init__(self) -> None:
        """Raises InputError naming the first field that cannot be used."""
        if not self.backbone.startswith("hrnet_") or not timm.is_model(self.backbone):
            raise InputError(
                f"backbone {self.backbone!r} is no HRNet of timm; expected e.g. hrnet_w32 or hrnet_w18_small"
            )
        if self.pooling not in POOLINGS:
            raise InputError(f"pooling {self.pooling!r} is unknown; expected one of {', '.join(POOLINGS)}")
        if len(self.grids) != 4 or min(self.grids) < 1:
            raise InputError(f"grids must be four whole numbers of at least 1, one a branch, not {self.grids}")
        if len(self.maximum_weights) != 4:
            raise InputError(f"maximum_weights must be four numbers, one a branch, not {self.maximum_weights}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must lie in [0, 1), not {self.dropout}")
        if self.feature_length < 1:
            raise InputError(f"feature_length must be at least 1, not {self.feature_length}")
        if (length := sum(self.branch_lengths)) != self.sequence_length:
            raise InputError(
                f"pooling grids {self.grids} make a Seq5 of {length:,} numbers but sequence_length is "
                f"{self.sequence_length:,}; 4, 3, 2, 1 is a defect of the released code, 4, 2, 2, 1 fits"
            )

    @property
    def branch_lengths(self) -> tuple[int, ...]:
        """Lengths of Seq(1) to Seq(4): 2048, 1024, 2048, 1024 with the default grids."""
        return tuple(channels * grid**2 for channels, grid in zip(BRANCH_CHANNELS, self.grids, strict=True))

    @property
    def descriptor_length(self) -> int:
        """Length of what `HRNetReID.embed` returns an image: 6656 by default."""
        return self.sequence_length + self.feature_length


class HRNetReIDOutput(NamedTuple):
    """What training needs of a batch of N images.

    Attributes:
        sequences: Seq(1) to Seq(5), each (N, length), not normalised.
        features: l_f, (N, feature_length), after batch normalisation and before dropout.
        logits: l_c, (N, identities), before softmax.
    """

    sequences: tuple[Tensor, ...]
    features: Tensor
    logits: Tensor


class HRNetReID(nn.Module):
    """HRNet, four pooled branches and a head of two fully connected layers.

    `backbone` bears the names of timm's and of the HRNet authors' ImageNet weights, so that those load into it.
    """

    def __init__(self, settings: HRNetReIDSettings, identities: int) -> None:
        """Builds the network with random weights; nothing is downloaded.

        Args:
            settings: Shape of the network.
            identities: Number M of training identities, the classifier's outputs.

        Raises:
            InputError: There are no identities.
        """
        super().__init__()
        if identities < 1:
            raise InputError(f"HRNet-ReID needs at least one training identity, not {identities}")
        self.settings = settings
        # untyped on purpose: timm's modules are
        self.backbone: Any = create_backbone(
            settings.backbone, settings.backbone_options, features_only=True, out_indices=(1, 2, 3, 4)
        )
        self.reduction = nn.Linear(settings.sequence_length, settings.feature_length)  # FC1
        self.normalisation = nn.BatchNorm1d(settings.feature_length)
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(settings.feature_length, identities)  # FC2
        nn.init.kaiming_normal_(self.reduction.weight, mode="fan_out")
        nn.init.zeros_(self.reduction.bias)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> HRNetReIDOutput:
        """Describes and classifies images.

        Args:
            images: (N, 3, height, width) float, RGB, ImageNet-normalised; height and width multiples of 32.

        Returns:
            The five sequences, the feature and the class scores.

        Raises:
            InputError: The images have another shape, or are too small for the pooling grids.
        """
        sequences = self._sequences(images)
        features = self._features(sequences[-1])
        return HRNetReIDOutput(sequences, features, self.classifier(self.dropout(features)))

    def embed(self, images: Tensor) -> Tensor:
        """Descriptors for retrieval: Seq(5) and l_f in a row, without the classifier.

        Neither normalised nor added to that of the mirror image: both belong to the evaluation. Call `eval()` before.

        Args:
            images: As for `forward`.

        Returns:
            (N, descriptor_length), float32 or wider even under autocast, since distances follow.

        Raises:
            InputError: As `forward`.
        """
        last = self._sequences(images)[-1]
        descriptors = torch.cat((last, self._features(last)), dim=1)
        return descriptors.to(torch.promote_types(descriptors.dtype, torch.float32))

    def _sequences(self, images: Tensor) -> tuple[Tensor, ...]:
        _check_images(images, self.settings.grids)
        branches = [
            _pool(maps, self.settings.pooling, grid, weight).flatten(start_dim=1)
            for maps, grid, weight in zip(
                self.backbone(images), self.settings.grids, self.settings.maximum_weights, strict=True
            )
        ]
        return (*branches, torch.cat(branches, dim=1))

    def _features(self, sequence: Tensor) -> Tensor:
        features: Tensor = self.normalisation(self.reduction(sequence))
        return features


def _pool(maps: Tensor, pooling: str, grid: int, maximum_weight: float) -> Tensor:
    """Pools (N, C, height, width) to (N, C, grid, grid) as Eq. 6 does, or by one of its two terms."""
    height, width = maps.shape[2:]
    if height % grid == 0 and width % grid == 0:
        # windows of one size: the same numbers, with a deterministic backward pass on CUDA and an ONNX operator
        window = (height // grid, width // grid)
        average, maximum = nn.functional.avg_pool2d(maps, window), nn.functional.max_pool2d(maps, window)
    else:
        average = nn.functional.adaptive_avg_pool2d(maps, grid)
        maximum = nn.functional.adaptive_max_pool2d(maps, grid)
    if pooling == "average":
        return average
    return maximum if pooling == "maximum" else average + maximum_weight * maximum


def _check_images(images: Tensor, grids: tuple[int, ...]) -> None:
    check_images("HRNet-ReID", images, multiple=32)
    height, width = images.shape[2:]
    for branch, grid in enumerate(grids):
        rows, columns = height // (4 << branch), width // (4 << branch)
        if min(rows, columns) < grid:
            raise InputError(
                f"images of {height} x {width} pixels are too small: the map of branch {branch + 1} has "
                f"{rows} x {columns} pixels, its pooling grid {grid} x {grid}"
            )
