"""What every network asks of the images that it is given."""

from __future__ import annotations

from torch import Tensor

from crreid.errors import InputError

__all__ = ["check_images"]


def check_images(name: str, images: Tensor, multiple: int = 1) -> None:
    """Raises InputError unless `images` is (N, 3, H, W) with H and W multiples of `multiple`; `name` is the model's."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(f"{name} expects images of shape (N, 3, height, width), not {tuple(images.shape)}")
    height, width = images.shape[2:]
    if height % multiple or width % multiple:
        raise InputError(f"{name} needs height and width in multiples of {multiple} pixels, not {height} x {width}")
