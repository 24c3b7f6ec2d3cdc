"""How fast a method trains and tests on this machine: a few steps on random images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crreid.data.pairs import PairBatch
from crreid.evaluation.cost import seconds_of
from crreid.methods.method import Method
from crreid.runs import Run
from crreid.training.step import TrainingStep

__all__ = ["Speed", "measured_speed", "random_batch", "untrained"]

STEPS = 2  # after those that warm up
SLOW_SECONDS = 1.0  # a small batch that takes longer stands for the whole one
SMALL = 2  # images of each of two identities


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured.

    Attributes:
        seconds_per_pair: Of training, without reading images.
        seconds_per_image: Of the test.
        basis: One phrase on how.
    """

    seconds_per_pair: float
    seconds_per_image: float
    basis: str


def measured_speed(run: Run, device: torch.device) -> Speed:
    """Times steps of a run's method, built anew with random weights, on random images of the run's size.

    The generator of torch is left as it was.

    Args:
        run: Gives method, teacher, size, batch and precision.
        device: Where to train.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        schedule = run.schedule
        identities = max(schedule.identities_per_batch, SMALL)
        method = untrained(run, identities).to(device)
        if schedule.precision == "bf16":
            method.to(memory_format=torch.channels_last)
        method.train()
        small = random_batch(SMALL, SMALL, run.size, device)
        step = TrainingStep(method, schedule, device, graph=False)  # at a rate of 0, which costs the same
        step(small)  # the first allocates
        seconds, pairs, steps = seconds_of(lambda: step(small), device), SMALL * SMALL, 1
        if seconds < SLOW_SECONDS:
            batch = random_batch(schedule.identities_per_batch, schedule.images_per_identity, run.size, device)
            step(batch)
            pairs, steps = len(batch.labels), STEPS
            seconds = sum(seconds_of(lambda: step(batch), device) for _ in range(STEPS)) / STEPS
            small = batch
        method.eval()
        embedding = seconds_of(lambda: _embed(method, small, run), device) / len(small.labels)
    return Speed(
        seconds_per_pair=seconds / pairs,
        seconds_per_image=embedding,
        basis=f"from {steps} measured step{'s' * (steps > 1)} of {pairs} random pairs",
    )


def untrained(run: Run, identities: int) -> Method:
    """A run's method for so many training identities, its teacher no more trained than itself."""
    teacher = None if run.teacher is None else run.teacher.method.build(identities)
    return run.method.build(identities, teacher)


def random_batch(identities: int, images: int, size: tuple[int, int], device: torch.device) -> PairBatch:
    """Noise in the shape of a training batch."""
    count = identities * images
    high, low = (torch.randn(count, 3, *size).to(device) for _ in range(2))
    labels = torch.arange(identities, device=device).repeat_interleave(images)
    rates = torch.full((count,), 2.0, device=device)
    return PairBatch(high=high, low=low, labels=labels, cameras=torch.ones_like(labels), rates=rates)


@torch.inference_mode()
def _embed(method: Method, batch: PairBatch, run: Run) -> None:
    with torch.autocast(batch.high.device.type, torch.bfloat16, enabled=run.schedule.precision == "bf16"):
        for _ in range(1 + run.evaluation.flip):
            method.embed(batch.low, batch.rates)
