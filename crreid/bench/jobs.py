"""What is measured, by which recipe, and in a process of its own.

A process keeps its peak of memory and how its C library handles memory to its end; so each recipe gets a fresh one, and
recipes take turns, so that what else the machine does meets them all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch

from crreid.bench.sizes import BenchSize, SizeName, bench_size
from crreid.errors import InputError

__all__ = ["Job", "Measurement", "Recipe", "Section", "jobs_of", "measured"]

Section = Literal["arithmetic", "step", "epoch", "embedding", "query", "ranking", "data", "resize", "models"]

Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to do the same.

    Attributes:
        name: In tables.
        precision: Of the networks: `fp32`, or `bf16` under autocast.
        plain: The code of `crreid.bench.plain`, else that of the package.
        channels_last: Layout of weights and images.
        graph: Record a step as a CUDA graph, where there is one to record.
    """

    name: str
    precision: Precision = "fp32"
    plain: bool = False
    channels_last: bool = False
    graph: bool = True


PLAIN = Recipe(name="plain fp32", plain=True)
PLAIN_AUTOCAST = Recipe(name="plain autocast", plain=True, precision="bf16")
FAST = Recipe(name="fast", precision="bf16", channels_last=True)
FAST_EAGER = Recipe(name="fast, no graph", precision="bf16", channels_last=True, graph=False)
LAYOUTS = tuple(
    Recipe(name=f"{precision} {'channels-last' if last else 'NCHW'}", precision=precision, channels_last=last)
    for precision in get_args(Precision)[::-1]
    for last in (False, True)
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process measures.

    Attributes:
        section: What.
        recipe: How.
        size: On which networks and batches.
        device: `cpu` or `cuda`.
        identities_per_batch: None for the size's.
        workers: Loader processes of the plain recipe.
        folder: Where `write_images` put images.
        model: One of the size's, for the section `models`.
    """

    section: Section
    recipe: Recipe
    size: SizeName
    device: str
    identities_per_batch: int | None = None
    workers: int = 0
    folder: str = ""
    model: str = ""

    @property
    def bench_size(self) -> BenchSize:
        """The size as measured on the device."""
        return bench_size(self.size, torch.device(self.device), self.identities_per_batch)

    def to_json(self) -> str:
        """One line for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Undoes `to_json`."""
        values = json.loads(text)
        return cls(**values | {"recipe": Recipe(**values["recipe"])})


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number, or a few that belong together; what was not measured is None.

    Attributes:
        case: What exactly, where a section measures several things.
        unit: Of which `per_second` counts.
        per_second: Speed.
        milliseconds: Of one step, one query and so on.
        peak_bytes: On a processor the most memory that the process ever had, Python and all libraries included; on a
            GPU the most that PyTorch's allocator handed out.
        device: On which it ran, as records name it.
        threads: Of PyTorch.
        details: Further numbers by name.
    """

    case: str
    unit: str = ""
    per_second: float | None = None
    milliseconds: float | None = None
    peak_bytes: int | None = None
    device: str = ""
    threads: int = 0
    details: dict[str, float] = field(default_factory=dict)


def jobs_of(section: Section, device: str, **common: Any) -> list[Job]:
    """The jobs of a section, the one that ratios refer to first; of several models, model by model."""
    of_training = (PLAIN, PLAIN_AUTOCAST, FAST)
    recipes: dict[Section, tuple[Recipe, ...]] = {
        "arithmetic": (Recipe(name=""),),
        "step": (*of_training, FAST_EAGER) if device == "cuda" else of_training,
        "epoch": of_training,
        "embedding": of_training,
        "query": of_training,
        "ranking": (Recipe(name="plain", plain=True), Recipe(name="fast")),
        "data": (Recipe(name="plain", plain=True), Recipe(name="resident")),
        "resize": (Recipe(name=""),),
        "models": LAYOUTS,
    }
    size = bench_size(common["size"], torch.device(device))
    models = list(size.models) if section == "models" else [""]
    return [
        Job(section=section, recipe=recipe, device=device, model=model, **common)
        for model in models
        for recipe in recipes[section]
    ]


def measured(job: Job) -> list[Measurement]:
    """Runs a job in a process of its own.

    Raises:
        InputError: It failed; names the recipe and the last line of what the process said.
    """
    command = [sys.executable, "-m", "crreid.bench.worker", job.to_json()]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        what = " ".join(filter(None, (job.section, job.model, "by", job.recipe.name)))
        raise InputError(f"the benchmark of {what} failed: {lines[-1]}")
    return [Measurement(**values) for values in json.loads(done.stdout.splitlines()[-1])]
