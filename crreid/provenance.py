"""Where a number comes from: commit, versions, device, time. Never a path or a user's name."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

__all__ = ["device_name", "provenance"]

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "pandas", "scikit-image", "safetensors")


def provenance(device: torch.device) -> dict[str, Any]:
    """Commit, whether the code differs from it, versions of the packages that numbers depend on, and the device.

    `dirty` looks at the package and the lock file only: results being written do not change what computes them.
    """
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--", "crreid", "uv.lock")),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": device_name(device),
        "threads": torch.get_num_threads(),
    }


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


def _git(*arguments: str) -> str:
    folder = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
