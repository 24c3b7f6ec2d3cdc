"""Pictures of people: whom to show, and what a network found for them or made of them, ready for one grid.

Each function returns the arguments of `crreid.figures.images.images` that it knows: `images(**ranked_lists(...))`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from crreid.data.degradation import degrade, enlarge
from crreid.data.prepare import PreparedData
from crreid.evaluation.evaluate import query_distances
from crreid.evaluation.image_quality import peak_signal_to_noise_ratio, restore_pixels
from crreid.evaluation.ranking import Distances, RetrievalLabels, match_positions, rank_lists
from crreid.runs import TrainedRun


def persons(data: PreparedData, count: int, *, per_camera: int = 2) -> dict[str, Any]:
    """Return high-resolution images of the first training persons, a row per person, its images by camera."""
    rows = data.train.rows
    cameras = sorted(rows["camera"].unique())
    grid = []
    for identity in sorted(rows["identity"].unique())[:count]:
        line: list[Any] = []
        for camera in cameras:
            paths = rows.loc[(rows["identity"] == identity) & (rows["camera"] == camera), "path"].tolist()[:per_camera]
            line += [data.pixels.read(path) for path in paths] + [None] * (per_camera - len(paths))
        grid.append(line)
    heads = [f"camera {camera}" if place == 0 else "" for camera in cameras for place in range(per_camera)]
    return {"rows": grid, "columns": heads}


def typical_queries(result: TrainedRun, count: int) -> list[int]:
    """Return queries from the easiest to the hardest, evenly spread over the ranks of their first correct match.

    So the share of pictures with a correct match at rank 1 is about rank-1, whichever network is asked.

    Returns:
        Numbers of rows of `result.data.query`.
    """
    distances, labels = _distances(result)
    positions = match_positions(distances, labels)
    ordered = sorted((found[0], query) for query, found in enumerate(positions) if len(found))
    count = min(count, len(ordered))
    return [ordered[int((place + 0.5) / count * len(ordered))][1] for place in range(count)]


def ranked_lists(result: TrainedRun, queries: Sequence[int], *, length: int = 10) -> dict[str, Any]:
    """Return a row per query: as the network sees it, its original (HR), which it does not see, and the nearest images.

    The labels tell the query's downsampling rate and the rank of its first correct match.
    """
    data, run = result.data, result.run
    distances, labels = _distances(result)
    found, positions = rank_lists(distances, labels, length=length), match_positions(distances, labels)
    grid, frames, texts = [], [], []
    for query in queries:
        path, rate = data.query.rows[["path", "rate"]].iloc[query]
        original = data.pixels.read(path)
        mine = found[found["query"] == query]
        nearest = [data.pixels.read(data.gallery.rows["path"].iloc[place]) for place in mine["gallery"]]
        missing: list[Any] = [None] * (length - len(nearest))
        grid.append([degrade(original, rate, run.size, data.query.degradation), original, None, *nearest, *missing])
        frames.append([None, None, None, *mine["correct"].tolist(), *missing])
        first = f"first ✓ at {positions[query][0] + 1}" if len(positions[query]) else "no ✓"
        texts.append(f"rate {rate:g}\n{first}")
    heads = ["query", "HR", "", *map(str, range(1, length + 1))]
    return {"rows": grid, "columns": heads, "labels": texts, "frames": frames}


def restored_images(
    results: Mapping[str, TrainedRun], queries: Sequence[int], rates: Sequence[float]
) -> dict[str, Any]:
    """Return a row per query and rate: input, what each network restores, ground truth; PSNR (dB) as captions.

    Args:
        results: Trained networks by their rows' names, on the same data and of one input size.
        queries: Numbers of rows of the queries.
        rates: Downsampling rates.
    """
    first = next(iter(results.values()))
    data, size = first.data, first.run.size
    grid, captions, labels = [], [], []
    for query in queries:
        image = data.pixels.read(data.query.rows["path"].iloc[query])
        high = enlarge(image, size, data.query.degradation)
        for rate in rates:
            # each network by the filters of its own data, as it was trained
            lows = [degrade(image, rate, size, result.data.query.degradation) for result in results.values()]
            made = [_restored(result, low) for result, low in zip(results.values(), lows, strict=True)]
            line = [lows[-1], *(low if one is None else one for one, low in zip(made, lows, strict=True))]
            grid.append([*line, high])
            captions.append([*(f"{peak_signal_to_noise_ratio(high, one):.1f} dB" for one in line), ""])
            labels.append(f"rate {rate:g}")
    return {"rows": grid, "columns": ["input", *results, "ground truth"], "labels": labels, "captions": captions}


@lru_cache(maxsize=1)  # all images are embedded for it, and a notebook asks more than once
def _distances(result: TrainedRun) -> tuple[Distances, RetrievalLabels]:
    data, run = result.data, result.run
    options: dict[str, Any] = {"size": run.size, "device": result.device, "precision": run.schedule.precision}
    distances = query_distances(result.method, data, data.query, run.evaluation, **options)
    return distances, RetrievalLabels.from_tables(data.query, data.gallery)


def _restored(result: TrainedRun, image: np.ndarray) -> np.ndarray | None:
    precision = result.run.schedule.precision
    restored = restore_pixels(result.method, image[None], device=result.device, precision=precision)
    return None if restored is None else restored[0]
