"""What whole methods cost: to train, to embed an image, and beside the plain recipe."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from crreid.data.pairs import PairBatch
from crreid.data.table import ImageTable
from crreid.evaluation.cost import fastest_seconds, multiply_adds, peak_bytes
from crreid.memory import keep_freed_memory
from crreid.methods.method import Method
from crreid.methods.ps_hrnet import PSHRNetSettings
from crreid.provenance import device_name
from crreid.records import Record
from crreid.runs import Run
from crreid.study.speed import random_batch, untrained
from crreid.study.training_speed import MARKET_1501_IDENTITIES, PAPER_PAIRS, training_speeds
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

__all__ = [
    "CountedCost",
    "MeasuredCost",
    "counted_cost",
    "measured_cost",
    "method_costs",
    "shown_counts",
    "shown_method_costs",
]

RATE = 2.0  # what the methods are told of an image
SMALL = 2  # images of each of two identities
SLOW_SECONDS = 0.25  # where a query takes longer, they stand for a whole batch
QUERIES, BATCHES = 5, 2  # timed
IMAGES = 16  # embedded at a time on a processor
IMAGES_ON_GPU = 64  # as the test does


@dataclass(frozen=True, kw_only=True)
class CountedCost:
    """What is the same on every machine.

    Attributes:
        parameters_embedding: Numbers in the parameters that a descriptor depends on.
        parameters_training: Those in all networks that take part in training, a frozen teacher among them.
        multiply_adds: Of one image, as `crreid.evaluation.cost.multiply_adds` counts them; the test embeds its mirror
            image too.
        restoration_multiply_adds: The part of them in PS-HRNet's restoration module; 0 for other methods.
    """

    parameters_embedding: int
    parameters_training: int
    multiply_adds: int
    restoration_multiply_adds: int


@dataclass(frozen=True, kw_only=True)
class MeasuredCost:
    """What depends on the machine, at the precision of the run.

    Attributes:
        images_per_second: Embedded as the test does, with their mirror images where it has them, on noise; the fastest
            pass.
        query_milliseconds: The same for one image at a time.
        step_peak_bytes: The most memory that the first training step needs at once besides weights and batch:
            activations, gradients, and momenta; see `crreid.evaluation.cost.peak_bytes`.
        step_pairs: In the batch of that step.
    """

    images_per_second: float
    query_milliseconds: float
    step_peak_bytes: int
    step_pairs: int


def method_costs(
    runs: Mapping[str, Sequence[Run]], records: Mapping[str, Sequence[Record]], train: ImageTable, device: torch.device
) -> pd.DataFrame:
    """All costs of every row, of its first seed's run.

    Args:
        runs: Of every row, one a seed.
        records: The same.
        train: The training images, which say how many pairs an epoch has.
        device: Where to measure.

    Returns:
        Columns row, rank1 (per cent, mean of the seeds), the fields of `CountedCost`, `TrainingSpeed` and
        `MeasuredCost`, paper_minutes (for PAPER_PAIRS at the speed of training), measured_on (the device's name).
    """
    identities = int(train.rows["identity"].nunique())
    speeds = training_speeds(runs, records, train, device)
    lines = []
    for row, of_row in runs.items():
        line: dict[str, object] = {
            "row": row,
            "rank1": statistics.fmean(record.score("rank1") for record in records[row]),
        }
        line |= asdict(counted_cost(of_row[0], identities)) | asdict(speeds[row])
        line |= {"paper_minutes": PAPER_PAIRS / speeds[row].pairs_per_second / 60}
        lines.append(line | asdict(measured_cost(of_row[0], identities, device)) | {"measured_on": device_name(device)})
    return pd.DataFrame(lines)


def counted_cost(run: Run, identities: int) -> CountedCost:
    """Counts parameters and multiply-adds of a run's method on the device `meta`, where nothing is computed.

    Args:
        run: Gives method, teacher and size.
        identities: In training: they are the classifiers' outputs.
    """
    with torch.device("meta"):
        method = untrained(run, identities).eval()
        images, rates = torch.empty(1, 3, *run.size), torch.full((1,), RATE)
        count = multiply_adds(_Embedding(method, rates, flip=False), images)
        restoration = method.restoration if isinstance(run.method, PSHRNetSettings) else None
        share = multiply_adds(restoration, images) if isinstance(restoration, nn.Module) else 0
        descriptors = method.requires_grad_(True).embed(images, rates)
    return CountedCost(
        parameters_embedding=sum(tensor.numel() for tensor in _leaves(descriptors)),
        parameters_training=sum(tensor.numel() for tensor in method.parameters()),
        multiply_adds=count,
        restoration_multiply_adds=share,
    )


def measured_cost(run: Run, identities: int, device: torch.device) -> MeasuredCost:
    """Measures a run's method, built anew with random weights, on noise; torch's generator is left as it was.

    Of a network that is slow here, four images stand for a batch.

    Args:
        run: Gives method, teacher, size, batch, precision, and whether the test looks at mirror images.
        identities: In training.
        device: Where to measure.
    """
    keep_freed_memory()  # as in training; else a first row would wait for pages that the others find
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method, schedule = untrained(run, identities).to(device), run.schedule
        layout = torch.channels_last if schedule.precision == "bf16" else torch.contiguous_format
        method.to(memory_format=layout)
        images = torch.randn(IMAGES_ON_GPU if device.type == "cuda" else IMAGES, 3, *run.size).to(device)
        images = images.contiguous(memory_format=layout)
        query = _embedding_seconds(method, run, images[:1], QUERIES, device)
        shape = schedule.identities_per_batch, schedule.images_per_identity
        if query > SLOW_SECONDS:
            images, shape = images[: SMALL * SMALL], (SMALL, SMALL)
        seconds = _embedding_seconds(method, run, images, BATCHES, device)
        batch = random_batch(*shape, run.size, device)
        peak = peak_bytes(_first_step(method, schedule, batch, device), batch.high)
    return MeasuredCost(
        images_per_second=len(images) / seconds,
        query_milliseconds=1000 * query,
        step_peak_bytes=peak,
        step_pairs=len(batch.labels),
    )


def shown_counts(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Parameters, multiply-adds and a module's part of them, by row, in units that a reader sees; nothing is computed.

    Args:
        runs: By row. Their networks get as many classes as Market-1501 has training identities.
    """
    costs = {row: counted_cost(run, MARKET_1501_IDENTITIES) for row, run in runs.items()}
    lines = [
        {
            "row": row,
            "parameters to embed (10^6)": f"{cost.parameters_embedding / 1e6:.2f}",
            "in training (10^6)": f"{cost.parameters_training / 1e6:.2f}",
            "multiply-adds (10^9)": f"{cost.multiply_adds / 1e9:.2f}",
            "of these restoration": f"{100 * cost.restoration_multiply_adds / cost.multiply_adds:.0f} %",
        }
        for row, cost in costs.items()
    ]
    return pd.DataFrame(lines)


def shown_method_costs(costs: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """The costs in units that a reader sees: millions, 10^9, MiB, minutes.

    Args:
        costs: What `method_costs` returned.
        plain: What `plain_recipe` returned; its first line stands beside PS-HRNet.
    """
    columns = {
        "rank-1": (costs["rank1"], "{:.1f}"),
        "parameters to embed (10^6)": (costs["parameters_embedding"] / 1e6, "{:.2f}"),
        "in training (10^6)": (costs["parameters_training"] / 1e6, "{:.2f}"),
        "multiply-adds (10^9)": (costs["multiply_adds"] / 1e9, "{:.3f}"),
        "training pairs/s": (costs["pairs_per_second"], "{:,.1f}"),
        "minutes for paper's epochs": (costs["paper_minutes"], "{:,.0f}"),
        "images/s": (costs["images_per_second"], "{:,.1f}"),
        "one query (ms)": (costs["query_milliseconds"], "{:.1f}"),
        "memory of a step (MiB)": (costs["step_peak_bytes"] / 2**20, "{:,.0f}"),
    }
    shown = pd.DataFrame({"row": costs["row"]} | {name: of.map(form.format) for name, (of, form) in columns.items()})
    beside = f"{plain['pairs_per_second'].iloc[0]:,.1f}" if len(plain) else "not measured"
    shown.insert(6, "plain recipe pairs/s", ["-" if row != "PS-HRNet" else beside for row in costs["row"]])
    shown["speed of training"] = costs["speed_basis"] + ", " + costs["trained_on"]
    return shown


class _Embedding(nn.Module):
    """A method's descriptors as a module's output."""

    def __init__(self, method: Method, rates: Tensor, *, flip: bool) -> None:
        super().__init__()
        self.method, self._rates, self._flip = method, rates, flip

    def forward(self, images: Tensor) -> Tensor:
        features = self.method.embed(images, self._rates).float()
        return features + self.method.embed(images.flip(3), self._rates).float() if self._flip else features


class _FirstStep(nn.Module):
    """A training step as a module's forward pass, so that its memory is measured as that of any other."""

    def __init__(self, method: Method, step: TrainingStep, batch: PairBatch) -> None:
        super().__init__()
        self.method, self._step, self._batch = method, step, batch

    def forward(self, images: Tensor) -> Tensor:
        with torch.inference_mode(False):  # the measurement is one for inference
            return self._step(self._batch)


def _leaves(result: Tensor) -> list[Tensor]:
    """The tensors at which the gradient of a result would arrive, each once."""
    found, waiting, seen = list[Tensor](), [result.grad_fn], set[object]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting.extend(before for before, _ in node.next_functions)
    return found


def _first_step(method: Method, schedule: Schedule, batch: PairBatch, device: torch.device) -> _FirstStep:
    """The first of a training, at a rate of 0, with neither gradients nor momenta yet."""
    method.train().zero_grad(set_to_none=True)
    return _FirstStep(method, TrainingStep(method, schedule, device, graph=False), batch)


@torch.inference_mode()
def _embedding_seconds(method: Method, run: Run, images: Tensor, passes: int, device: torch.device) -> float:
    """Of the fastest of at least so many passes, after one that is not timed."""
    bf16 = run.schedule.precision == "bf16"
    rates = torch.full((len(images),), RATE, device=device)
    embedding = _Embedding(method, rates, flip=run.evaluation.flip).eval()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        embedding(images)
        return fastest_seconds(lambda: embedding(images), device, passes)
