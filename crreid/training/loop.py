"""Training: one function that reads from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from crreid.data.batches import PairBatches, pair_batches
from crreid.data.pairs import PairDataset
from crreid.data.sampler import IdentitySampler, SharedSampler
from crreid.distributed import averaged, of_first, processes
from crreid.errors import InputError
from crreid.files import write_atomically
from crreid.methods.method import Method
from crreid.numerics import keep_freed_memory
from crreid.training.checkpoint import load_checkpoint, save_checkpoint
from crreid.training.schedule import Schedule
from crreid.training.step import LOG_COLUMNS, TrainingStep

__all__ = ["TrainingDiverged", "train"]

PROGRESS_SECONDS = 5.0


class TrainingDiverged(InputError):
    """A loss became infinite or no number."""


def train(
    method: Method,
    dataset: PairDataset,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    workers: int = 0,
    report: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Trains a method in place, going on from the last checkpoint in `folder` where there is one.

    An epoch's batches, augmentation and dropout follow from the seed and the epoch's number alone, so a training that
    was killed and started again ends with the same weights, bit for bit on a CPU, as one that was not.

    Where several processes train together, each takes its share of every batch and draws its own dropout. The first one
    writes; all of them go on from its checkpoint, so that their machines must share `folder`.

    Args:
        method: The networks and their losses.
        dataset: Training pairs.
        schedule: Epochs, batches, learning rate. With 0 epochs nothing is needed and nothing is written.
        seed: Of batches, augmentation and dropout.
        device: Where to train.
        folder: Holds `checkpoint.pt` and `epochs.csv`.
        workers: Loader processes; 0 loads in this one.
        report: Takes a line of progress, from the first process only.

    Returns:
        One row an epoch: epoch, learning_rate, the mean of every loss term, total, pairs_per_second, seconds.

    Raises:
        TrainingDiverged: Names the epoch, the step and the term that is not finite.
        InputError: A checkpoint cannot be written or read, a player has nothing to learn, two loss terms have one name,
            or the processes cannot share batches equally.
    """
    method.to(device)
    if schedule.precision == "bf16":
        method.to(memory_format=torch.channels_last)
    if schedule.epochs == 0:
        return pd.DataFrame(columns=LOG_COLUMNS)
    keep_freed_memory()
    together = processes()
    if together.rank > 0:
        report = _say_nothing
    sampler = IdentitySampler(
        dataset.labels.tolist(), schedule.identities_per_batch, schedule.images_per_identity, seed=seed
    )
    share = SharedSampler(sampler, rank=together.rank, count=together.count)
    batches = pair_batches(dataset, share, device, workers=workers)
    step = TrainingStep(method, schedule, device)
    if together.count > 1:
        report(f"{together.count} processes share every batch")
    first, rows = _resume(folder / "checkpoint.pt", method, step, device)
    if first:
        report(f"resumed after epoch {first} of {schedule.epochs}")
    progress = _Progress(schedule, len(sampler), report)
    for epoch in range(first, schedule.epochs):
        progress.start(epoch)
        sampler.set_epoch(epoch)
        torch.manual_seed(_dropout_seed(seed, epoch, together.rank))
        method.start_epoch(epoch, schedule.epochs)
        step.start_epoch()
        step.set_learning_rate(schedule.learning_rate_at(epoch))
        means = _train_epoch(method, batches, step, len(sampler), device, progress)
        rows.append(progress.row(means))
        if together.rank == 0:
            _save(folder, method, step, rows)
    return pd.DataFrame(rows)


def _train_epoch(
    method: Method, batches: PairBatches, step: TrainingStep, steps: int, device: torch.device, progress: _Progress
) -> dict[str, float]:
    """One pass over the data: the mean of every loss term."""
    method.train()
    history = torch.zeros(0)
    for number, batch in enumerate(batches):
        losses = step(batch)
        if device.type == "cpu":
            losses = averaged(losses)  # so that all processes stop where one diverges
        if number == 0:
            history = torch.zeros(steps, len(losses), device=device)
        history[number] = losses
        # to look at a loss makes the processor wait for the GPU
        if device.type == "cpu":
            _check_finite(history[number : number + 1], step.names, progress.epoch, number)
        progress.step(number, step.names, losses)
    history = averaged(history)
    _check_finite(history, step.names, progress.epoch, 0)
    return dict(zip(step.names, history.mean(0).tolist(), strict=True))


class _Progress:
    """Tells now and then how far the training is, and how fast; keeps the clock of an epoch."""

    def __init__(self, schedule: Schedule, steps: int, report: Callable[[str], None]) -> None:
        self._schedule, self._steps, self._report = schedule, steps, report
        self._batch_size = schedule.identities_per_batch * schedule.images_per_identity  # of every batch
        self._reported = time.monotonic()

    def start(self, epoch: int) -> None:
        """An epoch starts."""
        self.epoch, self._started = epoch, time.monotonic()
        self._learning_rate = self._schedule.learning_rate_at(epoch)

    def step(self, step: int, names: list[str], losses: torch.Tensor) -> None:
        """A step is done; reports where some seconds have passed."""
        now = time.monotonic()
        if now - self._reported <= PROGRESS_SECONDS:
            return
        self._reported = now
        speed = (step + 1) * self._batch_size / (now - self._started)
        left = ((self._schedule.epochs - self.epoch) * self._steps - step - 1) * self._batch_size / speed
        terms = ", ".join(f"{name} {loss:.3f}" for name, loss in zip(names, losses.tolist(), strict=True))
        self._report(
            f"epoch {self.epoch + 1}/{self._schedule.epochs} step {step + 1}/{self._steps}: {terms}; "
            f"rate {self._learning_rate:.1e}, {speed:.1f} pairs/s, {left / 60:.1f} min left"
        )

    def row(self, means: dict[str, float]) -> dict[str, Any]:
        """The epoch that ends now, for the log."""
        seconds = time.monotonic() - self._started
        return {
            "epoch": self.epoch,
            "learning_rate": self._learning_rate,
            **means,
            "total": sum(means.values()),
            "pairs_per_second": round(self._steps * self._batch_size / seconds, 2),
            "seconds": round(seconds, 2),
        }


def _check_finite(history: torch.Tensor, names: list[str], epoch: int, first: int) -> None:
    """Raises TrainingDiverged for the first loss of `history` (steps, terms), from step `first`, that is not finite."""
    bad = (~torch.isfinite(history)).nonzero()
    if len(bad):
        step, term = bad[0].tolist()
        raise TrainingDiverged(
            f"epoch {epoch + 1}, step {first + step + 1}: the loss term {names[term]!r} is "
            f"{history[step, term].item()}; lower the learning rate or train in fp32"
        )


def _say_nothing(line: str) -> None:
    """Reports in place of the first process."""


def _dropout_seed(seed: int, epoch: int, rank: int) -> int:
    sources = [seed, epoch] if rank == 0 else [seed, epoch, rank]
    return int(np.random.SeedSequence(sources).generate_state(1)[0])


def _save(folder: Path, method: Method, step: TrainingStep, rows: list[dict[str, Any]]) -> None:
    """Writes log and checkpoint, the log first: a training killed between the two writes its last epoch again."""
    write_atomically(folder / "epochs.csv", pd.DataFrame(rows).to_csv(index=False).encode())
    state = {"method": method.trained_state(), "optimizers": step.state(), "rows": rows}
    save_checkpoint(folder / "checkpoint.pt", state)


def _resume(file: Path, method: Method, step: TrainingStep, device: torch.device) -> tuple[int, list[dict[str, Any]]]:
    """Loads the checkpoint if there is one: (epochs already trained, their log)."""
    if not of_first(file.exists):
        return 0, []
    state = load_checkpoint(file, device)
    if state is None:
        raise InputError(f"{file}: process {processes().rank} cannot see what the first one wrote; share the folder")
    try:
        method.load_trained_state(state["method"])
        step.load_state(state["optimizers"])
        rows: list[dict[str, Any]] = state["rows"]
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{file}: belongs to another training ({reason}); delete it to train from the start"
        ) from error
    if not all(math.isfinite(row["total"]) for row in rows):
        raise InputError(f"{file}: holds a training that diverged; delete it to train from the start")
    return len(rows), rows
