"""`crreid bench`: how fast this machine trains, embeds and ranks, relative to the recipe as anyone would write it.

Every recipe runs in a fresh process, since a process keeps its peak of memory and its heap to its end; recipes take
turns, so that whatever else the machine does meets them all. `results/bench/README.md` tells the columns of the CSV.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from loky import ProcessPoolExecutor
from PIL import Image
from torch.utils.data import DataLoader

from crreid.bench.cost import fastest_seconds, method_counts, random_batch, seconds_of, untrained
from crreid.bench.plain import PlainPairs, PlainStep, on_device, plain_scores, with_plain_attention
from crreid.data.pairs import PairBatch, PairDataset
from crreid.data.pixels import PixelCache
from crreid.data.sampler import IdentitySampler
from crreid.data.sources import FolderSource
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.ranking import RetrievalLabels, multi_shot
from crreid.files import write_atomically
from crreid.methods.method import Method
from crreid.numerics import effective_precision, keep_freed_memory
from crreid.profiles import profile_settings
from crreid.provenance import provenance, time_stamp
from crreid.rows import state_of_the_art_rows
from crreid.runs import Run, Workspace
from crreid.synthetic.dataset import SyntheticSettings, synthetic_pedestrians
from crreid.training.loop import train
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

BenchSize = Literal["smoke", "quick", "paper"]

PICTURES, CAMERAS = 64, 4  # different images, which the rows of a table share in turn: drawing one takes 0.05 s
SCORES = ["rank1", "map_hit", "map_trapezoid"]
NUMBERS = ["per_second", "milliseconds", "peak_mebibytes", "floor_fraction", "ratio", "gflop", *SCORES]
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
COLUMNS = ["section", "case", "recipe", "unit", *NUMBERS]
NETWORKS = ("plain fp32", "plain autocast", "fast")
RECIPES = {"step": NETWORKS, "epoch": NETWORKS, "embedding": NETWORKS, "ranking": ("plain", "fast")}
RECIPES["busy neighbour"] = ("alone", "beside a busy process")
"""The recipes of each section; ratios refer to the first one. A busy neighbour finds the threads of a training."""
COUNTED = dict.fromkeys(("step", "epoch"), "operations of a pair in training")
COUNTED["embedding"] = "operations of an image and its mirror image"
PEAKS = {"fp32": "product of fp32 matrices", "bf16": "product of bf16 matrices"}

ON_CPU = {"smoke": ((2, 2), (2, 2)), "quick": ((6, 4), (18, 4)), "paper": ((3, 4), (3, 2))}
ON_GPU = {"smoke": ((2, 2), (2, 2)), "quick": ((6, 4), (100, 4)), "paper": ((6, 4), (100, 4))}
"""Batch (identities, images of each) and training images of an epoch (identities, images per camera) of each size. The
paper's batch of 6 x 4 would take most of a minute on a CPU."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What one process measures, by which recipe: ours in channels-last, or that of `crreid.bench.plain` in NCHW."""

    section: str
    recipe: str
    size: str
    device: str
    threads: int
    folder: str

    @property
    def sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (ON_GPU if self.device == "cuda" else ON_CPU)[self.size]

    @property
    def plain(self) -> bool:
        return self.recipe.startswith("plain")

    @property
    def precision(self) -> Literal["bf16", "fp32"]:
        return "fp32" if self.recipe == "plain fp32" else "bf16"

    @property
    def layout(self) -> torch.memory_format:
        return torch.contiguous_format if self.plain else torch.channels_last

    def run(self) -> Run:
        """Return PS-HRNet of the size's profile, at a learning rate at which nothing diverges soon."""
        rows = state_of_the_art_rows(profile_settings(self.size, "mlr-synthetic"))
        identities, images = self.sizes[0]
        schedule = Schedule(epochs=2, warmup_epochs=2, identities_per_batch=identities, images_per_identity=images)
        return replace(rows["PS-HRNet"], schedule=replace(schedule, precision=self.precision))

    def method(self) -> Method:
        torch.manual_seed(0)
        method = untrained(self.run(), self.sizes[1][0])
        if self.plain:
            with_plain_attention(method)
        return method.to(self.device).to(memory_format=self.layout).train()

    def noise(self) -> PairBatch:
        batch = random_batch(*self.sizes[0], self.run().size, torch.device(self.device))
        high, low = (images.contiguous(memory_format=self.layout) for images in (batch.high, batch.low))
        return replace(batch, high=high, low=low)

    def stepper(self, method: Method) -> Callable[[PairBatch], object]:
        schedule, device, bf16 = self.run().schedule, torch.device(self.device), self.precision == "bf16"
        plain = self.plain
        step = PlainStep(method, schedule, device, autocast=bf16) if plain else TrainingStep(method, schedule, device)
        step.set_learning_rate(schedule.learning_rate_at(0))
        return step


def bench(
    size: BenchSize = "quick", device: str = "auto", repeats: int = 3, threads: int = 1, out: str = "results/bench"
) -> Path:
    """Measure training and evaluation of PS-HRNet against the plain recipe; print a table, write and return a CSV file.

    `crreid bench --help` tells the options. Raises InputError where the recipes' scores differ.
    """
    if size not in ON_CPU or min(repeats, threads) < 1:
        raise InputError(f"bench needs a size of {', '.join(ON_CPU)}, and repeats and threads of at least 1")
    where = Workspace(results_dir=Path(), runs_dir=Path(), device=device).torch_device()
    here = provenance(where)
    with tempfile.TemporaryDirectory() as folder:
        people = synthetic_pedestrians(SyntheticSettings(train_identities=2, test_identities=2, images_per_camera=8))
        for number, path in enumerate(people.rows["path"].head(PICTURES)):  # JPEG, as Market-1501 comes
            Image.fromarray(people.source.read(path)).save(Path(folder) / f"{number:04d}.jpg", quality=95)
        make = partial(_Job, size=size, device=where.type, threads=threads, folder=folder)
        facts = make(section="arithmetic", recipe="")
        rows = _in_process(_arithmetic, facts)
        for section, recipes in RECIPES.items():
            for repeat, recipe in ((repeat, recipe) for repeat in range(repeats) for recipe in recipes):
                print(f"{section}, {recipe}, process {repeat + 1} of {repeats}", flush=True)
                rows += _in_process(_measured, make(section=section, recipe=recipe))
    told = {"size": size, "batch": "{} x {}".format(*facts.sizes[0]), "repeats": repeats, "device": here["device"]}
    told |= {"threads": threads, "torch": here["packages"]["torch"]}
    told |= {"commit": here["commit"], "dirty": here["dirty"], "date": time_stamp()}
    frame = _summary(pd.DataFrame(rows).reindex(columns=COLUMNS)).assign(**told)
    print(frame[COLUMNS[1:]].to_string(index=False, na_rep="", float_format="{:,.3f}".format))
    slug = re.sub(r"[^a-z0-9]+", "-", here["device"].lower()).strip("-")
    file = Path(out).expanduser() / f"{slug}-{size}.csv"
    write_atomically(file, frame.to_csv(index=False, float_format="%.6g").encode())
    print(file)
    return file


def ranking_problem(queries: int, gallery: int) -> tuple[np.ndarray, RetrievalLabels]:
    """Return distances (queries, gallery) float32 without ties in a row, and labels as Market-1501 has them."""
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
    # all others stay at whole numbers; a correct match comes early and is tied with none of them
    places[right] = places[right] / 8 + 1 / 64
    return places / np.float32(gallery), labels


def _in_process(measure: Callable[[_Job], list[dict[str, Any]]], job: _Job) -> list[dict[str, Any]]:
    """Measure a job in a fresh process with its number of threads; return rows by the names of COLUMNS."""
    env = {} if job.section == "busy neighbour" else {"OMP_NUM_THREADS": str(job.threads)}
    with ProcessPoolExecutor(max_workers=1, env=env) as pool:
        rows: list[dict[str, Any]] = pool.submit(measure, job).result()
    return [{"section": job.section, "recipe": job.recipe} | row for row in rows]


def _arithmetic(job: _Job) -> list[dict[str, Any]]:
    """Count what PS-HRNet computes at least, one operation for each multiplication and addition; time large products.

    On a GPU float32 matrices are multiplied in TF32, as cuDNN convolves them by default.
    """
    device, rows = torch.device(job.device), list[dict[str, Any]]()
    side = 8192 if job.device == "cuda" else 256 if job.size == "smoke" else 2048
    torch.set_float32_matmul_precision("high" if job.device == "cuda" else "highest")
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(side, side).to(device, dtype) for _ in range(2))
        seconds = min(seconds_of(partial(torch.matmul, left, right), device) for _ in range(11))
        rows.append(_row(PEAKS[precision], "GFLOP", seconds, 2 * side**3 / 1e9))
    counts = method_counts(job.run())
    training, embedding = 2e-9 * counts["training_multiply_adds"], 4e-9 * counts["embedding_multiply_adds"]
    found = ((COUNTED["step"], training), (COUNTED["embedding"], embedding))
    return rows + [{"case": case, "unit": "", "gflop": number} for case, number in found]


def _measured(job: _Job) -> list[dict[str, Any]]:
    if not job.plain:
        keep_freed_memory()
    sections = {"step": _step, "epoch": _epoch, "embedding": _embedding, "ranking": _ranking, "busy neighbour": _beside}
    return [sections[job.section](job) | {"peak_mebibytes": _peak_mebibytes(job)}]


def _step(job: _Job) -> dict[str, Any]:
    step, batch = job.stepper(job.method()), job.noise()
    return _row("PS-HRNet, training step", "pairs", _seconds(lambda: step(batch), job), len(batch.labels))


def _embedding(job: _Job) -> dict[str, Any]:
    method, batch = job.method().eval(), job.noise()
    bf16 = (job.precision if job.plain else effective_precision(job.precision, torch.device(job.device))) == "bf16"

    @torch.inference_mode(not job.plain)
    @torch.no_grad()
    def embed() -> None:
        with torch.autocast(job.device, torch.bfloat16, enabled=bf16):
            features = (method.embed(images, batch.rates).float() for images in (batch.low, batch.low.flip(3)))
            torch.stack(list(features)).sum(0).cpu()

    seconds = _seconds(embed, job)
    return _row("PS-HRNet, images and their mirror images, of noise", "images", seconds, len(batch.labels))


def _epoch(job: _Job) -> dict[str, Any]:
    """Time a short epoch with data, after what happens once per training: the first step, the pairs made resident."""
    run, folder, device, method = job.run(), Path(job.folder), torch.device(job.device), job.method()
    batch, (identities, images) = job.sizes
    numbers = np.arange(identities * images * CAMERAS)
    rows = {"path": [f"{number % PICTURES:04d}.jpg" for number in numbers], "rate": 1.0 + numbers % 4, "role": "train"}
    rows |= {"identity": numbers // (images * CAMERAS), "camera": numbers % CAMERAS}
    table = ImageTable(name="benchmark", rows=pd.DataFrame(rows), source=FolderSource(folder))
    dataset = PairDataset(table, PixelCache(table, folder / "pixels"), run.size, run.augmentation, seed=0)
    sampler = IdentitySampler(dataset.labels.tolist(), *batch, seed=0)
    if job.plain:
        step = job.stepper(method)
        step(job.noise())
        workers = min(4, os.cpu_count() or 1)  # loader processes, as the recipes of the field have it
        pairs = PlainPairs(dataset, table)
        loader = DataLoader(pairs, batch_sampler=sampler, num_workers=workers, pin_memory=job.device == "cuda")
        seconds = seconds_of(lambda: [step(batch) for batch in on_device(loader, device)], device)
    else:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:  # without the checkpoint of another process
            folder = Path(fresh)
            log = train(method, dataset, run.schedule, seed=0, device=device, folder=folder, report=lambda line: None)
        seconds = float(log.epochs["seconds"].iloc[1])
    case = f"PS-HRNet, epoch of {len(sampler)} steps with data"
    return _row(case, "pairs", seconds / len(sampler), batch[0] * batch[1])


def _beside(job: _Job) -> dict[str, Any]:
    """Time an epoch, alone or while another process computes without end."""
    if job.recipe == "alone":
        return _epoch(job)
    with subprocess.Popen([sys.executable, "-c", BUSY]) as neighbour:
        try:
            return _epoch(job)
        finally:
            neighbour.kill()


def _ranking(job: _Job) -> dict[str, Any]:
    distances, labels = ranking_problem(*((40, 300) if job.size == "smoke" else (3368, 15913)))
    clock = time.perf_counter()
    if job.plain:
        scores = plain_scores(distances, labels)
    else:
        found = multi_shot(distances, labels)
        scores = dict(found.loc[found["rate"].isna(), ["metric", "value"]].itertuples(index=False, name=None))
    seconds, case = time.perf_counter() - clock, "scores of {:,} queries x {:,} images".format(*distances.shape)
    return _row(case, "queries", seconds, len(distances)) | {name: scores[name] for name in SCORES}


def _row(case: str, unit: str, seconds: float, count: float) -> dict[str, Any]:
    return {"case": case, "unit": unit, "per_second": count / seconds, "milliseconds": 1000 * seconds}


def _seconds(action: Callable[[], object], job: _Job) -> float:
    """Return the shortest duration of an action; on a GPU ten are timed together, as to wait after each takes time."""
    together = 10 if job.device == "cuda" else 1
    return fastest_seconds(lambda: [action() for _ in range(together)], torch.device(job.device), 5) / together


def _peak_mebibytes(job: _Job) -> float | None:
    """Return the most memory handed out on a GPU, else the most this process ever had; None where it is not told."""
    if job.device == "cuda" and job.section != "ranking":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")  # getrusage would keep the peak of the process that started this one
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


def _summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of the repeats, each recipe's ratio to the first, and the share of the arithmetic alone."""
    for name, values in frame[SCORES].items():
        if values.max() - values.min() > 1e-9:
            raise InputError(f"the evaluations disagree on {name}: {', '.join(map(str, values.dropna()))}")
    names = ["section", "case", "recipe", "unit"]
    frame = frame.groupby(names, sort=False)[NUMBERS].median().reset_index()
    measured = frame["section"] != "arithmetic"
    facts = frame[~measured].set_index("case")
    precisions = ["bf16" if recipe in ("fast", "plain autocast") else "fp32" for recipe in frame["recipe"]]
    peaks = facts["per_second"].reindex([PEAKS[precision] for precision in precisions]).to_numpy()
    operations = facts["gflop"].reindex(frame["section"].map(COUNTED)).to_numpy()
    ratio = frame["per_second"] / frame.groupby("section")["per_second"].transform("first")
    return frame.assign(ratio=ratio.where(measured), floor_fraction=operations * frame["per_second"] / peaks)
