"""What the methods share that put a restoration module before their network: how it starts, learns and is watched.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 5 and 12: the module learns lambda_SR L_SR, and what the losses
of the network behind it say. Both sources train it by the network's own SGD. Measured (Table III of the
built-in study): so it stays at the identity, since the gradient of a mean over pixels is tiny; by Adam it restores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from crreid.data.pairs import PairBatch
from crreid.losses.restoration import restoration_loss
from crreid.methods.method import (
    BY_ADAM,
    UNTOUCHED,
    GuidedMethod,
    Method,
    MethodSettings,
    ParameterGroup,
    drawn_alone,
    parameter_group,
)
from crreid.models.common import RestorationSettings


@dataclass(frozen=True, kw_only=True)
class RestoringSettings(MethodSettings):
    """How a restoration module learns.

    Attributes:
        restoration: The module; None feeds the upsampled low-resolution image to the network.
        restoration_weight: lambda_SR.
        restoration_learning_rate_scale: Its learning rate in multiples of the schedule's. PS-HRNet's release ends up
            with 1 (its loop writes one learning rate to all groups), the paper says 0.1.
        restoration_optimizer: `sgd` in both sources, as the schedule says; `adam` without weight decay.
        identity_gradient: Whether the losses of the network behind it move the module, too, as in both sources; else
            L_SR alone does.
    """

    restoration: RestorationSettings | None = None
    restoration_weight: float = 0.5
    restoration_learning_rate_scale: float = 1.0
    restoration_optimizer: Literal["sgd", "adam"] = "sgd"
    identity_gradient: bool = True


class RestoringMethod(GuidedMethod):
    """A restoration module, in `restoration`, before a network of the subclass; beside it perhaps a frozen guide."""

    restoration: nn.Module | None
    learns_to_restore: bool

    def __init__(self, settings: RestoringSettings, teacher: Method | None, *, guided: bool) -> None:
        """Build the module, with the weights that it learnt alone where the teacher is that training.

        `guided` says whether the teacher's network stays beside this one's, as `teacher`.
        """
        super().__init__(_network(teacher) if guided and teacher is not None else None)
        self._restores_by = settings
        with drawn_alone("restoration"):
            self.restoration = None if settings.restoration is None else settings.restoration.build()
        learnt_alone = getattr(teacher, "restoration", None)
        if self.restoration is not None and learnt_alone is not None:
            self.restoration.load_state_dict(learnt_alone.state_dict())
        self.learns_to_restore = self.restoration is not None and any(True for _ in self.restoration.parameters())

    def restoration_groups(self) -> list[ParameterGroup]:
        """Return the module's parameters as one group, or none where it has nothing to learn."""
        settings = self._restores_by
        if self.restoration is None or not self.learns_to_restore:
            return []
        options = BY_ADAM if settings.restoration_optimizer == "adam" else {}
        return [parameter_group(self.restoration, settings.restoration_learning_rate_scale, **options)]

    def restored(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what the network is given of a batch, (N, 3, H, W), and the terms `sr` and, to watch, `sr_input`."""
        if self.restoration is None:
            return batch.low, {}
        images, weight = self.restoration(batch.low), self._restores_by.restoration_weight
        if not self.learns_to_restore:
            return images, {}
        with torch.no_grad():
            untouched = restoration_loss(batch.low, batch.high)
        terms = {"sr": weight * restoration_loss(images, batch.high), f"sr{UNTOUCHED}": weight * untouched}
        return images if self._restores_by.identity_gradient else images.detach(), terms

    def given(self, images: Tensor) -> Tensor:
        """Return what the network is given of images (N, 3, H, W), whatever their rate; the gallery is restored too."""
        return images if self.restoration is None else self.restoration(images)


def _network(teacher: Method) -> nn.Module:
    """Return the network that a teacher trained, or, where it trained a module alone, the one that it has beside."""
    network = getattr(teacher, "network", None) or getattr(teacher, "teacher", None)
    assert isinstance(network, nn.Module)
    return network
