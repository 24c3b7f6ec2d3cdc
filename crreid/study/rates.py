"""Rows compared at single rates: every query shrunk by the same rate, and which differences the queries can carry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from crreid.errors import InputError
from crreid.records import Record
from crreid.study.tables import mean_and_deviation

__all__ = [
    "at_rate",
    "listed",
    "mean_rank1",
    "rank1_at_rates",
    "rank1_by_rate",
    "rank1_noise",
    "signed",
    "unlike_starts",
    "verdict",
]


def at_rate(rate: float) -> str:
    """The name in records of the test with all queries at one rate."""
    return f"rate {rate:g}"


def mean_rank1(records: Sequence[Record], test: str = "protocol") -> float:
    """Rank-1 in per cent, multi-shot, mean over seeds."""
    return float(np.mean([record.score("rank1", test=test) for record in records]))


def rank1_noise(one: Sequence[Record], other: Sequence[Record], test: str = "protocol") -> float:
    """Points of rank-1 that two rows may differ by without meaning anything: two standard errors of their difference.

    From the number of queries, each found or not (binomial), or from the spread of the seeds where that says more. Rows
    are asked the same queries, some easy for both and some hard, so that the true error is smaller: this is careful.
    """
    squares = 0.0
    for of_row in (one, other):
        share = mean_rank1(of_row, test) / 100
        queries = of_row[0].measured["scores"][test]["multi_shot"]["overall"]["queries"]
        variance = 1e4 * share * (1 - share) / queries
        if len(of_row) > 1:
            seeds = [record.score("rank1", test=test) for record in of_row]
            variance = max(variance, float(np.var(seeds, ddof=1)) / len(seeds))
        squares += variance
    return 2 * math.sqrt(squares)


def verdict(difference: float, noise: float) -> str:
    """A difference in words: within the noise, more than it, or a loss of more than it."""
    if abs(difference) <= noise:
        return "within the noise"
    return "more than the noise" if difference > 0 else "a loss, more than the noise"


def unlike_starts(records: Mapping[str, Sequence[Record]]) -> list[str]:
    """A sentence where some rows' backbones start from given weights and others' from random ones, else none."""
    random = [row for row, of_row in records.items() if of_row[0].run.get("weights", "random") == "random"]
    given = [row for row in records if row not in random]
    if not random or not given:
        return []
    return [
        f"The order is not that of the methods alone: {listed(given)} start{'s' if len(given) == 1 else ''} from given "
        f"weights, {listed(random)} from random ones."
    ]


def rank1_by_rate(records: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """Rank-1 in per cent of all queries at one rate, means over seeds.

    Args:
        records: Of every row, tested at the same single rates.

    Returns:
        One line a rate, ascending, its index; one column a row of the study.

    Raises:
        InputError: No record, or one that was not tested at single rates.
    """
    if not records:
        raise InputError("records is empty; expected at least one row")
    first = next(iter(records.values()))[0]
    tests = [name for name in first.measured["scores"] if name.startswith("rate ")]
    if not tests:
        raise InputError(f"record {first.digest} has no scores by query rate; expected `rate 1` …")
    rates = sorted(float(name.removeprefix("rate ")) for name in tests)
    columns = {row: [mean_rank1(of_row, at_rate(rate)) for rate in rates] for row, of_row in records.items()}
    return pd.DataFrame(columns, index=pd.Index(rates, name="rate"))


def rank1_at_rates(tidy: pd.DataFrame) -> pd.DataFrame:
    """As tables show it: one row a row, one column `rank-1, all at rate r` for each, means with their deviation.

    Args:
        tidy: What `tidy_scores` returned.
    """
    chosen = tidy[
        tidy["test"].str.startswith("rate ")
        & (tidy["protocol"] == "multi_shot")
        & (tidy["rate"] == "all")
        & (tidy["metric"] == "rank1")
    ]
    table = chosen.pivot_table(index="row", columns="test", values="value", aggfunc=mean_and_deviation, sort=False)
    return table.rename(columns=lambda test: f"rank-1, all at {test}").rename_axis(columns=None)


def signed(points: float) -> str:
    """A difference in points with its sign, one decimal: `+1.2`, and `+0.0` for what rounds to nothing."""
    return f"{round(points, 1) + 0.0:+.1f}"  # adding 0 makes -0 positive


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: `A, B and C`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
