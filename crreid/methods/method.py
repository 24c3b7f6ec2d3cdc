"""What every method offers to training and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from crreid.data.pairs import PairBatch

__all__ = ["GuidedMethod", "Method", "MethodSettings", "Player", "cosine_distances", "parameter_group"]


@dataclass(frozen=True, kw_only=True)
class Player:
    """Parameters that take steps of their own, against losses of their own.

    Attributes:
        groups: Parameter groups, each from `parameter_group`.
        optimizer: `sgd` as the schedule says, or `adam` at the schedule's rate times the groups' scales, without weight
            decay.
    """

    groups: list[dict[str, Any]]
    optimizer: Literal["sgd", "adam"] = "sgd"


class Method(nn.Module, ABC):
    """One system: networks as submodules, losses of a batch, a descriptor and a distance.

    Images everywhere are (N, 3, H, W) float, normalised with ImageNet's mean and deviation.
    """

    @abstractmethod
    def players(self) -> dict[str, Player]:
        """Who is optimised.

        Most methods have one player; adversarial ones have several, which take their steps in this order.
        """

    @abstractmethod
    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        """Weighted loss terms of one player for a batch, scalars; the player minimises their sum.

        Nothing here may wait for the device (`item`, a branch on a tensor, an index by a mask): on a GPU the whole step
        is recorded once and replayed.
        """

    @abstractmethod
    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Descriptors (N, D) of images whose rates (N,) are known, in evaluation mode."""

    def backbones(self) -> tuple[nn.Module, ...]:
        """Return the parts that pretrained weights go into, the same into each; none by default."""
        return ()

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Told before each epoch, 0 the first; a method that trains in phases may freeze and free parameters here."""

    def restore(self, images: Tensor) -> Tensor | None:
        """Restored images (N, 3, H, W), or None for a method that restores nothing."""
        return None

    def parts(self) -> dict[str, slice]:
        """Named parts of the descriptor that can be tested alone; none by default."""
        return {}

    def distances(self, query: Tensor, gallery: Tensor, query_rates: Tensor) -> Tensor:
        """Distances (Q, G) between descriptors (Q, D) and (G, D); by default one minus the cosine."""
        return cosine_distances(query, gallery)

    def trained_state(self) -> dict[str, Tensor]:
        """All that training changes; a frozen teacher is left out."""
        return self.state_dict()

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Undoes `trained_state`."""
        self.load_state_dict(state)


class GuidedMethod(Method):
    """A method beside a trained network `teacher` that never changes: no gradients, no moving statistics, not saved."""

    def __init__(self, teacher: nn.Module | None) -> None:
        """Freezes the teacher; None where the settings need none."""
        super().__init__()
        self.teacher = None if teacher is None else teacher.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of everything but the teacher."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def trained_state(self) -> dict[str, Tensor]:
        """Everything but the teacher."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("teacher.")}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Loads everything but the teacher, which stays."""
        teacher = {name: tensor for name, tensor in self.state_dict().items() if name.startswith("teacher.")}
        self.load_state_dict(state | teacher)


class MethodSettings(Protocol):
    """Frozen settings of a method; they name it and build it."""

    @property
    def title(self) -> str:
        """How tables call it."""
        ...

    def build(self, identities: int, teacher: Method | None = None) -> Method:
        """Networks with fresh weights from torch's global generator, for so many training identities."""
        ...

    @property
    def backbone_name(self) -> str:
        """The backbone's name in timm, by which it knows pretrained weights."""
        ...


def parameter_group(module: nn.Module, learning_rate_scale: float = 1.0) -> dict[str, Any]:
    """The trainable parameters of a module, learning at the schedule's rate times a scale."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return {"params": parameters, "learning_rate_scale": learning_rate_scale}


def cosine_distances(query: Tensor, gallery: Tensor) -> Tensor:
    """1 - cosine similarity of every pair: (Q, D), (G, D) -> (Q, G) float32 in [0, 2]."""
    query, gallery = (torch.nn.functional.normalize(features.float(), dim=1) for features in (query, gallery))
    return (query @ gallery.T).neg_().add_(1)  # in place: the matrix is large
