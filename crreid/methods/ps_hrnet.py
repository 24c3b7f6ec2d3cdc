"""PS-HRNet: restore, describe at four resolutions, and follow a twin that saw the high-resolution image.

Source: Zhang et al., "Deep High-Resolution Representation Learning for Cross-Resolution Person Re-identification",
arXiv 2105.11722.

Phase 1 trains HRNet-ReID-H on high-resolution images with L_ID (Eq. 10): `HRNetReIDHigh`. Phase 2 trains VDSR-CA and
HRNet-ReID-L on low-resolution images with L_ID + lambda_SR L_SR + lambda_PS L_PS (Eq. 12), HRNet-ReID-H frozen:
`PSHRNet`. Rows of Table II: `restoration=None` is ID, `pseudo_siamese_weight=0` is SR+ID, the defaults are SR+ID+PS.

Where the paper's text and the authors' released code differ, the default is named at each setting. Two sentences of the
text cannot be meant and have no setting: that HRNet-ReID-H trains on L_ID in phase 2 (only L has an optimiser in the
release, and Fig. 2 shows H as the guide), and that the phases alternate (Algorithm 1 and the release run one after the
other). Losses are means where the equations print sums: with sums the published weights would be meaningless.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.losses.cross_entropy import label_smoothing_cross_entropy
from crreid.losses.pseudo_siamese import MEMBERS, PAPER_MEMBERS, pseudo_siamese_loss
from crreid.losses.triplet import sequence_triplet
from crreid.methods.method import Method, MethodSettings, ParameterGroup, drawn_alone, parameter_group
from crreid.methods.restoring import RestoringMethod, RestoringSettings
from crreid.models.hrnet_reid import HRNetReID, HRNetReIDOutput, HRNetReIDSettings
from crreid.models.vdsr import VDSRSettings


@dataclass(frozen=True, kw_only=True)
class IdentityLoss:
    """L_ID, Eq. 10: cross entropy with label smoothing (Eq. 8, 9) plus batch-hard triplets on Seq1 to Seq5 (Eq. 7)."""

    tag: ClassVar[str] = "IdentityLoss"
    cross_entropy_weight: float = 1.15  # lambda_CE in both sources (the release of phase 1 alone uses 1)
    triplet_weight: float = 0.2  # lambda_BH, on the sum over the sequences
    margin: float = 0.3  # m in Eq. 7: release 0.3, paper 0.1
    smoothing: float = 0.1  # epsilon in Eq. 9

    def terms(self, output: HRNetReIDOutput, labels: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms `ce` and `triplet`, scalars, for the output of N images and their labels (N,)."""
        cross_entropy = label_smoothing_cross_entropy(output.logits, labels, self.smoothing)
        triplet = sequence_triplet(output.sequences, labels, self.margin)
        return {"ce": self.cross_entropy_weight * cross_entropy, "triplet": self.triplet_weight * triplet}


@dataclass(frozen=True, kw_only=True)
class HRNetReIDHighSettings(MethodSettings):
    """Phase 1: HRNet-ReID-H, trained on high-resolution images. Evaluated as it is, it is the row "teacher alone"."""

    tag: ClassVar[str] = "HRNetReIDHigh"
    network: HRNetReIDSettings = field(default_factory=HRNetReIDSettings)
    identity: IdentityLoss = field(default_factory=IdentityLoss)

    @property
    def title(self) -> str:
        """Return the name of the row."""
        return "HRNet-ReID-H alone"

    def build(self, identities: int, teacher: Method | None = None) -> HRNetReIDHigh:
        """Return a fresh network; `teacher` is not used."""
        return HRNetReIDHigh(self, identities)


class HRNetReIDHigh(Method):
    """HRNet-ReID on high-resolution images."""

    def __init__(self, settings: HRNetReIDHighSettings, identities: int) -> None:
        super().__init__()
        self.settings = settings
        with drawn_alone("network"):
            self.network = HRNetReID(settings.network, identities)

    def players(self) -> dict[str, list[ParameterGroup]]:
        """Return one player with one group."""
        return {"network": [parameter_group(self.network)]}

    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        """Return the terms of L_ID on the high-resolution images."""
        return self.settings.identity.terms(self.network(batch.high), batch.labels)

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return Seq5 and l_f: (N, 6656)."""
        return self.network.embed(images)


@dataclass(frozen=True, kw_only=True)
class PSHRNetSettings(RestoringSettings):
    """Phase 2: VDSR-CA and HRNet-ReID-L on low-resolution images, guided by a frozen HRNet-ReID-H.

    Attributes:
        network: Architecture of HRNet-ReID-L; the teacher's must be the same.
        restoration: VDSR-CA; None feeds the upsampled low-resolution image to the network (row ID).
        identity: L_ID, on HRNet-ReID-L only.
        pseudo_siamese_weight: lambda_PS; 0 needs no teacher.
        members: C in Eq. 11. Paper's best row: Seq1, Seq4, Seq5, logits; the release: all six.
    """

    tag: ClassVar[str] = "PSHRNet"
    network: HRNetReIDSettings = field(default_factory=HRNetReIDSettings)
    restoration: VDSRSettings | None = field(default_factory=VDSRSettings)
    identity: IdentityLoss = field(default_factory=IdentityLoss)
    pseudo_siamese_weight: float = 0.5
    members: tuple[str, ...] = PAPER_MEMBERS

    def __post_init__(self) -> None:
        if not self.members or len(set(self.members)) < len(self.members) or not set(self.members) <= set(MEMBERS):
            raise InputError(f"members must be one or more of {', '.join(MEMBERS)}, each once, not {self.members!r}")

    @property
    def title(self) -> str:
        """Return the row's name in Table II."""
        return "+".join(["SR"] * (self.restoration is not None) + ["ID"] + ["PS"] * self.needs_teacher)

    @property
    def needs_teacher(self) -> bool:
        """Tell whether a trained HRNet-ReID-H is part of the run."""
        return self.pseudo_siamese_weight > 0

    def build(self, identities: int, teacher: Method | None = None) -> PSHRNet:
        """Return fresh student networks, where L_PS has a weight beside a trained teacher."""
        return PSHRNet(self, identities, teacher)


class PSHRNet(RestoringMethod):
    """VDSR-CA, HRNet-ReID-L and the frozen twin.

    Example:
        >>> small = HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=(("width", 8), ("blocks", 1)))
        >>> teacher = HRNetReIDHighSettings(network=small).build(identities=2)
        >>> settings = PSHRNetSettings(network=small, restoration=VDSRSettings(depth=3, width=8))
        >>> method, images, labels = settings.build(2, teacher), torch.randn(4, 3, 64, 32), torch.tensor([0, 0, 1, 1])
        >>> sorted(method.losses(PairBatch(high=images, low=images, labels=labels, rates=torch.ones(4))))
        ['ce', 'ps', 'sr', 'sr_input', 'triplet']
        >>> method.eval().embed(images, torch.ones(4)).shape
        torch.Size([4, 6656])
    """

    def __init__(self, settings: PSHRNetSettings, identities: int, teacher: Method | None) -> None:
        super().__init__(settings, teacher, guided=settings.needs_teacher)
        if settings.needs_teacher and not isinstance(self.teacher, HRNetReID):
            raise InputError(f"PS-HRNet's row {settings.title} needs a trained HRNet-ReID-H as teacher")
        self.settings = settings
        with drawn_alone("network"):
            self.network = HRNetReID(settings.network, identities)

    def players(self) -> dict[str, list[ParameterGroup]]:
        """Return one player: the network, and the restoration module at its own learning rate."""
        return {"network": [parameter_group(self.network), *self.restoration_groups()]}

    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        """Return the terms of Eq. 12: `ce`, `triplet`, and as the settings say `sr` and `ps`."""
        settings = self.settings
        images, terms = self.restored(batch)
        student: HRNetReIDOutput = self.network(images)
        terms |= settings.identity.terms(student, batch.labels)
        if self.teacher is not None:
            with torch.no_grad():
                teacher: HRNetReIDOutput = self.teacher(batch.high)
            places = [MEMBERS.index(member) for member in settings.members]
            members = [[(*each.sequences, each.logits)[place] for place in places] for each in (student, teacher)]
            terms["ps"] = settings.pseudo_siamese_weight * pseudo_siamese_loss(*members)
        return terms

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return Seq5 and l_f of the restored image, whatever its rate: (N, 6656). Gallery images pass VDSR-CA too."""
        return self.network.embed(self.given(images))
