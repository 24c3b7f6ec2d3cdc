"""What our numbers say about CAD-Net: its losses, its two descriptors, its images, whether f hides the resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from crreid.records import Record
from crreid.study.cad_net import HIGH_OR_LOW, SEEN_RATES, UNSEEN_RATE
from crreid.study.rates import at_rate, listed, mean_rank1, rank1_noise, signed, verdict
from crreid.study.restoration import INPUT

__all__ = ["loss_conclusion", "parts_conclusion", "probe_conclusion", "recovery_conclusion"]

WHOLE, WITHOUT = "CAD-Net", "CAD-Net without D_F"
TESTS = {"rates 2, 3, 4": SEEN_RATES, "rate 8": (UNSEEN_RATE,)}


def loss_conclusion(records: Mapping[str, Sequence[Record]], chance: float) -> str:
    """What each term of the loss adds at the seen rates and at the unseen one, and how other systems compare.

    Args:
        records: Of CAD-Net, of the same without some terms (`CAD-Net without ...`), and of others.
        chance: Rank-1 in per cent of a random order.
    """
    lines = []
    for row in (row for row in records if row.startswith(f"{WHOLE} without ")):
        term = row.removeprefix(f"{WHOLE} without ")
        lines.append(f"- *{term}* adds {_compared(records, row, WHOLE)}.")
        if term == "L_cls":
            alone = _rank1(records[row], SEEN_RATES)
            lines[-1] += f" What is left without it, {alone:.1f}, stands beside a chance of {chance:.1f}."
    own = (f"{WHOLE} without ", f"{WHOLE}, f alone", f"{WHOLE}, g alone")
    others = [row for row in records if row != WHOLE and not row.startswith(own)]
    lines += [f"- {WHOLE} against {row}: {_compared(records, row, WHOLE)}." for row in others]
    seeds = min(len(of_row) for of_row in records.values())
    how = f"or from the spread of {seeds} seeds"
    if seeds == 1:
        how = "for a single seed; another seed may move it further"
    noise = _noise(records[WHOLE], records[WHOLE], SEEN_RATES)
    return "\n".join(
        [
            *lines,
            "",
            "Rank-1, all queries at one rate each. A difference counts here if it exceeds two standard errors from the "
            f"number of queries, {how}: about {noise:.1f} points.",
        ]
    )


def parts_conclusion(records: Mapping[str, Sequence[Record]]) -> str:
    """Whether f and g complement each other: both together against the better of them.

    Args:
        records: With the rows `CAD-Net`, `CAD-Net, f alone` and `CAD-Net, g alone`.
    """
    names = {"f": f"{WHOLE}, f alone", "g": f"{WHOLE}, g alone", "both": WHOLE}
    lines = []
    for title, rates in TESTS.items():
        values = {part: _rank1(records[row], rates) for part, row in names.items()}
        better = "f" if values["f"] >= values["g"] else "g"
        gain = values["both"] - values[better]
        noise = _noise(records[WHOLE], records[names[better]], rates)
        said = "they complement each other"
        if gain < -noise:
            said = "the weaker one spoils the better one"
        elif gain <= noise:
            said = "that they complement each other, these numbers do not show"
        between = values["g"] - values["f"]
        step = verdict(between, _noise(records[names["f"]], records[names["g"]], rates))
        lines.append(
            f"- At {title}: f {values['f']:.1f}, g {values['g']:.1f}, both {values['both']:.1f}. g, from the recovered "
            f"image, is {signed(between)} points from f ({step}); both are **{signed(gain)}** points from {better}, "
            f"the better one ({verdict(gain, noise)}): {said}."
        )
    return "\n".join(lines)


def recovery_conclusion(quality: pd.DataFrame, records: Mapping[str, Sequence[Record]]) -> str:
    """How near the recovered images come to the originals, and whether better images go with better retrieval.

    Args:
        quality: What `poster_quality` of `crreid.study.cad_net` returned.
        records: Of its rows but the input.
    """
    lines = []
    for title, rates in TESTS.items():
        of_rates = quality[quality["rate"].isin(rates)]
        means = of_rates.groupby("row", sort=False)[["psnr", "ssim"]].mean()
        psnr, ssim = means["psnr"], means["ssim"]
        nearer = [str(row) for row in psnr.index if row != INPUT and psnr[row] > psnr[INPUT]]
        gain = psnr[WHOLE] - psnr[INPUT]
        said = "nearer to the original than its input" if gain > 0 else "**no nearer to the original than its input**"
        lines.append(
            f"- At {title} {WHOLE}'s image has {psnr[WHOLE]:.1f} dB and an SSIM of {ssim[WHOLE]:.3f}, what it is given "
            f"{psnr[INPUT]:.1f} dB and {ssim[INPUT]:.3f}: {said}. Above the input's PSNR: "
            f"{listed(nearer) if nearer else 'none'}."
        )
    family = [row for row in records if row in set(quality["row"]) and row.startswith(WHOLE)]
    seen = quality[quality["rate"].isin(SEEN_RATES)].groupby("row")["psnr"].mean()
    best, found = max(family, key=lambda row: seen[row]), max(family, key=lambda row: _rank1(records[row], SEEN_RATES))
    if best == found:
        lines.append(f"- Of CAD-Net's rows the best image and the best rank-1 at rates 2, 3, 4 are both {best}'s.")
    else:
        lead = _rank1(records[found], SEEN_RATES) - _rank1(records[best], SEEN_RATES)
        step = verdict(lead, _noise(records[found], records[best], SEEN_RATES))
        lines.append(
            f"- Of CAD-Net's rows at rates 2, 3, 4 the best images are {best}'s, the best rank-1 is {found}'s, "
            f"{lead:.1f} points above theirs: {step}."
        )
    return "\n".join(lines)


def probe_conclusion(probes: pd.DataFrame, part: str = "f") -> str:
    """Whether a part of the descriptor is blind to the resolution, and what D_F changes in that.

    Args:
        probes: What `resolution_probes` of `crreid.study.cad_net` returned, of CAD-Net with and without D_F.
        part: Of the descriptor.
    """
    lines = []
    for question, of_question in probes[probes["part"] == part].groupby("question", sort=False):
        accuracy = of_question.set_index(["row", "seed", "fold"])["accuracy"]
        chance = float(of_question["chance"].iloc[0])
        kept, without = accuracy[WHOLE], accuracy[WITHOUT]
        # the same folds of the same persons: fold by fold, what is hard for both cancels
        change, noise = float((kept - without).mean()), _three_errors(kept - without)
        effect = "D_F changes nothing that counts"
        if abs(change) > noise:
            effect = "D_F hides some of it" if change < 0 else "D_F does not hide it, there is even more to read"
        said = "within the noise" if abs(change) <= noise else "more than the noise"
        what = "high from low resolution" if question == HIGH_OR_LOW else "the rate"
        blind = _blindness(float(kept.mean()), chance, _three_errors(kept), part)
        lines.append(
            f"- A probe tells {what} from {part} for **{kept.mean():.1f} %** with D_F and {without.mean():.1f} % "
            f"without it, chance is {chance:.0f} %: {blind}. Change by D_F **{signed(change)}** points ({said}): "
            f"{effect}."
        )
    how = "The noise is three standard errors over the folds: they are few, and what they learn from overlaps."
    return "\n".join([*lines, "", how])


def _rank1(records: Sequence[Record], rates: Sequence[float]) -> float:
    """Rank-1 in per cent, mean over seeds and over tests with all queries at one rate each."""
    return float(np.mean([mean_rank1(records, at_rate(rate)) for rate in rates]))


def _noise(one: Sequence[Record], other: Sequence[Record], rates: Sequence[float]) -> float:
    """Mean of the tests' noise: they ask for the same queries, so that more of them make it hardly smaller."""
    return float(np.mean([rank1_noise(one, other, at_rate(rate)) for rate in rates]))


def _compared(records: Mapping[str, Sequence[Record]], before: str, after: str) -> str:
    """E.g. `**+3.1** points at rates 2, 3, 4 (40.0 to 43.1; within the noise) and **-1.0** points at rate 8 ...`."""
    parts = []
    for title, rates in TESTS.items():
        one, other = (_rank1(records[row], rates) for row in (before, after))
        step = verdict(other - one, _noise(records[before], records[after], rates))
        parts.append(f"**{signed(other - one)}** points at {title} ({one:.1f} to {other:.1f}; {step})")
    return " and ".join(parts)


def _three_errors(values: pd.Series[float]) -> float:
    """Of a mean; two would do for many values that know nothing of each other."""
    return 3 * float(values.std(ddof=1)) / math.sqrt(len(values))


def _blindness(accuracy: float, chance: float, noise: float, part: str) -> str:
    if accuracy - chance <= noise:
        return f"{part} is blind to it as far as a linear probe can see"
    if accuracy >= (100 + chance) / 2:
        return f"{part} is **not blind** to it, it is plain to read"
    return f"{part} is **not blind** to it, though it is hard to read"
