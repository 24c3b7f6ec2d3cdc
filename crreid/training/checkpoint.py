"""Checkpoints at the end of an epoch: written whole or not at all, read without unpickling anything but tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from crreid.errors import InputError
from crreid.files import write_atomically


def save_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings and containers of them; on an InputError the previous checkpoint is untouched."""
    write_atomically(file, lambda stream: torch.save(state, stream))


def load_checkpoint(file: Path, device: torch.device) -> dict[str, Any] | None:
    """Read what `save_checkpoint` wrote; None where there is no file. Raises InputError where it is no checkpoint."""
    if not file.exists():
        return None
    try:
        state = torch.load(file, map_location=device, weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f"holds a {type(state).__name__}")
    except Exception as error:  # torch raises many types on broken files
        reason = error if isinstance(error, TypeError) else type(error).__name__  # torch's own texts advise to trust it
        raise InputError(f"{file}: not a checkpoint of crreid ({reason}); delete it to train from the start") from error
    return state
