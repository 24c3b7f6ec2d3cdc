"""Restoration alone: a module that learns L_SR and nothing else, its images described by a network it never met.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Table III, row "solo SR".
Differs from the paper: it reports a rank-1 of 0.04 for solo SR without saying which network described the images; here
it is the teacher's, which was trained on high-resolution images (PS-HRNet's phase 1) and is what well-restored images
should suit. With an interpolation in the module's place nothing is trained: the row "bicubic".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.methods.method import Method, ParameterGroup
from crreid.methods.restoring import RestoringMethod, RestoringSettings
from crreid.models.common import Classifier


@dataclass(frozen=True, kw_only=True)
class SoloRestorationSettings(RestoringSettings):
    """Which module learns alone, and how; it must be given."""

    tag: ClassVar[str] = "SoloRestoration"
    restoration_weight: float = 1.0

    @property
    def title(self) -> str:
        """Return e.g. `VDSR-CA alone`."""
        assert self.restoration is not None
        return f"{self.restoration.title} alone"

    def build(self, identities: int, teacher: Method | None = None) -> SoloRestoration:
        """Return a fresh module before a network trained on high-resolution images."""
        if not isinstance(getattr(teacher, "network", None), Classifier):
            raise InputError(f"{self.title} needs a trained network as teacher, to describe its images")
        return SoloRestoration(self, teacher)


class SoloRestoration(RestoringMethod):
    """The module, and the frozen network that describes what it restores."""

    def __init__(self, settings: SoloRestorationSettings, teacher: Method | None) -> None:
        super().__init__(settings, teacher, guided=True)
        self.settings = settings

    def players(self) -> dict[str, list[ParameterGroup]]:
        """Return one player, the module."""
        return {"restoration": self.restoration_groups()}

    def losses(self, batch: PairBatch, player: str = "restoration") -> dict[str, Tensor]:
        """Return L_SR, Eq. 5."""
        return self.restored(batch)[1]

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return the descriptor (N, D) that the teacher's network gives the restored image."""
        assert isinstance(self.teacher, Classifier)
        return self.teacher.embed(self.given(images))
