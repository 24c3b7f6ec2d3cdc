"""Learned perceptual image patch similarity (LPIPS): how different two images look to a network.

Source: Zhang et al. (CVPR 2018), version 0.1 with AlexNet, as the authors' package `lpips` computes it. The package
brings the weights of the linear layers; AlexNet's ImageNet weights are the user's to give.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from crreid.data.sources import UInt8Image
from crreid.errors import InputError
from crreid.models.weights import fill_module

__all__ = ["LEAST_SIDE", "PerceptualDistance"]

LEAST_SIDE = 31
"""Pixels of height and width below which AlexNet has no map left."""


class PerceptualDistance:
    """LPIPS of pairs of images, in float32 whatever they were made in."""

    def __init__(self, weights: Mapping[str, Tensor], *, origin: str, device: torch.device) -> None:
        """Builds the network.

        Args:
            weights: AlexNet's, by torchvision's names: `features.0.weight` and so on; a classifier is not needed.
            origin: Of the weights, for messages.
            device: Where to compute.

        Raises:
            InputError: The weights are not AlexNet's, or the package `lpips` is not installed.
        """
        try:
            lpips: Any = importlib.import_module("lpips")  # an optional extra
        except ImportError as error:
            raise InputError("LPIPS needs the package lpips; install the extra: pip install 'crreid[lpips]'") from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks torchvision for random weights in a way that is out of use
            network: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        body: nn.Module = network.get_submodule("net")
        fill_module(body, _by_slices(weights, body), origin=origin, ignore=(), complete=True)
        self._network, self._device = network.to(device).eval(), device

    @torch.inference_mode()
    def __call__(self, originals: UInt8Image, images: UInt8Image) -> list[float]:
        """The distance of each image from its original.

        Args:
            originals: (N, H, W, 3) uint8, H and W at least LEAST_SIDE.
            images: (N, H, W, 3) uint8.

        Returns:
            N numbers, at least 0; 0 for identical images.

        Raises:
            InputError: Other types, images smaller than that, or shapes that differ.
        """
        for array in (originals, images):
            if array.dtype != "uint8" or array.ndim != 4 or array.shape[3] != 3 or min(array.shape[1:3]) < LEAST_SIDE:
                expected = f"(N, H, W, 3) uint8 with H and W of at least {LEAST_SIDE}"
                raise InputError(f"images to compare are {array.shape} {array.dtype}; expected {expected}")
        if originals.shape != images.shape:
            raise InputError(f"images to compare are {originals.shape} and {images.shape}; expected one shape")
        first, second = (
            torch.tensor(array, device=self._device).permute(0, 3, 1, 2).float() / 255 for array in (originals, images)
        )
        distances: list[float] = self._network(first, second, normalize=True).flatten().tolist()
        return distances


def _by_slices(weights: Mapping[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """Names torchvision's `features.3.weight` as the package does, `slice2.3.weight`."""
    places = {name.partition(".")[2]: name for name in body.state_dict()}
    return {places.get(name.removeprefix("features."), name): tensor for name, tensor in weights.items()}
