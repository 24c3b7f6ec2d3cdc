"""What every method offers to training and evaluation."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from crreid.data.pairs import PairBatch

ParameterGroup = dict[str, Any]
"""Parameters that learn alike, from `parameter_group`."""

BY_ADAM: dict[str, Any] = {"optimizer": "adam", "weight_decay": 0.0}
"""Options of a group that learns by Adam whatever the schedule's optimiser is; decay is the networks'."""

UNTOUCHED = "_input"
"""Ends the name of a number that `Method.losses` has logged and nobody minimises: the loss before it, had the
restoration module left its input as it is."""


class Method(nn.Module, ABC):
    """One system: networks as submodules, losses of a batch, a descriptor and a distance.

    Images everywhere are (N, 3, H, W) float, normalised with ImageNet's mean and deviation. By default a submodule
    `network` stands on timm's `backbone`, and a submodule `restoration` restores.
    """

    @abstractmethod
    def players(self) -> dict[str, list[ParameterGroup]]:
        """Return what is optimised against losses of its own, by name; adversaries step in this order."""

    @abstractmethod
    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        """Return the weighted loss terms of one player for a batch, scalars; the player minimises their sum.

        Nothing here may wait for the device (`item`, a branch on a tensor, an index by a mask): on a GPU the whole step
        is recorded once and replayed.
        """

    @abstractmethod
    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return descriptors (N, D) of images whose downsampling rates (N,) are known, in evaluation mode."""

    def backbones(self) -> tuple[nn.Module, ...]:
        """Return the networks into each of which the same pretrained weights go."""
        network = getattr(self, "network", None)
        return () if network is None else (network.backbone,)

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Prepare an epoch, 0 the first; a method that trains in phases may freeze and free parameters here."""

    def restore(self, images: Tensor) -> Tensor | None:
        """Return restored images (N, 3, H, W), or None for a method that restores nothing."""
        restoration = getattr(self, "restoration", None)
        return None if restoration is None else restoration(images).float()

    def parts(self) -> dict[str, slice]:
        """Return named parts of the descriptor that can be evaluated alone; none by default."""
        return {}

    def distances(self, query: Tensor, gallery: Tensor, query_rates: Tensor) -> Tensor:
        """Return distances (Q, G) between descriptors (Q, D) and (G, D); by default one minus the cosine."""
        return cosine_distances(query, gallery)

    def trained_state(self) -> dict[str, Tensor]:
        """Return all tensors that training changes, without a frozen teacher's."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("teacher.")}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Load a state saved by `trained_state`; a teacher stays as it is."""
        teacher = {name: tensor for name, tensor in self.state_dict().items() if name.startswith("teacher.")}
        self.load_state_dict(state | teacher)


class GuidedMethod(Method):
    """A method beside a trained network `teacher` that never changes: no gradients, no moving statistics, not saved."""

    def __init__(self, teacher: nn.Module | None) -> None:
        """Freeze the teacher; None where the settings need none."""
        super().__init__()
        self.teacher = None if teacher is None else teacher.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the teacher."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self


@dataclass(frozen=True, kw_only=True)
class MethodSettings(ABC):
    """Frozen settings of a method; they name it and build it. Without a field `network` it has no backbone."""

    @property
    @abstractmethod
    def title(self) -> str:
        """Return its name in tables."""

    @abstractmethod
    def build(self, identities: int, teacher: Method | None = None) -> Method:
        """Return networks with fresh weights from torch's global generator, for a number of training identities."""

    @property
    def backbone_name(self) -> str:
        """Return the backbone's name, by which pretrained weights are known; empty for none."""
        network = getattr(self, "network", None)
        return "" if network is None else str(network.backbone)

    @property
    def restores(self) -> bool:
        """Return whether it hands out restored images, which are then measured."""
        return getattr(self, "restoration", None) is not None

    @property
    def runs_on(self) -> str:
        """Return the networks that run, whatever the row is called, e.g. `VDSR-CA (depth 4) + resnet18`."""
        parts = (getattr(self, field, None) for field in ("restoration", "network"))
        return " + ".join(part.runs_on for part in parts if part is not None)


def parameter_group(module: nn.Module, learning_rate_scale: float = 1.0, **options: Any) -> ParameterGroup:
    """Return the trainable parameters of a module, to learn at the schedule's learning rate times a scale.

    Options are torch's, e.g. `weight_decay=0`, and `optimizer`, `sgd` or `adam`, in place of the schedule's.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return {"params": parameters, "learning_rate_scale": learning_rate_scale, **options}


@contextmanager
def drawn_alone(part: str) -> Iterator[None]:
    """Draw the weights of a part of a network from torch's seed and the part's name, whatever was drawn before.

    So rows of a table that share a part begin with the same weights in it, and the rest of them does not matter.
    """
    seed = int.from_bytes(hashlib.sha256(f"{torch.initial_seed()} {part}".encode()).digest()[:8], "big") >> 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def cosine_distances(query: Tensor, gallery: Tensor) -> Tensor:
    """Return 1 - cosine similarity of every pair: (Q, D), (G, D) -> (Q, G) float32 in [0, 2].

    Example:
        >>> cosine_distances(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
        tensor([[0., 1., 2.]])
    """
    query, gallery = (torch.nn.functional.normalize(features.float(), dim=1) for features in (query, gallery))
    return (query @ gallery.T).neg_().add_(1)  # in place: the matrix is large
