"""Training: one function that reads from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from crreid.data.pairs import PairDataset, PairLoader
from crreid.data.sampler import IdentitySampler
from crreid.distributed import averaged, of_first, processes
from crreid.errors import InputError
from crreid.files import write_atomically
from crreid.methods.method import UNTOUCHED, Method
from crreid.numerics import effective_precision, keep_freed_memory, one_thread
from crreid.training.checkpoint import load_checkpoint, save_checkpoint
from crreid.training.schedule import Schedule
from crreid.training.step import LOG_COLUMNS, TrainingStep

PROGRESS_SECONDS = 5.0


class TrainingDiverged(InputError):
    """A loss became infinite or no number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingLog:
    """How a training went, by epoch: epoch, learning_rate, mean of every loss term, total, pairs_per_second, seconds.

    `stretches` has an entry for each process that trained some of the epochs: what `origin` said there, and how many
    `epochs` in how many `seconds`.
    """

    epochs: pd.DataFrame
    stretches: list[dict[str, Any]]


@one_thread()
def train(
    method: Method,
    dataset: PairDataset,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
    owner: str = "",
    origin: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingLog:
    """Train a method in place, going on from the last checkpoint in `folder` where there is one.

    An epoch's batches, augmentation and dropout follow from the seed and the epoch's number alone, so a training that
    was killed and started again ends with the same weights, bit for bit on a CPU, as one that was not.

    Where several processes train together, each takes its share of every batch and draws its own dropout. The first one
    writes; all of them go on from its checkpoint, so that their machines must share `folder`.

    Args:
        method: The networks and their losses.
        dataset: Training pairs.
        schedule: Epochs, batches, learning rate. With 0 epochs nothing is needed and nothing is written.
        seed: Random seed of batches, augmentation and dropout.
        device: Where to train.
        folder: Holds `checkpoint.pt` and `epochs.csv`.
        owner: Whose training this is, a text that its checkpoint keeps; another's checkpoint is refused.
        origin: What this process is, for the log; plain values.
        report: Takes a line of text now and then, in the first process only.
        progress: Called after every step with the steps done and the steps of the whole training.

    Raises:
        TrainingDiverged: Names the epoch, the step and the term that is not finite.
        InputError: A checkpoint cannot be written or read or is another's, a player has no trainable parameters, two
            loss terms have one name, or the processes cannot share batches equally.
    """
    method.to(device)
    if effective_precision(schedule.precision, device) == "bf16":
        method.to(memory_format=torch.channels_last)
    if schedule.epochs == 0:
        return TrainingLog(epochs=pd.DataFrame(columns=LOG_COLUMNS), stretches=[])
    keep_freed_memory()
    together = processes()
    if together.rank > 0:
        report, progress = (lambda line: None), None
    sampler = IdentitySampler(
        dataset.labels.tolist(),
        schedule.identities_per_batch,
        schedule.images_per_identity,
        seed=seed,
        rank=together.rank,
        processes=together.count,
    )
    loader = PairLoader(dataset, sampler, device)
    step = TrainingStep(method, schedule, device)
    if together.count > 1:
        report(f"{together.count} processes share every batch")
    rows, before = _resume(folder / "checkpoint.pt", method, step, schedule, owner, device)
    if rows:
        report(f"resumed after epoch {len(rows)} of {schedule.epochs}")
    clock = _Clock(schedule, len(sampler), report, progress)
    stretches, here = before, {**(origin or {}), "epochs": 0, "seconds": 0.0}
    for epoch in range(len(rows), schedule.epochs):
        clock.start(epoch)
        sampler.set_epoch(epoch)
        sources = [seed, epoch, together.rank] if together.rank > 0 else [seed, epoch]
        torch.manual_seed(int(np.random.SeedSequence(sources).generate_state(1)[0]))  # for dropout
        method.start_epoch(epoch, schedule.epochs)
        step.start_epoch()
        rows.append(clock.row(_train_epoch(method, loader, step, schedule, len(sampler), clock)))
        _tell_restoration(rows[-1], report)
        here |= {"epochs": here["epochs"] + 1, "seconds": round(here["seconds"] + rows[-1]["seconds"], 2)}
        stretches = [*before, here]
        if together.rank == 0:
            # the log first: a training killed between the two writes its last epoch again
            write_atomically(folder / "epochs.csv", pd.DataFrame(rows).to_csv(index=False).encode())
            state = {"method": method.trained_state(), "optimizers": step.state(), "rows": rows}
            save_checkpoint(folder / "checkpoint.pt", state | {"owner": owner, "stretches": stretches})
    return TrainingLog(epochs=pd.DataFrame(rows), stretches=stretches)


def _train_epoch(
    method: Method, loader: PairLoader, step: TrainingStep, schedule: Schedule, steps: int, clock: _Clock
) -> dict[str, float]:
    """Pass once over the data; return the mean of every loss term and of what else is logged."""
    method.train()
    history = torch.zeros(0)
    for number, batch in enumerate(loader):
        step.set_learning_rate(schedule.learning_rate_at(clock.epoch + number / steps))
        losses = step(batch)
        if losses.device.type == "cpu":  # to look at a loss would make the CPU wait for a GPU
            losses = averaged(losses)  # so that all processes stop where one diverges
            _check_finite(losses[None], step.names, clock.epoch, number)
        if number == 0:
            history = torch.zeros(steps, len(losses), device=losses.device)
        history[number] = losses
        clock.step(number, step.names, losses)
    history = averaged(history)
    _check_finite(history, step.names, clock.epoch, 0)
    return dict(zip(step.names, history.mean(0).tolist(), strict=True))


class _Clock:
    """Times the epochs; tells now and then how far the training is, and how fast."""

    def __init__(
        self, schedule: Schedule, steps: int, report: Callable[[str], None], progress: Callable[[int, int], None] | None
    ) -> None:
        self._schedule, self._steps, self._report, self._progress = schedule, steps, report, progress
        self._batch_size = schedule.identities_per_batch * schedule.images_per_identity  # of every batch
        self._reported = time.monotonic()

    def start(self, epoch: int) -> None:
        """Start an epoch."""
        self.epoch, self._started = epoch, time.monotonic()
        self._learning_rate = self._schedule.learning_rate_at(epoch)

    def step(self, step: int, names: list[str], losses: torch.Tensor) -> None:
        """Count a step; report where some seconds have passed."""
        done, total = self.epoch * self._steps + step + 1, self._schedule.epochs * self._steps
        if self._progress is not None:
            self._progress(done, total)
        now = time.monotonic()
        if now - self._reported <= PROGRESS_SECONDS:
            return
        self._reported = now
        speed = (step + 1) * self._batch_size / (now - self._started)
        left = (total - done) * self._batch_size / speed
        terms = ", ".join(f"{name} {loss:.3f}" for name, loss in zip(names, losses.tolist(), strict=True))
        self._report(
            f"epoch {self.epoch + 1}/{self._schedule.epochs} step {step + 1}/{self._steps}: {terms}; "
            f"learning rate {self._learning_rate:.1e}, {speed:.1f} pairs/s, {left / 60:.1f} min left"
        )

    def row(self, means: dict[str, float]) -> dict[str, Any]:
        """Return the line of the log for the epoch that ends now."""
        seconds = time.monotonic() - self._started
        return {
            "epoch": self.epoch,
            "learning_rate": self._learning_rate,
            **means,
            "total": sum(mean for name, mean in means.items() if not name.endswith(UNTOUCHED)),
            "pairs_per_second": round(self._steps * self._batch_size / seconds, 2),
            "seconds": round(seconds, 2),
        }


def _tell_restoration(row: dict[str, Any], report: Callable[[str], None]) -> None:
    """Report where a restoration module ends an epoch no nearer to the aim than the input that it is given."""
    for name in [name for name in row if name + UNTOUCHED in row]:
        if row[name] >= row[name + UNTOUCHED]:
            untouched = f"{row[name + UNTOUCHED]:.4f} of the untouched input"
            report(f"epoch {row['epoch'] + 1} restores nothing: {name} {row[name]:.4f}, {untouched}")


def _check_finite(history: torch.Tensor, names: list[str], epoch: int, first: int) -> None:
    """Raise TrainingDiverged for the first loss of `history` (steps, terms), from step `first`, that is not finite."""
    bad = (~torch.isfinite(history)).nonzero()
    if len(bad):
        step, term = bad[0].tolist()
        raise TrainingDiverged(
            f"epoch {epoch + 1}, step {first + step + 1}: the loss term {names[term]!r} is "
            f"{history[step, term].item()}; lower the learning rate or train in fp32"
        )


def _resume(
    file: Path, method: Method, step: TrainingStep, schedule: Schedule, owner: str, device: torch.device
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Load the checkpoint if there is one; return the log of the epochs trained so far and the stretches."""
    if not of_first(file.exists):
        return [], []
    state = load_checkpoint(file, device)
    if state is None:
        raise InputError(f"{file}: process {processes().rank} cannot see what the first one wrote; share the folder")
    try:
        if state["owner"] != owner:
            raise ValueError(f"{state['owner']}, not {owner}")
        method.load_trained_state(state["method"])
        step.load_state(state["optimizers"])
        rows, stretches = list(state["rows"]), list(state["stretches"])
        if [row["epoch"] for row in rows] != [*range(len(rows))] or len(rows) > schedule.epochs:
            raise ValueError(f"{len(rows)} epochs of {schedule.epochs}")
        finite = all(math.isfinite(row["total"]) for row in rows)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{file}: belongs to another training ({reason}); delete it to train from the start"
        ) from error
    if not finite:
        raise InputError(f"{file}: holds a training that diverged; delete it to train from the start")
    return rows, stretches
