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
        schedule: Epochs, batches, learning rate.
        seed: Of batches, augmentation and dropout.
        device: Where to train.
        folder: Holds `checkpoint.pt` and `epochs.csv`.
        workers: Loader processes; 0 loads in this one.
        report: Takes a line of progress.

    Returns:
        One row an epoch: epoch, learning_rate, the mean of every loss term, total, pairs_per_second, seconds.

    Raises:
        TrainingDiverged: Names the epoch, the step and the term that is not finite.
        InputError: A checkpoint cannot be written or read.
    """
    method.to(device)
    if schedule.precision == "bf16":
        method.to(memory_format=torch.channels_last)
    optimizers = {
        player: torch.optim.SGD(
            groups, lr=0.0, momentum=schedule.momentum, nesterov=schedule.nesterov, weight_decay=schedule.weight_decay
        )
        for player, groups in method.parameter_groups().items()
    }
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

    first, rows = _resume(folder / "checkpoint.pt", method, optimizers, device)
    if first:
        report(f"resumed after epoch {first} of {schedule.epochs}")
    reported = time.monotonic()
    for epoch in range(first, schedule.epochs):
        started = time.monotonic()
        method.train()
        sampler.set_epoch(epoch)
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))  # dropout
        learning_rate = schedule.learning_rate_at(epoch)
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["learning_rate_scale"]

        steps, pairs, names = len(sampler), 0, list[str]()
        history = torch.zeros(0)
        for step, batch in enumerate(loader):
            batch = batch.to(device)
            values: dict[str, torch.Tensor] = {}
            for player, optimizer in optimizers.items():
                with torch.autocast(device.type, torch.bfloat16, enabled=schedule.precision == "bf16"):
                    losses = method.losses(batch, player)
                optimizer.zero_grad(set_to_none=True)
                torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                values |= {name: loss.detach() for name, loss in losses.items()}

            if not names:
                names = list(values)
                history = torch.zeros(steps, len(names), device=device)
            history[step] = torch.stack(list(values.values()))
            pairs += len(batch.labels)
            if device.type != "cuda" or step % CHECK_STEPS_ON_GPU == 0 or step == steps - 1:
                _check_finite(history[: step + 1], names, epoch)
            if time.monotonic() - reported > PROGRESS_SECONDS:
                reported = time.monotonic()
                speed = pairs / (reported - started)
                left = ((schedule.epochs - epoch) * steps - step - 1) * len(batch.labels) / speed
                terms = ", ".join(
                    f"{name} {value:.3f}" for name, value in zip(names, history[step].tolist(), strict=True)
                )
                report(
                    f"epoch {epoch + 1}/{schedule.epochs} step {step + 1}/{steps}: {terms}; "
                    f"rate {learning_rate:.1e}, {speed:.1f} pairs/s, {left / 60:.1f} min left"
                )

        seconds = time.monotonic() - started
        means = dict(zip(names, history.mean(0).tolist(), strict=True))
        rows.append(
            {"epoch": epoch, "learning_rate": learning_rate, **means, "total": sum(means.values())}
            | {"pairs_per_second": round(pairs / seconds, 2), "seconds": round(seconds, 2)}
        )
        # the log first: a training killed between the two writes its last epoch again
        write_atomically(folder / "epochs.csv", pd.DataFrame(rows).to_csv(index=False).encode())
        save_checkpoint(folder / "checkpoint.pt", _state(method, optimizers, rows))
    return pd.DataFrame(rows)


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
