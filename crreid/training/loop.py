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
from torch.utils.data import DataLoader

from crreid.data.pairs import PairBatch, PairDataset
from crreid.data.sampler import IdentitySampler
from crreid.errors import InputError
from crreid.files import write_atomically
from crreid.methods.method import Method
from crreid.training.checkpoint import load_checkpoint, save_checkpoint
from crreid.training.schedule import Schedule

__all__ = ["TrainingDiverged", "train"]

PROGRESS_SECONDS = 5.0
CHECK_STEPS_ON_GPU = 50  # reading a loss makes the processor wait for the GPU
COLUMNS = ("epoch", "learning_rate", "total", "pairs_per_second", "seconds")  # of the log, besides the loss terms


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

    Args:
        method: The networks and their losses.
        dataset: Training pairs.
        schedule: Epochs, batches, learning rate. With 0 epochs nothing is needed and nothing is written.
        seed: Of batches, augmentation and dropout.
        device: Where to train.
        folder: Holds `checkpoint.pt` and `epochs.csv`.
        workers: Loader processes; 0 loads in this one.
        report: Takes a line of progress.

    Returns:
        One row an epoch: epoch, learning_rate, the mean of every loss term, total, pairs_per_second, seconds.

    Raises:
        TrainingDiverged: Names the epoch, the step and the term that is not finite.
        InputError: A checkpoint cannot be written or read, a player has nothing to learn, or two loss terms have one
            name.
    """
    method.to(device)
    if schedule.precision == "bf16":
        method.to(memory_format=torch.channels_last)
    if schedule.epochs == 0:
        return pd.DataFrame(columns=COLUMNS)
    optimizers = _optimizers(method, schedule)
    loader, sampler = _batches(dataset, schedule, seed, device, workers)
    first, rows = _resume(folder / "checkpoint.pt", method, optimizers, device)
    if first:
        report(f"resumed after epoch {first} of {schedule.epochs}")
    progress = _Progress(schedule, len(sampler), report)
    for epoch in range(first, schedule.epochs):
        progress.start(epoch)
        sampler.set_epoch(epoch)
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))  # dropout
        _set_learning_rate(optimizers, schedule.learning_rate_at(epoch))
        means = _train_epoch(method, loader, optimizers, schedule, device, progress)
        rows.append(progress.row(means))
        # the log first: a training killed between the two writes its last epoch again
        write_atomically(folder / "epochs.csv", pd.DataFrame(rows).to_csv(index=False).encode())
        save_checkpoint(folder / "checkpoint.pt", _state(method, optimizers, rows))
    return pd.DataFrame(rows)


def _train_epoch(
    method: Method,
    loader: DataLoader[Any],
    optimizers: dict[str, torch.optim.SGD],
    schedule: Schedule,
    device: torch.device,
    progress: _Progress,
) -> dict[str, float]:
    """One pass over the data: the mean of every loss term."""
    method.train()
    names, history, steps = list[str](), torch.zeros(0), len(loader)
    for step, batch in enumerate(loader):
        losses = _step(method, batch.to(device), optimizers, schedule.precision)
        if not names:
            names = list(losses)
            history = torch.zeros(steps, len(names), device=device)
        history[step] = torch.stack(list(losses.values()))
        if device.type != "cuda" or step % CHECK_STEPS_ON_GPU == 0 or step == steps - 1:
            _check_finite(history[: step + 1], names, progress.epoch)
        progress.step(step, losses)
    return dict(zip(names, history.mean(0).tolist(), strict=True))


def _step(
    method: Method, batch: PairBatch, optimizers: dict[str, torch.optim.SGD], precision: str
) -> dict[str, torch.Tensor]:
    """One step of every player in turn: their loss terms, detached."""
    values: dict[str, torch.Tensor] = {}
    for player, optimizer in optimizers.items():
        with torch.autocast(batch.high.device.type, torch.bfloat16, enabled=precision == "bf16"):
            losses = method.losses(batch, player)
        for name in losses:
            if name in values or name in COLUMNS:
                raise InputError(f"the loss term {name!r} of player {player!r} has a name that the log has already")
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values |= {name: loss.detach() for name, loss in losses.items()}
    return values


def _optimizers(method: Method, schedule: Schedule) -> dict[str, torch.optim.SGD]:
    """One for each player, at rate 0 until `_set_learning_rate`."""
    optimizers = {}
    for player, groups in method.parameter_groups().items():
        if not any(group["params"] for group in groups):
            raise InputError(
                f"player {player!r} of {type(method).__name__} has nothing to learn; train it for 0 epochs"
            )
        optimizers[player] = torch.optim.SGD(
            groups, lr=0.0, momentum=schedule.momentum, nesterov=schedule.nesterov, weight_decay=schedule.weight_decay
        )
    return optimizers


def _set_learning_rate(optimizers: dict[str, torch.optim.SGD], learning_rate: float) -> None:
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * group["learning_rate_scale"]


def _batches(
    dataset: PairDataset, schedule: Schedule, seed: int, device: torch.device, workers: int
) -> tuple[DataLoader[Any], IdentitySampler]:
    """Yields the batches of the epoch that the sampler is set to."""
    sampler = IdentitySampler(
        dataset.labels.tolist(), schedule.identities_per_batch, schedule.images_per_identity, seed=seed
    )
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=PairBatch.collate,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # workers that outlive an epoch would draw from the generator of dropout in the first epoch after a start only
        persistent_workers=False,
    )
    return loader, sampler


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

    def step(self, step: int, losses: dict[str, torch.Tensor]) -> None:
        """A step is done; reports where some seconds have passed."""
        now = time.monotonic()
        if now - self._reported <= PROGRESS_SECONDS:
            return
        self._reported = now
        speed = (step + 1) * self._batch_size / (now - self._started)
        left = ((self._schedule.epochs - self.epoch) * self._steps - step - 1) * self._batch_size / speed
        terms = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
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


def _check_finite(history: torch.Tensor, names: list[str], epoch: int) -> None:
    """Raises TrainingDiverged for the first step and term of `history` (steps, terms) that is not finite."""
    bad = (~torch.isfinite(history[-CHECK_STEPS_ON_GPU:])).nonzero()
    if len(bad):
        step, term = bad[0].tolist()
        step += max(0, len(history) - CHECK_STEPS_ON_GPU)
        raise TrainingDiverged(
            f"epoch {epoch + 1}, step {step + 1}: the loss term {names[term]!r} is {history[step, term].item()}; "
            "lower the learning rate or train in fp32"
        )


def _state(method: Method, optimizers: dict[str, torch.optim.SGD], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "method": method.trained_state(),
        "optimizers": {player: optimizer.state_dict() for player, optimizer in optimizers.items()},
        "rows": rows,
    }


def _resume(
    file: Path, method: Method, optimizers: dict[str, torch.optim.SGD], device: torch.device
) -> tuple[int, list[dict[str, Any]]]:
    """Loads the checkpoint if there is one: (epochs already trained, their log)."""
    state = load_checkpoint(file, device)
    if state is None:
        return 0, []
    try:
        method.load_trained_state(state["method"])
        for player, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][player])
        rows: list[dict[str, Any]] = state["rows"]
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{file}: belongs to another training ({reason}); delete it to train from the start"
        ) from error
    if not all(math.isfinite(row["total"]) for row in rows):
        raise InputError(f"{file}: holds a training that diverged; delete it to train from the start")
    return len(rows), rows
