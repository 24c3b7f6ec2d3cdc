"""Sentences about our own numbers, computed from records, so that a notebook never claims what was not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from crreid.data.prepare import PreparedData
from crreid.records import Record
from crreid.study.pictures import RestoredImage
from crreid.study.rates import mean_rank1, rank1_noise, unlike_starts, verdict

__all__ = [
    "ablation_conclusion",
    "chance_rank1",
    "cost_conclusion",
    "grid_conclusion",
    "image_quality_conclusion",
    "member_conclusion",
    "order_conclusion",
    "protocol_conclusion",
    "resolution_conclusion",
    "restoration_conclusion",
]


def chance_rank1(data: PreparedData) -> float:
    """Rank-1 in per cent of a random order: the mean share of right images in the gallery.

    As in the scores, gallery images of a query's own identity and camera do not count, nor do queries without a right
    image.
    """
    gallery = data.gallery.rows
    by_identity = gallery[gallery["role"] == "gallery"].groupby("identity").size()
    by_both = gallery.groupby(["identity", "camera"]).size()
    shares = []
    for identity, camera in data.query.rows[["identity", "camera"]].itertuples(index=False):
        same_camera = int(by_both.get((identity, camera), 0))
        right = int(by_identity.get(identity, 0)) - same_camera
        if right:
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
    means = {row: mean_rank1(of_row) for row, of_row in records.items()}
    noise, how = _noise(records)
    steps = [("SR", "ID", "SR+ID"), ("PS", "SR+ID", "SR+ID+PS")]
    lines = [
        f"- {name} adds **{means[after] - means[before]:+.1f}** points of rank-1 ({before} {means[before]:.1f}, "
        f"{after} {means[after]:.1f}): {verdict(means[after] - means[before], noise)}."
        for name, before, after in steps
    ]
    teacher, full = means["HRNet-ReID-H alone"], means["SR+ID+PS"]
    lines.append(
        f"- The full system is **{full - teacher:+.1f}** points from its teacher alone, which never saw a blurred "
        f"image ({teacher:.1f}): {verdict(full - teacher, noise)}."
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


def order_conclusion(records: dict[str, list[Record]], published: Mapping[str, float]) -> str:
    """Our order of the rows by rank-1, and on how many pairs of rows it can be told from the paper's.

    Args:
        records: Of every row.
        published: Rank-1 in per cent of rows that the paper has; may be empty.
    """
    means = {row: mean_rank1(of_row) for row, of_row in records.items()}
    noise, how = _noise(records)
    ordered = sorted(means, key=lambda row: -means[row])
    best, second = ordered[0], ordered[1]
    lead = means[best] - means[second]
    lines = [
        f"- By rank-1: {', '.join(f'{row} {means[row]:.1f}' for row in ordered)}.",
        f"- **{best}** leads {second} by {lead:.1f} points: {verdict(lead, noise)}.",
    ]
    pairs = [pair for pair in combinations(means, 2) if all(row in published for row in pair)]
    clear = [(one, two) for one, two in pairs if abs(means[one] - means[two]) > noise]
    agreeing = [pair for pair in clear if (means[pair[0]] - means[pair[1]]) * _gap(published, pair) > 0]
    if pairs:
        lines.append(
            f"- Of {len(pairs)} pairs of rows that the paper orders, ours differ by more than the noise in "
            f"**{len(clear)}**, and **{len(agreeing)}** of these stand as the paper has them."
        )
    lines += [f"- {sentence}" for sentence in unlike_starts(records)]
    return "\n".join([*lines, "", f"A difference counts here if it exceeds {noise:.1f} points: {how}."])


def protocol_conclusion(records: dict[str, list[Record]]) -> str:
    """How far single-shot and multi-shot scores of the same networks lie apart."""
    gaps = [
        record.score("rank1", protocol="single_shot") - record.score("rank1")
        for of_row in records.values()
        for record in of_row
    ]
    return (
        f"The same networks score **{np.mean(gaps):+.1f}** points of rank-1 in single-shot against multi-shot tests "
        f"(from {min(gaps):+.1f} to {max(gaps):+.1f}): numbers of the two protocols must not share a column."
    )


def image_quality_conclusion(quality: pd.DataFrame, records: dict[str, list[Record]]) -> str:
    """Whether better images are found better, and what the identity losses cost the image.

    Args:
        quality: What `image_quality` of `crreid.study.restoration` returned.
        records: Of its rows but the input.
    """
    psnr = quality.groupby("row", sort=False)["psnr"].mean()
    given = psnr.index[0]
    ordered = sorted(records, key=lambda row: -psnr[row])
    found = sorted(records, key=lambda row: -mean_rank1(records[row]))
    better = [row for row in ordered if psnr[row] > psnr[given]]
    lines = [
        f"- Mean PSNR over the rates: {', '.join(f'{row} {psnr[row]:.1f}' for row in ordered)} dB; what the networks "
        f"are given has {psnr[given]:.1f} dB. Nearer to the original than that: {', '.join(better) or 'none'}.",
        f"- By rank-1: {', '.join(f'{row} {mean_rank1(records[row]):.1f}' for row in found)}.",
    ]
    noise, _ = _noise(records)
    lead = mean_rank1(records[found[0]]) - mean_rank1(records[ordered[0]])
    if ordered[0] == found[0]:
        lines.append(f"- The best image and the best rank-1 are both {ordered[0]}'s.")
    else:
        lines.append(
            f"- The best images are {ordered[0]}'s, the best rank-1 is {found[0]}'s, {lead:.1f} points above theirs: "
            f"{verdict(lead, noise)}{', so a likeness is no identity' if lead > noise else ''}."
        )
    return "\n".join(lines)


def grid_conclusion(shown: pd.DataFrame) -> str:
    """Which restoration came nearest to the original in the images shown.

    Args:
        shown: What `grid_quality` of `crreid.study.restoration` returned.
    """
    best = shown.loc[shown.groupby(["query", "rate"])["psnr"].idxmax(), "row"].value_counts()
    total = int(best.sum())
    parts = [f"{name} in {count}" for name, count in best.items()]
    return f"Of the {total} images shown, the highest PSNR belongs to {', '.join(parts)}."


def cost_conclusion(costs: pd.DataFrame, records: dict[str, list[Record]]) -> str:
    """What "lighter than RCAN" amounts to, in rank-1 and multiply-adds.

    Args:
        costs: Columns module, parameters, multiply_adds, latency_milliseconds.
        records: Of every row of Table IV.
    """
    table = costs.set_index("module")
    ours, theirs = table.loc["VDSR-CA+ResNet-50"], table.loc["RCAN+ResNet-50"]
    gain = mean_rank1(records["VDSR-CA+ResNet-50"]) - mean_rank1(records["RCAN+ResNet-50"])
    noise, _ = _noise(records)
    return (
        "At the sizes run here VDSR-CA has "
        f"**{ours['parameters'] / theirs['parameters']:.2f}** times RCAN's parameters, "
        f"**{ours['multiply_adds'] / theirs['multiply_adds']:.2f}** times its multiply-adds and "
        f"**{ours['latency_milliseconds'] / theirs['latency_milliseconds']:.2f}** times its latency, for "
        f"**{gain:+.1f}** points of rank-1 ({verdict(gain, noise)})."
    )


def member_conclusion(contributions: pd.DataFrame) -> str:
    """Which member of L_PS adds most, over the sets that were tried.

    Args:
        contributions: What `member_contributions` of `crreid.figures.sequence_sets` returned.
    """
    known = contributions.dropna(subset="contribution").sort_values("contribution", ascending=False)
    everywhere = contributions.loc[contributions["contribution"].isna(), "member"].tolist()
    parts = [f"{row.member} {row.contribution:+.1f}" for row in known.itertuples()]
    text = f"Mean rank-1 of the sets with a member less that of the sets without it: {', '.join(parts)}."
    if everywhere:
        text += f" No set is without {' or '.join(everywhere)}, so that nothing can be said of it."
    sets = int((contributions["sets_with"] + contributions["sets_without"]).max())
    return text + (f" With {sets} of 63 sets this cannot tell the members apart." if sets < 63 else "")


def _gap(values: Mapping[str, float], pair: tuple[str, str]) -> float:
    return values[pair[0]] - values[pair[1]]


def _noise(records: dict[str, list[Record]]) -> tuple[float, str]:
    """Points of rank-1 that two rows may differ by without meaning anything, and where that comes from."""
    noise = max(rank1_noise(of_row, of_row) for of_row in records.values())  # of the row that is the least certain
    seeds = min(len(of_row) for of_row in records.values())
    if seeds > 1:
        return noise, f"two standard errors of a difference, from {seeds} seeds or from the number of queries"
    return noise, "two standard errors from the number of queries, for a single seed; another seed may move it further"
