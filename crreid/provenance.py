"""Where a number comes from: commit, versions, device, time. Never a path or a user's name.

What a training says of itself lies beside its weights: they may be tested again at a later commit or elsewhere.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import torch

from crreid.distributed import processes
from crreid.errors import InputError
from crreid.files import write_atomically

__all__ = ["TrainingLog", "device_name", "provenance", "time_stamp"]

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "pandas", "scikit-image", "safetensors")
UNKNOWN = {"commit": "", "dirty": None, "device": "unknown", "started": "unknown"}


@dataclass(frozen=True, kw_only=True)
class TrainingLog:
    """Who trained the weights of a folder, and how it went; `training.json` there.

    Attributes:
        provenance: What `provenance` said when the training began, `started`, and `weights` (a sentence on what was
            loaded) where it did not start at random.
        epochs: The rows of `train`.
    """

    provenance: dict[str, Any]
    epochs: list[dict[str, Any]]

    def write(self, folder: Path) -> None:
        """Writes the file. Raises InputError where the disk refuses."""
        write_atomically(folder / "training.json", json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What was written, or None. Raises InputError for a damaged file."""
        file, old = folder / "training.json", folder / "epochs.json"
        if old.exists() and not file.exists():  # of a training before provenance was kept here
            return cls(provenance=UNKNOWN, epochs=json.loads(old.read_text(encoding="utf8")))
        if not file.exists():
            return None
        try:
            return cls(**json.loads(file.read_text(encoding="utf8")))
        except (TypeError, ValueError) as error:
            raise InputError(f"{file}: not the log of a training; delete its folder to train again") from error


def provenance(device: torch.device) -> dict[str, Any]:
    """Commit, whether the code differs from it, versions of the packages that numbers depend on, and the device.

    `dirty` looks at the package and the lock file only: results being written do not change what computes them. Where
    the code does not lie in a checkout of its own, or git is not there, `commit` is empty and `dirty` None. Where
    several processes train together, `processes` says how many; device and threads are those of the first one.
    """
    # an installed package may lie in the checkout of something else
    commit = _git("rev-parse", "HEAD") if _git("ls-files", "--", "crreid/provenance.py") else ""
    changes = _git("status", "--porcelain", "--", "crreid", "uv.lock") if commit else None
    together = processes().count
    return {
        "commit": commit or "",
        "dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": device_name(device),
        "threads": torch.get_num_threads(),
    } | ({"processes": together} if together > 1 else {})


def time_stamp() -> str:
    """Now, in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model} ({torch.backends.cpu.get_cpu_capability()})"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str | None:
    """What git prints about the folder of this package, or None where it fails."""
    folder = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
