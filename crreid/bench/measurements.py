"""The measurements, each in the process that it is called in."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from crreid.bench.images import Epochs, evaluation_table, pair_dataset, sampler_of, training_table
from crreid.bench.jobs import Job, Measurement
from crreid.bench.machine import arithmetic, peak_memory
from crreid.bench.plain import (
    PlainPairs,
    PlainStep,
    PlainTestImages,
    plain_embeddings,
    plain_loader,
    plain_scores,
    with_plain_attention,
)
from crreid.bench.resizing import grey_level_differences
from crreid.bench.sizes import built
from crreid.data.pairs import PairBatch, PairLoader
from crreid.data.pixels import PixelCache
from crreid.errors import InputError
from crreid.evaluation.cost import seconds_of
from crreid.evaluation.evaluate import embed_table
from crreid.evaluation.ranking import RetrievalLabels, multi_shot
from crreid.methods.method import Method
from crreid.numerics import keep_freed_memory
from crreid.provenance import device_name
from crreid.study.speed import random_batch
from crreid.training.loop import train
from crreid.training.step import TrainingStep

__all__ = ["measure", "ranking_problem"]

MILLISECONDS = 1000
ON_PROCESSOR = ("ranking",)  # whatever the device


def measure(job: Job) -> list[Measurement]:
    """Measures a job, best in a fresh process.

    Args:
        job: What and how. Its folder must hold the images of `write_images` for epoch, embedding, data and resize.

    Returns:
        The job's numbers, each with its device and the memory that was needed for it where that can be told.
    """
    if not job.recipe.plain:
        keep_freed_memory()
    device = torch.device("cpu" if job.section in ON_PROCESSOR else job.device)
    found = _of_section(job)
    name, threads = device_name(device), torch.get_num_threads()
    return [replace(measurement, device=name, threads=threads) for measurement in found]


def _of_section(job: Job) -> list[Measurement]:
    match job.section:
        case "arithmetic":
            return arithmetic(job.bench_size, torch.device(job.device))
        case "step":
            return _step(job)
        case "epoch":
            return _epoch(job)
        case "embedding":
            return _embedding(job)
        case "query":
            return _query(job)
        case "ranking":
            return _ranking(job)
        case "data":
            return _data(job)
        case "resize":
            table = evaluation_table(job.bench_size, Path(job.folder))
            return grey_level_differences(table, job.bench_size.size, torch.device(job.device))
        case "models":
            return _model(job)
    raise InputError(f"nothing is called {job.section!r} that could be measured")


def _step(job: Job) -> list[Measurement]:
    """Training steps of PS-HRNet on one batch of noise that stays on the device."""
    size, device = job.bench_size, torch.device(job.device)
    step = _stepper(job, _placed(job, built(size, size.identities)).train())
    batch = _noise(job)
    seconds = _median_seconds(lambda: step(batch), device, size.seconds)
    return [_of_pairs("PS-HRNet, training step", seconds, len(batch.labels), device)]


def _epoch(job: Job) -> list[Measurement]:
    """A short epoch with data, after what happens once in a training: the first step, preparation of resident pairs."""
    size, device, recipe = job.bench_size, torch.device(job.device), job.recipe
    table = training_table(size, Path(job.folder))
    dataset = pair_dataset(size, table, Path(job.folder))
    sampler = sampler_of(size, dataset)
    method = built(size, dataset.identities)
    if recipe.plain:
        step = _plain_step(job, _placed(job, method).train())
        step(_noise(job))
        loader = plain_loader(PlainPairs(dataset, table, table.source.read), sampler, device, job.workers)
        seconds = seconds_of(lambda: step.epoch(loader), device)
    else:
        with tempfile.TemporaryDirectory() as folder:
            schedule = size.schedule(recipe.precision, epochs=2)
            log = train(method, dataset, schedule, seed=0, device=device, folder=Path(folder), report=lambda line: None)
        seconds = float(log["seconds"].iloc[1])
    steps, pairs = len(sampler), size.batch[0] * size.batch[1]
    return [_of_pairs(f"PS-HRNet, epoch of {steps} steps with data", seconds / steps, pairs, device)]


def _embedding(job: Job) -> list[Measurement]:
    """Descriptors of the images of a table and of their mirror images, from files or from decoded pixels."""
    size, device, recipe = job.bench_size, torch.device(job.device), job.recipe
    table = evaluation_table(size, Path(job.folder))
    method = _placed(job, built(size, size.identities))
    pixels = PixelCache(table, Path(job.folder) / "pixels")

    def embed(rows: int) -> None:
        chosen = replace(table, rows=table.rows.head(rows))
        if recipe.plain:
            images = PlainTestImages(chosen, table.source.read, size.size)
            plain_embeddings(method, images, device, autocast=recipe.precision == "bf16", workers=job.workers)
        else:
            embed_table(method, chosen, pixels, size.size, flip=True, device=device, precision=recipe.precision)

    embed(len(table) if device.type == "cuda" else 2)
    seconds = seconds_of(lambda: embed(len(table)), device) / len(table)
    return [_speed("PS-HRNet, images and their mirror images", "images", seconds, device)]


def _query(job: Job) -> list[Measurement]:
    """One image at a time and its mirror image, from normalised pixels on the device to a descriptor."""
    size, device = job.bench_size, torch.device(job.device)
    method = _placed(job, built(size, size.identities)).eval()
    image, rate = _noise(job).low[:1], torch.full((1,), 2.0, device=device)
    image = image.contiguous(memory_format=_layout(job))

    @torch.inference_mode(not job.recipe.plain)
    @torch.no_grad()
    def embed() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=job.recipe.precision == "bf16"):
            (method.embed(image, rate).float() + method.embed(image.flip(3), rate).float()).cpu()

    seconds = _median_seconds(embed, device, size.seconds)
    return [_speed("PS-HRNet, one query", "queries", seconds, device)]


def _ranking(job: Job) -> list[Measurement]:
    """Both mean average precisions and the matching characteristic from a distance matrix."""
    size = job.bench_size
    distances, labels = ranking_problem(*size.ranking)
    clock = time.perf_counter()
    if job.recipe.plain:
        plain = plain_scores(distances, labels)
        scores = {"rank1": plain.ranks[1], "map_hit": plain.map_hit, "map_trapezoid": plain.map_trapezoid}
    else:
        fast = multi_shot(distances, labels)
        overall = fast[fast["rate"].isna()].set_index("metric")["value"]
        scores = {name: float(overall[name]) for name in ("rank1", "map_hit", "map_trapezoid")}
    seconds = time.perf_counter() - clock
    case = "scores of {:,} queries x {:,} images".format(*size.ranking)
    found = _speed(case, "queries", seconds / len(distances), torch.device("cpu"))
    return [replace(found, milliseconds=MILLISECONDS * seconds, details=scores)]


def ranking_problem(queries: int, gallery: int) -> tuple[np.ndarray, RetrievalLabels]:
    """Distances (queries, gallery) float32 without ties in a row, and labels as in Market-1501's test."""
    generator = np.random.default_rng(0)
    identities = max(2, queries * 750 // 3368)
    labels = RetrievalLabels(
        query_identities=generator.integers(0, identities, queries),
        query_rates=generator.choice([2.0, 3.0, 4.0], queries),
        gallery_identities=generator.integers(0, identities, gallery),
        query_cameras=generator.integers(1, 7, queries),
        gallery_cameras=generator.integers(1, 7, gallery),
    )
    places = generator.permuted(np.tile(np.arange(gallery, dtype=np.float32), (queries, 1)), axis=1)
    right = labels.query_identities[:, None] == labels.gallery_identities
    # all others stay at whole numbers; a right image comes early and is tied with none of them
    places[right] = places[right] / 8 + 1 / 64
    return places / np.float32(gallery), labels


def _data(job: Job) -> list[Measurement]:
    """An epoch of batches on the device without a network, and what preparing resident pairs takes once."""
    size, device, folder = job.bench_size, torch.device(job.device), Path(job.folder)
    table = training_table(size, folder)
    case, pairs = "batches of pairs on the device", size.batch[0] * size.batch[1]
    if job.recipe.plain:
        dataset = pair_dataset(size, table, folder)
        epochs = Epochs(sampler_of(size, dataset), size.loaded_pairs // pairs)
        loader = plain_loader(PlainPairs(dataset, table, table.source.read), epochs, device, job.workers)
        seconds = seconds_of(lambda: [[tensor.to(device) for tensor in batch] for batch in loader], device)
        return [_of_pairs(case, seconds / len(epochs), pairs, device)]
    with tempfile.TemporaryDirectory() as fresh:
        clock = time.perf_counter()
        dataset = pair_dataset(size, table, Path(fresh))
        epochs = Epochs(sampler_of(size, dataset), size.loaded_pairs // pairs)
        batches = PairLoader(dataset, epochs, device)
        preparing = (time.perf_counter() - clock) / len(dataset)
    seconds = seconds_of(lambda: [None for _ in batches], device) / len(epochs)
    return [
        _of_pairs(case, seconds, pairs, device),
        replace(_of_pairs("pairs decoded and resized, once", preparing, 1, device), milliseconds=None),
    ]


def _model(job: Job) -> list[Measurement]:
    """Training steps and descriptors of a conventional network on noise."""
    size, device = job.bench_size, torch.device(job.device)
    method = _placed(job, built(size, size.identities, job.model)).train()
    step, batch = _stepper(job, method), _noise(job)
    seconds = _median_seconds(lambda: step(batch), device, size.seconds)
    training = _of_pairs(f"{job.model}, training step", seconds, len(batch.labels), device)
    method.eval()

    @torch.inference_mode()
    def embed() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=job.recipe.precision == "bf16"):
            method.embed(batch.low, batch.rates)

    seconds = _median_seconds(embed, device, size.seconds)
    embedding = _speed(f"{job.model}, embedding", "images", seconds / len(batch.labels), device)
    embedding = replace(embedding, milliseconds=MILLISECONDS * seconds, peak_bytes=None)  # the peak is training's
    return [training, embedding]


def _placed(job: Job, method: Method) -> Method:
    """The method on the device, its modules and layout those of the recipe."""
    if job.recipe.plain:
        with_plain_attention(method)
    method.to(torch.device(job.device))
    return method.to(memory_format=_layout(job))


def _layout(job: Job) -> torch.memory_format:
    return torch.channels_last if job.recipe.channels_last else torch.contiguous_format


def _noise(job: Job) -> PairBatch:
    """A batch in the layout in which the recipe's data come."""
    size = job.bench_size
    torch.manual_seed(0)
    batch = random_batch(*size.batch, size.size, torch.device(job.device))
    high, low = (images.contiguous(memory_format=_layout(job)) for images in (batch.high, batch.low))
    return replace(batch, high=high, low=low)


def _stepper(job: Job, method: Method) -> Callable[[PairBatch], object]:
    if job.recipe.plain:
        return _plain_step(job, method)
    device, schedule = torch.device(job.device), job.bench_size.schedule(job.recipe.precision)
    step = TrainingStep(method, schedule, device, graph=job.recipe.graph and device.type == "cuda")
    step.set_learning_rate(schedule.learning_rate_at(0))
    return step


def _plain_step(job: Job, method: Method) -> PlainStep:
    schedule = job.bench_size.schedule(job.recipe.precision)
    step = PlainStep(method, schedule, torch.device(job.device), autocast=job.recipe.precision == "bf16")
    step.set_learning_rate(schedule.learning_rate_at(0))
    return step


def _median_seconds(action: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Median of an action repeated for so many seconds, at least once, after calls that warm up.

    On a GPU several calls are timed together: to wait after each would measure the wait.
    """
    warm_up, together = (6, 10) if device.type == "cuda" else (1, 1)
    for _ in range(warm_up):
        seconds_of(action, device)
    times: list[float] = []
    while sum(times) * together < seconds or not times:
        times.append(seconds_of(lambda: [action() for _ in range(together)], device) / together)
    return statistics.median(times)


def _of_pairs(case: str, seconds: float, pairs: int, device: torch.device) -> Measurement:
    """Of a step with so many pairs."""
    found = _speed(case, "pairs", seconds / pairs, device)
    return replace(found, milliseconds=MILLISECONDS * seconds)


def _speed(case: str, unit: str, seconds: float, device: torch.device) -> Measurement:
    """Of something that takes so many seconds each."""
    return Measurement(
        case=case,
        unit=unit,
        per_second=1 / seconds,
        milliseconds=MILLISECONDS * seconds,
        peak_bytes=peak_memory(device),
    )
