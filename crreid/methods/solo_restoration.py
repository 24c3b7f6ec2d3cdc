"""Restoration alone: a module that learns L_SR and nothing else, its images described by a network it never met.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Table III, row "solo SR".
Differs from the paper: it reports a rank-1 of 0.04 for solo SR without saying which network described the images; here
it is HRNet-ReID-H, which was trained on high-resolution images (PS-HRNet's phase 1) and is what well-restored images
should suit. With an interpolation in the module's place nothing is trained: the row "bicubic".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.losses.restoration import restoration_loss
from crreid.methods.method import GuidedMethod, Method, MethodSettings, Player, parameter_group
from crreid.methods.ps_hrnet import HRNetReIDHigh
from crreid.models.common import RestorationSettings
from crreid.models.hrnet_reid import HRNetReID
from crreid.models.vdsr import VDSRSettings


@dataclass(frozen=True, kw_only=True)
class SoloRestorationSettings(MethodSettings):
    """Which module learns alone."""

    tag: ClassVar[str] = "SoloRestoration"
    restoration: RestorationSettings = field(default_factory=VDSRSettings)

    @property
    def title(self) -> str:
        """Return e.g. `VDSR-CA alone`."""
        return f"{self.restoration.title} alone"

    def build(self, identities: int, teacher: Method | None = None) -> SoloRestoration:
        """Return a fresh module before a trained HRNet-ReID-H."""
        if not isinstance(teacher, HRNetReIDHigh):
            raise InputError(f"{self.title} needs a trained HRNet-ReID-H to describe its images")
        return SoloRestoration(self, teacher.network)


class SoloRestoration(GuidedMethod):
    """The module, and the frozen network that describes what it restores."""

    def __init__(self, settings: SoloRestorationSettings, teacher: HRNetReID) -> None:
        super().__init__(teacher)
        self.settings = settings
        self.restoration = settings.restoration.build()

    def players(self) -> dict[str, Player]:
        """Return one player, the module."""
        return {"restoration": Player(groups=[parameter_group(self.restoration)])}

    def losses(self, batch: PairBatch, player: str = "restoration") -> dict[str, Tensor]:
        """Return L_SR, Eq. 5, unweighted."""
        return {"sr": restoration_loss(self.restoration(batch.low), batch.high)}

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return HRNet-ReID-H's descriptor of the restored image: (N, 6656)."""
        assert isinstance(self.teacher, HRNetReID)
        return self.teacher.embed(self.restoration(images))
