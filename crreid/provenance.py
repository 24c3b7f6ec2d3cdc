"""Where a number comes from: commit, versions, device, time. Never a path or a user's name."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from crreid.distributed import processes

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "pandas", "scikit-image", "safetensors")


def provenance(device: torch.device) -> dict[str, Any]:
    """Return what this process is: commit, dirty, python, packages, device, threads, processes.

    `dirty` looks at the package and the lock file only: results being written do not change what computes them. Where
    the code does not lie in a checkout of its own, or git is absent, `commit` is empty and `dirty` None. Of several
    processes that train together, device and threads are the first one's.
    """
    # an installed package may lie in the checkout of something else
    commit = _git("rev-parse", "HEAD") if _git("ls-files", "--", "crreid/provenance.py") else ""
    changes = _git("status", "--porcelain", "--", "crreid", "uv.lock") if commit else None
    return {
        "commit": commit or "",
        "dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "processes": processes().count,
    }


def time_stamp() -> str:
    """Return the time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, or of the CPU and its widest vector instructions."""
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
    """Return what git prints about the folder of this package, or None where it fails."""
    folder = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
