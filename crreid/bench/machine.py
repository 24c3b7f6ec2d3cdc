"""The floor that the machine's arithmetic sets, and the memory that a process needed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from crreid.bench.jobs import Measurement
from crreid.bench.plain import with_plain_attention
from crreid.bench.sizes import BenchSize, built
from crreid.evaluation.cost import seconds_of
from crreid.study.speed import random_batch

__all__ = ["EMBEDDING", "TRAINING", "arithmetic", "peak_case", "peak_memory"]

PRODUCTS = 10
TRAINING, EMBEDDING = "operations of a pair in training", "operations of an image and its mirror image"


def arithmetic(size: BenchSize, device: torch.device) -> list[Measurement]:
    """What PS-HRNet computes at least, and how fast the machine can multiply.

    Floating-point operations of convolutions and matrix products are counted on the device `meta`, one for each
    multiplication and each addition: of the forward and backward pass of a pair in training, and of an image and its
    mirror image in the test. The peak is that of a large product of square matrices. On a GPU float32 matrices are
    multiplied in TF32, as cuDNN convolves them by default.

    Returns:
        One measurement for each precision, `per_second` in GFLOP, and one for each count, GFLOP in `details`.
    """
    found = [_peak(size.product, precision, device) for precision in ("fp32", "bf16")]
    training, embedding = _operations(size)
    counts = {TRAINING: training, EMBEDDING: embedding}
    return found + [Measurement(case=case, details={"gflop": count / 1e9}) for case, count in counts.items()]


def peak_case(precision: str) -> str:
    """What the peak of a precision is called."""
    return f"product of {precision} matrices"


def _peak(side: int, precision: str, device: torch.device) -> Measurement:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    left, right = (torch.randn(side, side).to(device, dtype) for _ in range(2))
    seconds_of(lambda: left @ right, device)
    best = min(seconds_of(lambda: left @ right, device) for _ in range(PRODUCTS))
    torch.set_float32_matmul_precision(before)
    return Measurement(
        case=peak_case(precision),
        unit="GFLOP",
        per_second=2 * side**3 / best / 1e9,
        milliseconds=1000 * best,
    )


def _operations(size: BenchSize) -> tuple[float, float]:
    """Floating-point operations of a pair in training, and of an image and its mirror image in the test."""
    meta = torch.device("meta")
    method = built(size, size.identities)
    with_plain_attention(method)
    method.to(meta).train()
    batch = random_batch(*size.batch, size.size, meta)
    with FlopCounterMode(display=False) as counter:
        losses = [loss for player in method.players() for loss in method.losses(batch, player).values()]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    training = counter.get_total_flops() / len(batch.labels)
    method.eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        method.embed(batch.low, batch.rates)
    return training, 2 * counter.get_total_flops() / len(batch.labels)


def peak_memory(device: torch.device) -> int:
    """Bytes: on a GPU the most that PyTorch's allocator handed out, else the most that this process ever had.

    On Linux from the kernel's count of this program alone; that of `getrusage` keeps the peak of the process that
    started it.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # not on Windows
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
