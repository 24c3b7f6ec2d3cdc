"""Descriptors of the images of a table."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from crreid.data.pairs import TestImages, normalise
from crreid.data.pixels import PixelCache
from crreid.data.sources import UInt8Image
from crreid.data.table import ImageTable
from crreid.methods.method import Method
from crreid.numerics import keep_freed_memory

__all__ = ["embed_table"]


@torch.inference_mode()
def embed_table(
    method: Method,
    table: ImageTable,
    pixels: PixelCache,
    size: tuple[int, int],
    *,
    rates: Tensor | None = None,
    flip: bool,
    batch: int = 64,
    device: torch.device,
    precision: str = "bf16",
    workers: int = 0,
) -> Tensor:
    """Embeds every image of a table, degraded as its rate says.

    Args:
        method: On `device`; set to evaluation mode here.
        table: N rows.
        pixels: Decoded images of the table.
        size: (height, width) of the network's input.
        rates: (N,) float32, what the method is told; None tells it those of the table.
        flip: Add the descriptor of the mirror image (the release's flip test); the distance normalises afterwards.
        batch: Images at a time.
        device: Where to embed.
        precision: `bf16` or `fp32`, as in training.
        workers: Loader processes.

    Returns:
        (N, D) float32 on the CPU.
    """
    keep_freed_memory()
    method.eval()
    loader = DataLoader(TestImages(table, pixels, size), batch, collate_fn=_stack, num_workers=workers)
    if rates is None:
        rates = torch.tensor(table.rows["rate"].to_numpy(), dtype=torch.float32)
    chunks = []
    for pictures, rate in zip(loader, torch.split(rates, batch), strict=True):
        images, rate = normalise(pictures.to(device)), rate.to(device)
        if precision == "bf16":
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            features = method.embed(images, rate).float()
            if flip:
                features = features + method.embed(images.flip(3), rate).float()
        chunks.append(features.cpu())
    return torch.cat(chunks)


def _stack(images: list[UInt8Image]) -> Tensor:
    return torch.from_numpy(np.stack(images))
