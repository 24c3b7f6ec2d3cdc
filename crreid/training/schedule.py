"""Epochs, batches and learning rate of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from crreid.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Gradient descent as PS-HRNet was trained; every field is part of a run's name.

    Attributes:
        epochs: The release trains epochs 0 to 70. 0 for a method that has nothing to learn.
        identities_per_batch: P. Release 6, paper 4.
        images_per_identity: K. Release 4, paper 6.
        optimizer: `sgd` in both sources; `adam` is what small networks from re-ID weights learn by.
        learning_rate: Peak. Both sources 8.5e-3 for HRNet; see the method's settings for that of the SR module.
        warmup_epochs: First epochs at `warmup_learning_rate`. In the release only.
        warmup_learning_rate: Constant through the warm-up, or where `ramp` is set the learning rate it starts from.
        ramp: Rise linearly to the peak during the warm-up, step by step, instead of jumping there (neither source).
        decay: `steps` multiplies by `decay_factor` at each milestone (both sources); `cosine` goes down to zero, step
            by step.
        milestones: Epochs from which the learning rate is lower.
        decay_factor: 0.1 in both sources.
        momentum: Of SGD, Nesterov's where `nesterov` is set, as in both sources.
        weight_decay: Applies to all parameters that a method does not except.
        precision: `bf16` runs the networks under autocast where the device computes in it (see `effective_precision`),
            losses stay float32; the release uses fp16 (apex O1).
    """

    tag: ClassVar[str] = "Schedule"
    epochs: int = 71
    identities_per_batch: int = 6
    images_per_identity: int = 4
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 8.5e-3
    warmup_epochs: int = 5
    warmup_learning_rate: float = 3e-4
    ramp: bool = False
    decay: Literal["steps", "cosine"] = "steps"
    milestones: tuple[int, ...] = (30, 60)
    decay_factor: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    precision: Literal["bf16", "fp32"] = "bf16"

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise InputError(f"epochs must be 0 or more, not {self.epochs}")
        for name, choices in (
            ("optimizer", ("sgd", "adam")),
            ("decay", ("steps", "cosine")),
            ("precision", ("bf16", "fp32")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} must be {' or '.join(choices)}, not {getattr(self, name)!r}")

    def learning_rate_at(self, epoch: float) -> float:
        """Return the learning rate after so many epochs, 0 <= epoch < epochs; the fraction is that of the steps."""
        if epoch < self.warmup_epochs:
            if not self.ramp:
                return self.warmup_learning_rate
            share = epoch / self.warmup_epochs
            return self.warmup_learning_rate + share * (self.learning_rate - self.warmup_learning_rate)
        if self.decay == "steps":
            return self.learning_rate * self.decay_factor ** sum(epoch >= milestone for milestone in self.milestones)
        progress = (epoch - self.warmup_epochs) / max(1, self.epochs - self.warmup_epochs)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
