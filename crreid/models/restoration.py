"""What every restoration module's settings offer, so that methods and tables can take any of them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from crreid.errors import InputError

__all__ = ["RestorationSettings", "check_images"]


class RestorationSettings(Protocol):
    """Frozen settings of a module that maps enlarged images (N, 3, H, W) to restored ones of the same size."""

    @property
    def title(self) -> str:
        """How tables call the module."""
        ...

    def build(self) -> nn.Module:
        """The module with fresh weights from torch's global generator."""
        ...


def check_images(name: str, images: Tensor, multiple: int = 1) -> None:
    """Raises InputError unless `images` is (N, 3, H, W) with H and W multiples of `multiple`; `name` is the model's."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"{name} expects images of shape (N, 3, height, width), not {tuple(images.shape)}")
    height, width = images.shape[2:]
    if height % multiple or width % multiple:
        raise InputError(f"{name} needs height and width in multiples of {multiple} pixels, not {height} x {width}")
