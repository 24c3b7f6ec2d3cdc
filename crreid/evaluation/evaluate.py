"""Scores of a trained method on prepared data, under every protocol at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from crreid.data.pairs import TestImages, normalise
from crreid.data.pixels import PixelCache
from crreid.data.prepare import PreparedData
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.ranking import JUNK, RetrievalLabels, by_person, multi_shot, single_shot
from crreid.methods.method import Method
from crreid.numerics import effective_precision, keep_freed_memory, one_thread

BATCH = 64  # images embedded at a time


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How a run is evaluated."""

    tag: ClassVar[str] = "EvaluationSettings"
    flip: bool = True  # add the descriptor of the mirror image; the release does, the paper does not mention it
    draws: int = 100  # single-shot galleries drawn (SING: 100)
    query_rates: tuple[float, ...] = ()  # further tests, each of all queries at one rate, from high-resolution files
    restoration_rates: tuple[float, ...] = ()  # at which `restoration_quality` measures the restored queries
    perceptual_weights: str = ""  # AlexNet's, `file <sha256>`, for LPIPS; empty for no LPIPS
    part: str = ""  # the part of the descriptor to compare, by its name in `Method.parts`; empty for the whole
    rate_error: float = 0.0  # added to the rates that the method is told of queries, not to those that downsample them


@one_thread()
@torch.inference_mode()
def evaluate(
    method: Method,
    data: PreparedData,
    settings: EvaluationSettings,
    *,
    size: tuple[int, int],
    device: torch.device,
    precision: str = "bf16",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score a trained method, on `device`; `size` is (height, width) of its input, `precision` `bf16` or `fp32`.

    Returns:
        Scores, the columns of `multi_shot` and `single_shot` behind a column test, and what `by_person` returns of the
        drawn test. `drawn`: each query at the rate that the protocol drew for it; rate NaN = all queries, else those
        that drew this rate. `uniform`: all queries at one rate, for each of `settings.query_rates`. Raises InputError
        for a part that the method lacks.
    """
    queries = [data.query, *(data.query.with_rates(rate) for rate in settings.query_rates)]
    every = _distances(method, data, queries, settings, size=size, device=device, precision=precision)
    tables: list[pd.DataFrame] = []
    for query, distances in zip(queries, every, strict=True):
        test = "uniform" if tables else "drawn"
        labels = RetrievalLabels.from_tables(query, data.gallery)
        drawn = single_shot(distances, labels, draws=settings.draws, generator=np.random.default_rng(0))
        scores = pd.concat([multi_shot(distances, labels), drawn])
        scores.insert(0, "test", test)
        if test == "drawn":
            persons = by_person(distances, labels)
        # all queries of a uniform test are those of its rate: one set of rows
        tables.append(scores if test == "drawn" else scores[scores["rate"].notna()])
    return pd.concat(tables, ignore_index=True), persons


@one_thread()
@torch.inference_mode()
def query_distances(
    method: Method,
    data: PreparedData,
    query: ImageTable,
    settings: EvaluationSettings,
    *,
    size: tuple[int, int],
    device: torch.device,
    precision: str = "bf16",
) -> NDArray[np.float32]:
    """Return the distances (queries, gallery) of some rows of `data.query`, e.g. for ranked lists; see `evaluate`."""
    return next(_distances(method, data, [query], settings, size=size, device=device, precision=precision))


def _distances(
    method: Method,
    data: PreparedData,
    queries: Sequence[ImageTable],
    settings: EvaluationSettings,
    *,
    size: tuple[int, int],
    device: torch.device,
    precision: str,
) -> Iterator[NDArray[np.float32]]:
    """Yield the distances (queries, gallery) of each table of queries; the gallery is embedded once."""
    parts = method.parts()
    if settings.part and settings.part not in parts:
        has = f"it has {', '.join(parts)}" if parts else "it has none"
        raise InputError(f"{type(method).__name__} has no part {settings.part!r} of its descriptor; {has}")

    def describe(table: ImageTable, rates: Tensor) -> Tensor:
        options: dict[str, Any] = {"flip": settings.flip, "device": device, "precision": precision}
        found = embed_table(method, table, data.pixels, size, rates=rates, **options)
        return found[:, parts.get(settings.part, slice(None))].to(device)

    gallery = describe(data.gallery, torch.from_numpy(data.stated_rates(data.gallery)))
    for query in queries:
        rates = (torch.from_numpy(data.stated_rates(query)) + settings.rate_error).clamp(min=1)
        yield method.distances(describe(query, rates), gallery, rates.to(device)).cpu().numpy()


@one_thread()
@torch.inference_mode()
def embed_table(
    method: Method,
    table: ImageTable,
    pixels: PixelCache,
    size: tuple[int, int],
    *,
    rates: Tensor | None = None,
    flip: bool,
    device: torch.device,
    precision: str = "bf16",
) -> Tensor:
    """Return the descriptors, (rows, D) float32 on the CPU, of the images of a table, degraded by their rates.

    The method is told `rates`, (rows,) float32; None tells it those of the table. `flip` adds the descriptor of the
    mirror image; the distance normalises afterwards. The method is on `device` and set to evaluation mode here.
    """
    keep_freed_memory()
    method.eval()
    precision = effective_precision(precision, device)
    if rates is None:
        rates = torch.tensor(table.rows["rate"].to_numpy(), dtype=torch.float32)
    chunks = []
    for pictures, told in zip(image_batches(table, pixels, size), torch.split(rates, BATCH), strict=True):
        images, told = normalise(torch.from_numpy(pictures).to(device)), told.to(device)
        if precision == "bf16":
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            features = method.embed(images, told).float()
            if flip:
                features = features + method.embed(images.flip(3), told).float()
        chunks.append(features.cpu())
    return torch.cat(chunks)


def image_batches(table: ImageTable, pixels: PixelCache, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Yield the images of a table as a trained network sees them: at most `BATCH` at a time, (N, H, W, 3) uint8."""
    images = TestImages(table, pixels, size)
    for start in range(0, len(images), BATCH):
        yield np.stack([images[row] for row in range(start, min(start + BATCH, len(images)))])


def chance_rank1(data: PreparedData) -> float:
    """Return rank-1 in per cent of a random ranking: the mean share of correct matches among images that count."""
    labels = RetrievalLabels.from_tables(data.query, data.gallery)
    gallery = np.count_nonzero(labels.gallery_identities != JUNK)
    shares = [len(matches) / (gallery - len(own)) for matches, own in labels.matches() if len(matches)]
    return 100 * float(np.mean(shares))
