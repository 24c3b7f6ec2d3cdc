"""What networks and whole methods cost: parameters and multiply-adds, which are counted; time and memory, measured.

Counts need no computation: they are taken on PyTorch's device `meta`. Times are those of the fastest of several passes,
since every other one waited for whatever else the machine did; publish them through `crreid.bench.timings`.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from crreid.data.pairs import PairBatch
from crreid.data.sampler import IdentitySampler
from crreid.data.table import ImageTable
from crreid.methods.method import Method
from crreid.numerics import effective_precision, keep_freed_memory
from crreid.runs import Run
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

MARKET_1501_IDENTITIES = 751  # for training

PAPER_PAIRS = 71 * 539 * 24  # of PS-HRNet's phase 2 in the paper: 71 epochs of 539 batches, each image once per epoch

META = torch.device("meta")
LEAST_SECONDS = 0.3  # a small network passes in a millisecond; among many such passes one is delayed by nothing else
RATE = 2.0  # downsampling rate stated to the methods
IMAGES, IMAGES_ON_GPU = 16, 64  # embedded at a time


@torch.inference_mode()
def cost(
    module: nn.Module, *, size: tuple[int, int], device: str | torch.device, batch: int = 1, repeats: int = 10
) -> dict[str, float]:
    """Measure a network on noise, in float32 and for inference; on the device `meta` only count.

    A copy of the module takes images (batch, 3, height, width) of `size` (height, width); at least so many `repeats`
    are timed. Returns parameters, multiply_adds and, unless on `meta`, peak_bytes and latency_milliseconds (of the
    fastest pass): all but the parameters are those of the batch.

    Example:
        >>> from crreid.models.vdsr import VDSRSettings
        >>> cost(VDSRSettings().build(), size=(256, 128), device="meta")["multiply_adds"] / 1e9
        21.856324608
    """
    device = torch.device(device)
    module = copy.deepcopy(module).to(device).eval()
    images = torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    parameters = list(module.parameters())
    counts: dict[str, float] = {"parameters": sum(tensor.numel() for tensor in parameters)}
    counts["multiply_adds"] = multiply_adds(lambda: module(images))
    if device == META:
        return counts
    keep_freed_memory()  # as in training; else the process's history decides whether each map costs page faults
    return counts | {
        "peak_bytes": peak_bytes(lambda: module(images), [images, *parameters, *module.buffers()]),
        "latency_milliseconds": 1000 * fastest_seconds(lambda: module(images), device, repeats),
    }


def multiply_adds(action: Callable[[], object]) -> int:
    """Return the multiply-adds of an action: half the floating-point operations that PyTorch's counter counts.

    It counts convolutions, matrix products and attention, not normalisation, activation, pooling and resizing.
    """
    with FlopCounterMode(display=False) as counter:
        action()
    return int(counter.get_total_flops()) // 2


def peak_bytes(action: Callable[[], object], besides: list[Tensor]) -> int:
    """Return the most memory in use at once during an action, without the tensors `besides`, which were there before.

    On a GPU this is what PyTorch's allocator reports, on a CPU the sum of the tensors alive after each operation.
    """
    device = besides[0].device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        return int(torch.cuda.max_memory_allocated(device) - before)
    memory = _LiveTensors(besides)
    with memory:
        action()
    return memory.peak


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the storages made under it that live after each operation, each once, and keeps the peak."""

    def __init__(self, besides: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._besides = {StorageWeakRef(tensor.untyped_storage()) for tensor in besides}  # type: ignore[no-untyped-call]
        self._alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [tensor.untyped_storage() for tensor in tree_leaves(result) if isinstance(tensor, Tensor)]
        self._alive |= {StorageWeakRef(storage): storage.nbytes() for storage in made}  # type: ignore[no-untyped-call]
        gone = {each for each in self._alive if each in self._besides or each.expired()}  # type: ignore[no-untyped-call]
        self._alive = {storage: size for storage, size in self._alive.items() if storage not in gone}
        self.peak = max(self.peak, sum(self._alive.values()))
        return result


def fastest_seconds(action: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the shortest of at least so many durations of an action, more until LEAST_SECONDS have gone."""
    action()  # a first time allocates and chooses kernels
    fastest, times, started = math.inf, 0, time.perf_counter()
    while times < max(1, repeats) or time.perf_counter() - started < LEAST_SECONDS:
        fastest, times = min(fastest, seconds_of(action, device)), times + 1
    return fastest


def seconds_of(action: Callable[[], object], device: torch.device) -> float:
    """Return the duration of an action, work that a GPU has not finished yet included."""
    started = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def untrained(run: Run, identities: int) -> Method:
    """Return a run's method with fresh weights for the training identities, its teacher as untrained as itself."""
    teacher = None if run.teacher is None else untrained(run.teacher, identities)
    return run.method.build(identities, teacher)


def random_batch(identities: int, images: int, size: tuple[int, int], device: torch.device) -> PairBatch:
    """Return noise in the shape of a training batch: `images` pairs of each identity, (height, width) pixels each."""
    count = identities * images
    high, low = (torch.randn(count, 3, *size).to(device) for _ in range(2))
    labels = torch.arange(identities, device=device).repeat_interleave(images)
    return PairBatch(high=high, low=low, labels=labels, rates=torch.full((count,), RATE, device=device))


def method_counts(run: Run, identities: int = MARKET_1501_IDENTITIES) -> dict[str, Any]:
    """Count what training a run's method and embedding one image takes, without computing anything.

    Returns:
        parameters_embedding (those that a descriptor depends on), parameters_training (discriminators and a frozen
        teacher included), training_multiply_adds (per pair, forward and backward passes of all players),
        embedding_multiply_adds (per image, without its mirror image), parts (how these fall to the submodules).
    """

    def train() -> None:
        for player in method.players():
            torch.stack(list(method.losses(batch, player).values())).sum().backward()  # type: ignore[no-untyped-call]

    with META:
        method = untrained(run, identities).train()
        batch = random_batch(run.schedule.identities_per_batch, run.schedule.images_per_identity, run.size, META)
        training = multiply_adds(train) // len(batch.labels)
        embedding = _Embedding(method.eval().requires_grad_(True))
        with FlopCounterMode(display=False) as counter:
            descriptors = embedding(batch.low[:1], batch.rates[:1])
        parameters = list(method.parameters())
        needed = zip(parameters, torch.autograd.grad(descriptors.sum(), parameters, allow_unused=True), strict=True)
    counts = {name: sum(operations.values()) // 2 for name, operations in counter.get_flop_counts().items()}
    parts = {name: counts.get(f"_Embedding.method.{name}", 0) for name, _ in method.named_children()}
    return {
        "parameters_embedding": sum(tensor.numel() for tensor, gradient in needed if gradient is not None),
        "parameters_training": sum(tensor.numel() for tensor in method.parameters()),
        "training_multiply_adds": training,
        "embedding_multiply_adds": counter.get_total_flops() // 2,
        "parts": {name: count for name, count in parts.items() if count},
    }


def method_speed(run: Run, identities: int, device: torch.device) -> dict[str, float]:
    """Measure a run's method with fresh weights on noise, at the run's precision; torch's generator stays as it was.

    Returns:
        images_per_second (embedded as the evaluation does), query_milliseconds (one image at a time), step_peak_bytes
        (`peak_bytes` of the first training step), step_pairs (the pairs of that step).
    """
    keep_freed_memory()  # as in training; else the first method would wait for pages that the others find
    schedule, bf16 = run.schedule, effective_precision(run.schedule.precision, device) == "bf16"
    layout = torch.channels_last if bf16 else torch.contiguous_format
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = untrained(run, identities).to(device).to(memory_format=layout)
        images = torch.randn(IMAGES_ON_GPU if device.type == "cuda" else IMAGES, 3, *run.size).to(device)
        images = images.contiguous(memory_format=layout)
        embedding = _Embedding(method, flip=run.evaluation.flip).eval()
        rates = torch.full((len(images),), RATE, device=device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            query = fastest_seconds(lambda: embedding(images[:1], rates[:1]), device, 5)
            seconds = fastest_seconds(lambda: embedding(images, rates), device, 2)
        batch = random_batch(schedule.identities_per_batch, schedule.images_per_identity, run.size, device)
        method.train().zero_grad(set_to_none=True)
        step = TrainingStep(method, schedule, device, graph=False)  # learning rate 0, without gradients or momenta yet
        peak = peak_bytes(lambda: step(batch), [*vars(batch).values(), *method.parameters(), *method.buffers()])
    return {
        "images_per_second": len(images) / seconds,
        "query_milliseconds": 1000 * query,
        "step_peak_bytes": peak,
        "step_pairs": len(batch.labels),
    }


def training_pairs(train: ImageTable, schedule: Schedule) -> int:
    """Return how many pairs a training sees in all its epochs."""
    labels = train.rows["identity"].astype("category").cat.codes.tolist()
    identities, images = schedule.identities_per_batch, schedule.images_per_identity
    return schedule.epochs * len(IdentitySampler(labels, identities, images, seed=0)) * identities * images


class _Embedding(nn.Module):
    """A method's descriptors as a module's output, so that multiply-adds are counted per submodule."""

    def __init__(self, method: Method, *, flip: bool = False) -> None:
        super().__init__()
        self.method, self._flip = method, flip

    def forward(self, images: Tensor, rates: Tensor) -> Tensor:
        features = self.method.embed(images, rates).float()
        return features + self.method.embed(images.flip(3), rates).float() if self._flip else features
