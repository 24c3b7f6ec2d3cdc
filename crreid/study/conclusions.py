"""Sentences about our own numbers, computed from records, so that a notebook never claims what was not measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from crreid.data.prepare import PreparedData
from crreid.runs import Record
from crreid.study.pictures import RestoredImage

__all__ = ["ablation_conclusion", "chance_rank1", "resolution_conclusion", "restoration_conclusion"]


def chance_rank1(data: PreparedData) -> float:
    """Rank-1 in per cent of a random order: the mean share of right images in the gallery.

    Gallery images of a query's own identity and camera do not count, as in the scores.
    """
    gallery = data.gallery.rows
    by_identity = gallery[gallery["role"] == "gallery"].groupby("identity").size()
    by_both = gallery.groupby(["identity", "camera"]).size()
    shares = []
    for identity, camera in data.query.rows[["identity", "camera"]].itertuples(index=False):
        same_camera = int(by_both.get((identity, camera), 0))
        right = int(by_identity.get(identity, 0)) - same_camera
        shares.append(right / (len(gallery) - same_camera))
    return 100 * float(np.mean(shares))


def resolution_conclusion(records: list[Record], chance: float) -> str:
    """What low resolution costs a network that was trained on high-resolution images."""
    sharp, rate4 = (
        float(np.mean([record.score("rank1", test=f"rate {rate}") for record in records])) for rate in (1, 4)
    )
    verdict = "far above" if rate4 > 5 * chance else "not clearly above"
    return (
        f"A network trained on sharp images finds the person at rank 1 for **{sharp:.1f} %** of sharp queries and for "
        f"**{rate4:.1f} %** of the same queries shrunk by 4: resolution alone costs **{sharp - rate4:.1f} points**. A "
        f"random order would find {chance:.1f} %, so the blurred queries are still {verdict} chance."
    )


def ablation_conclusion(records: dict[str, list[Record]]) -> str:
    """What each loss adds in our numbers, with the noise to weigh it by."""
    means = {row: float(np.mean([record.score("rank1") for record in of_row])) for row, of_row in records.items()}
    noise, how = _noise(records)
    steps = [("SR", "ID", "SR+ID"), ("PS", "SR+ID", "SR+ID+PS")]
    lines = [
        f"- {name} adds **{means[after] - means[before]:+.1f}** points of rank-1 ({before} {means[before]:.1f}, "
        f"{after} {means[after]:.1f}): {_verdict(means[after] - means[before], noise)}."
        for name, before, after in steps
    ]
    teacher, full = means["HRNet-ReID-H alone"], means["SR+ID+PS"]
    lines.append(
        f"- The full system is **{full - teacher:+.1f}** points from its teacher alone, which never saw a blurred "
        f"image ({teacher:.1f}): {_verdict(full - teacher, noise)}."
    )
    return "\n".join([*lines, "", f"A difference counts here if it exceeds {noise:.1f} points: {how}."])


def restoration_conclusion(images: Sequence[RestoredImage]) -> str:
    """How much nearer to the original the restored images are than what came in, in grey levels of 255."""
    pairs = [(image.low, image.restored, image.high) for image in images if image.restored is not None]
    if not pairs:
        return "This method restores nothing."
    before = float(np.mean([np.abs(low.astype(float) - high).mean() for low, _, high in pairs]))
    after = float(np.mean([np.abs(restored.astype(float) - high).mean() for _, restored, high in pairs]))
    change = 100 * (after - before) / before
    verdict = "clearly nearer to the original" if change <= -10 else "a little nearer to the original"
    if change >= 0:
        verdict = "no nearer to the original than the enlarged image"
    return (
        f"Over {len(pairs)} images the mean absolute error is **{before:.1f}** grey levels before restoration and "
        f"**{after:.1f}** after it ({change:+.0f} %): {verdict}."
    )


def _noise(records: dict[str, list[Record]]) -> tuple[float, str]:
    """Points of rank-1 that two rows may differ by without meaning anything, and where that comes from."""
    seeds = min(len(of_row) for of_row in records.values())
    if seeds > 1:
        spread = max(float(np.std([record.score("rank1") for record in of_row], ddof=1)) for of_row in records.values())
        return 2 * spread * math.sqrt(2 / seeds), f"two standard errors of a difference over {seeds} seeds"
    widths = []
    for of_row in records.values():
        share = of_row[0].score("rank1") / 100
        queries = of_row[0].measured["scores"]["protocol"]["multi_shot"]["overall"]["queries"]
        widths.append(100 * math.sqrt(2 * share * (1 - share) / queries))
    how = "two standard errors from the number of queries, for a single seed; another seed may move it further"
    return 2 * max(widths), how


def _verdict(difference: float, noise: float) -> str:
    if abs(difference) <= noise:
        return "within the noise"
    return "more than the noise" if difference > 0 else "a loss, more than the noise"
