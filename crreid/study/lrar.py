"""What LRAR's mechanisms add, what a wrong level costs, and what its masks learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd
import torch

from crreid.errors import InputError
from crreid.methods.lrar import LRAR, LRARSettings, level_of_rate
from crreid.records import Record
from crreid.runs import Run, TrainedRun
from crreid.study.rates import at_rate, listed, mean_rank1, rank1_by_rate, rank1_noise, signed, verdict
from crreid.study.tables import mean_and_deviation

__all__ = [
    "learned_masks",
    "lrar_conclusion",
    "mask_conclusion",
    "mask_summary",
    "shown_masks",
    "wrong_level_conclusion",
    "wrong_level_scores",
    "wrong_level_table",
]


def lrar_conclusion(records: Mapping[str, Sequence[Record]]) -> str:
    """What each mechanism adds, over the protocol and at which rates, and whether the whole is worth it.

    Args:
        records: Of the baseline, of each further mechanism in order, and last of the whole LRAR.
    """
    rows = list(records)
    lines = [f"- {_step(records, before, after)}" for before, after in pairwise(rows)]
    baseline, whole = rows[0], rows[-1]
    gain, noise = _difference(records, baseline, whole)
    said = f"{verdict(gain, noise)}: together the mechanisms help"
    if abs(gain) <= noise:
        said = "within the noise, so that these numbers do not show that the mechanisms help"
    elif gain < 0:
        said = "a loss, more than the noise: at this size **the plain baseline is the better system**"
    by_rate = rank1_by_rate(records)
    gains = by_rate[whole] - by_rate[baseline]
    parts = [f"{signed(value)} at rate {rate:g}" for rate, value in gains.items()]
    lines.append(
        f"- The whole LRAR is **{signed(gain)}** points of rank-1 from its baseline "
        f"({mean_rank1(records[baseline]):.1f} to {mean_rank1(records[whole]):.1f}): {said}. With all queries at one "
        f"rate: {', '.join(parts)}; {_where_clear(records, baseline, whole)}."
    )
    return "\n".join([*lines, "", _noise_said(records, noise)])


def wrong_level_scores(runs: Mapping[str, Sequence[Run]], records: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """Rank-1 with the right and with a wrong level, one line a record and rate.

    Args:
        runs: Of the whole LRAR and of the same told wrong rates, in this order.
        records: Of the same rows.

    Returns:
        Columns row, seed, record, rate, level (1 the lowest), told (the level that was used), rank1 in per cent, right
        (rank-1 of the same seed with the right level) and noise (of their difference).

    Raises:
        InputError: A row is no LRAR.
    """
    right = next(iter(runs))
    rates = rank1_by_rate({right: records[right]}).index.to_list()
    levels = _levels(runs[right][0], rates)
    lines = []
    for row, of_row in runs.items():
        for run, record, truth in zip(of_row, records[row], records[right], strict=True):
            for rate, level, told in zip(rates, levels, _levels(run, rates), strict=True):
                test = at_rate(rate)
                noise = rank1_noise(records[row], records[right], test)
                scores = {"rank1": record.score("rank1", test=test), "right": truth.score("rank1", test=test)}
                origin = {"row": row, "seed": run.seed, "record": record.digest}
                lines.append(origin | {"rate": rate, "level": level, "told": told} | scores | {"noise": noise})
    return pd.DataFrame(lines)


def wrong_level_table(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a rate, one column a row; where the wrong rate has the same level, the table says so.

    Args:
        scores: What `wrong_level_scores` returned.
    """
    table = pd.DataFrame(
        {"rate": [f"{rate:g}" for rate in scores["rate"].unique()], "level": scores.groupby("rate")["level"].first()}
    )
    for place, row in enumerate(scores["row"].unique()):
        cells = []
        for _, lines in scores[scores["row"] == row].groupby("rate"):
            text, told = mean_and_deviation(lines["rank1"]), lines["told"].iloc[0]
            wrong = "same level" if told == lines["level"].iloc[0] else f"{text} (level {told})"
            cells.append(wrong if place else text)
        table["rank-1, told right" if place == 0 else f"rank-1, {row}"] = cells
    return table.reset_index(drop=True)


def wrong_level_conclusion(scores: pd.DataFrame) -> str:
    """How much rank-1 a level costs that is wrong by one.

    Args:
        scores: What `wrong_level_scores` returned.
    """
    lines = []
    for row, of_row in list(scores.groupby("row", sort=False))[1:]:
        same = [f"{rate:g}" for rate in of_row.loc[of_row["told"] == of_row["level"], "rate"].unique()]
        changed = of_row[of_row["told"] != of_row["level"]]
        if changed.empty:
            lines.append(f"- {row}: no rate tested has another level then, so that nothing can be said of it.")
            continue
        means = changed.assign(change=changed["rank1"] - changed["right"]).groupby("rate")[["change", "noise"]].mean()
        clear = [f"{rate:g}" for rate, change, noise in means.itertuples() if abs(change) > noise]
        parts = [f"{signed(change)} at rate {rate:g}" for rate, change in means["change"].items()]
        said = f"more than the noise at {_rates_said(clear)}" if clear else "nowhere more than the noise"
        kept = f" At {_rates_said(same)} the level stays what it is." if same else ""
        lines.append(
            f"- {row}: **{signed(means['change'].mean())}** points of rank-1 ({', '.join(parts)}), {said}.{kept}"
        )
    return "\n".join(lines)


def learned_masks(result: TrainedRun) -> pd.DataFrame:
    """The masks of a trained LRAR beside those that it started with.

    Returns:
        Columns of `LRAR.mask_table`, and start: the same element before training.

    Raises:
        InputError: The run is no LRAR, or one without masks.
    """
    settings, method = result.run.method, result.method
    if not isinstance(settings, LRARSettings) or not isinstance(method, LRAR) or method.masks is None:
        raise InputError(f"{settings.title} has no masks; expected a run of LRAR with masks")
    identities = method.network.classifier.weight.shape[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(result.run.seed)  # as training does
        start = settings.build(identities).mask_table()
    return method.mask_table().assign(start=start["value"])


def mask_summary(masks: Mapping[str, pd.DataFrame], records: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """How far the masks of each row moved, one line a row and level.

    Args:
        masks: What `learned_masks` returned, of the first seed.
        records: Of the same rows.

    Returns:
        Columns row, seed, record, level, rate, start and mean (means over all elements before and after training),
        moved (mean absolute change of an element) and spread (standard deviation of the elements before training).
    """
    lines = []
    for row, table in masks.items():
        record = records[row][0]
        origin = {"row": row, "seed": record.run["seed"], "record": record.digest}
        for (level, rate), of_level in table.groupby(["level", "rate"]):
            values = {"start": of_level["start"].mean(), "mean": of_level["value"].mean()}
            values["moved"] = (of_level["value"] - of_level["start"]).abs().mean()
            lines.append(origin | {"level": level, "rate": rate} | values | {"spread": of_level["start"].std(ddof=0)})
    return pd.DataFrame(lines)


def shown_masks(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary as a reader sees it: three decimals, the movement in per cent of the spread."""
    shown = summary[["row", "level"]].assign(rate=summary["rate"].map("{:g}".format))
    for column, title in (("start", "mean before"), ("spread", "spread before"), ("mean", "mean after")):
        shown[title] = summary[column].map("{:.3f}".format)
    shown["moved (per cent of the spread)"] = (100 * summary["moved"] / summary["spread"]).map("{:.1f}".format)
    return shown


def mask_conclusion(summary: pd.DataFrame) -> str:
    """Whether training shaped the masks or they still are what was drawn.

    Args:
        summary: What `mask_summary` returned.
    """
    lines = []
    for row, of_row in summary.groupby("row", sort=False):
        moved, spread = of_row["moved"].mean(), of_row["spread"].mean()
        low, high = (of_row.loc[of_row["level"].agg(name), "mean"] for name in ("idxmin", "idxmax"))
        said = "so that training shaped them"
        if moved < spread / 2:
            said = "so that they mostly still are what was drawn"
        if moved < spread / 10:
            said = "so that they are what was drawn: **nothing was learned in them** that could tell levels apart"
        lines.append(
            f"- {row}: an element of a mask moved by {moved:.4f} on average, **{100 * moved / spread:.1f} per cent** "
            f"of the spread that it was drawn with ({spread:.3f}), {said}. Mean of the lowest level {low:.3f}, of the "
            f"sharpest {high:.3f}."
        )
    return "\n".join(lines)


def _step(records: Mapping[str, Sequence[Record]], before: str, after: str) -> str:
    """What one mechanism adds to the row before it."""
    gain, noise = _difference(records, before, after)
    name = after.removeprefix("+ ").partition(" = ")[0]
    return (
        f"*{name}* adds **{signed(gain)}** points of rank-1 ({mean_rank1(records[before]):.1f} to "
        f"{mean_rank1(records[after]):.1f}): {verdict(gain, noise)}; with all queries at one rate, "
        f"{_where_clear(records, before, after)}."
    )


def _difference(records: Mapping[str, Sequence[Record]], before: str, after: str) -> tuple[float, float]:
    """Points of rank-1 of the protocol between two rows, and their noise."""
    one, other = records[before], records[after]
    return mean_rank1(other) - mean_rank1(one), rank1_noise(one, other)


def _where_clear(records: Mapping[str, Sequence[Record]], before: str, after: str) -> str:
    """The rates at which two rows differ by more than the noise."""
    by_rate = rank1_by_rate({row: records[row] for row in (before, after)})
    parts = []
    for rate, one, other in by_rate.itertuples():
        if abs(other - one) > rank1_noise(records[before], records[after], at_rate(rate)):
            parts.append(f"{signed(other - one)} at rate {rate:g}")
    return f"more than the noise: {', '.join(parts)}" if parts else "nowhere more than the noise"


def _noise_said(records: Mapping[str, Sequence[Record]], noise: float) -> str:
    seeds = min(len(of_row) for of_row in records.values())
    how = "for a single seed; another seed may move it further" if seeds == 1 else f"and the spread of {seeds} seeds"
    return (
        f"A difference counts here if it exceeds two standard errors from the number of queries, {how}: {noise:.1f} "
        "points between LRAR and its baseline over the protocol."
    )


def _levels(run: Run, rates: Sequence[float]) -> list[int]:
    """The level, 1 the lowest, that LRAR takes queries of some rates for."""
    if not isinstance(run.method, LRARSettings):
        raise InputError(f"{run.method.title} has no levels; expected a run of LRAR")
    told = (torch.tensor(rates) + run.evaluation.rate_error).clamp(min=1)
    return [int(level) + 1 for level in level_of_rate(told, run.method.rates)]


def _rates_said(rates: Sequence[str]) -> str:
    return f"rate{'s' if len(rates) > 1 else ''} {listed(rates)}"
