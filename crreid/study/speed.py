"""How fast a method trains and tests on this machine: a few steps on random images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from crreid.data.pairs import PairBatch
from crreid.methods.method import Method
from crreid.runs import Run

__all__ = ["Speed", "measured_speed"]

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
        teacher = None if run.teacher is None else run.teacher.method.build(identities)
        method = run.method.build(identities, teacher).to(device)
        if schedule.precision == "bf16":
            method.to(memory_format=torch.channels_last)
        small = _random_batch(SMALL, SMALL, run.size).to(device)
        step = _training_step(method, run)
        step(small)  # the first allocates
        seconds, pairs, steps = _timed(lambda: step(small), device), SMALL * SMALL, 1
        if seconds < SLOW_SECONDS:
            batch = _random_batch(schedule.identities_per_batch, schedule.images_per_identity, run.size).to(device)
            step(batch)
            pairs, steps = len(batch.labels), STEPS
            seconds = sum(_timed(lambda: step(batch), device) for _ in range(STEPS)) / STEPS
            small = batch
        method.eval()
        embedding = _timed(lambda: _embed(method, small, run), device) / len(small.labels)
    return Speed(
        seconds_per_pair=seconds / pairs,
        seconds_per_image=embedding,
        basis=f"from {steps} measured step{'s' * (steps > 1)} of {pairs} random pairs",
    )


def _random_batch(identities: int, images: int, size: tuple[int, int]) -> PairBatch:
    """Noise in the shape of a training batch, uint8 until `to`."""
    count = identities * images
    high, low = (torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8) for _ in range(2))
    labels = torch.arange(identities).repeat_interleave(images)
    return PairBatch(
        high=high, low=low, labels=labels, cameras=torch.ones_like(labels), rates=torch.full((count,), 2.0)
    )


def _training_step(method: Method, run: Run) -> Callable[[PairBatch], None]:
    """One step of every player, as `crreid.training.loop.train` does it; a rate of zero costs the same."""
    groups = {player: [group for group in of if group["params"]] for player, of in method.parameter_groups().items()}
    optimizers = {player: torch.optim.SGD(of, lr=0.0, momentum=0.9) for player, of in groups.items() if of}
    method.train()

    def step(batch: PairBatch) -> None:
        for player, optimizer in optimizers.items():
            with torch.autocast(batch.high.device.type, torch.bfloat16, enabled=run.schedule.precision == "bf16"):
                losses = method.losses(batch, player)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return step


@torch.inference_mode()
def _embed(method: Method, batch: PairBatch, run: Run) -> None:
    with torch.autocast(batch.high.device.type, torch.bfloat16, enabled=run.schedule.precision == "bf16"):
        for _ in range(1 + run.evaluation.flip):
            method.embed(batch.low, batch.rates)


def _timed(action: Callable[[], None], device: torch.device) -> float:
    """Seconds that an action takes; work that a GPU has not finished counts."""
    started = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
