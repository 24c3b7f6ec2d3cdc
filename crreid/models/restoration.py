"""What every restoration module's settings offer, so that methods and tables can take any of them."""

from __future__ import annotations

from typing import Protocol

from torch import nn

__all__ = ["RestorationSettings"]


class RestorationSettings(Protocol):
    """Frozen settings of a module that maps enlarged images (N, 3, H, W) to restored ones of the same size."""

    @property
    def title(self) -> str:
        """How tables call the module."""
        ...

    def build(self) -> nn.Module:
        """The module with fresh weights from torch's global generator."""
        ...
