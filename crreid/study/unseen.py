"""Systems at resolutions that training saw and did not see: who is best where, whose curves cross, what to choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from crreid.records import Record
from crreid.runs import Run
from crreid.study.rates import at_rate, listed, rank1_by_rate, rank1_noise, signed, unlike_starts

__all__ = [
    "best_by_rate",
    "choices",
    "crossing_rates",
    "crossings",
    "seen_rates",
    "shown_choices",
    "shown_crossings",
    "unseen_conclusion",
]

TINY = 1e-9


def seen_rates(runs: Mapping[str, Sequence[Run]]) -> tuple[float, ...]:
    """Rates of the low-resolution images that the rows were trained on; none for data of native resolutions."""
    mlr = next(iter(runs.values()))[0].data.mlr
    if mlr is None:
        return ()
    return tuple(float(rate) for rate in mlr.train_rates or mlr.rates)


def best_by_rate(means: pd.DataFrame) -> pd.DataFrame:
    """Which system is best from where to where, with straight lines between the rates that were tested.

    Args:
        means: What `rank1_by_rate` returned.

    Returns:
        Columns system, start, stop (rates): the pieces of the highest line in order, each starting where the last one
        ends. Of systems that are equal everywhere on a piece the first of the table is named.
    """
    pieces: list[tuple[str, float, float]] = []
    for start, stop in pairwise(means.index.to_list()):
        pieces += _best_between(means.loc[start], means.loc[stop], float(start), float(stop))
    if not pieces:  # one rate only
        rate = float(means.index[0])
        pieces = [(str(means.iloc[0].idxmax()), rate, rate)]
    joined: list[tuple[str, float, float]] = []
    for system, start, stop in pieces:
        if joined and joined[-1][0] == system:
            system, start, _ = joined.pop()
        joined.append((system, start, stop))
    return pd.DataFrame(joined, columns=["system", "start", "stop"])


def crossing_rates(one: pd.Series[float], other: pd.Series[float]) -> list[float]:
    """Rates at which the order of two systems changes, by straight lines; where they touch without changing it, none.

    Args:
        one: Rank-1 by rate, ascending.
        other: The same of another system.
    """
    differences = one - other
    apart = differences[differences.abs() > TINY]
    found = []
    for (start, left), (stop, right) in pairwise(zip(apart.index.to_list(), apart.to_list(), strict=True)):
        if left * right < 0:
            equal = differences.index[(differences.index > start) & (differences.index < stop)]
            # where they are equal over several rates, the middle of these
            crossing = (equal[0] + equal[-1]) / 2 if len(equal) else start + (stop - start) * left / (left - right)
            found.append(float(crossing))
    return found


def crossings(records: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """Every pair of systems, and where their order changes.

    Returns:
        Columns row and other (the one that leads at the lowest rate first), crossings (their number), rates (where;
        empty for none), lead and deficit (points of rank-1 of `row` over `other` at its best and worst rate), clear:
        whether each leads by more than the noise at some rate.
    """
    means = rank1_by_rate(records)
    lines = []
    for pair in combinations(means.columns, 2):
        one, other = pair if means[pair[0]].iloc[0] >= means[pair[1]].iloc[0] else pair[::-1]
        rates = crossing_rates(means[one], means[other])
        lead = means[one] - means[other]
        noise = np.array([rank1_noise(records[one], records[other], at_rate(rate)) for rate in means.index])
        clear = bool((lead > noise).any() and (-lead > noise).any())
        found = {"crossings": len(rates), "rates": ", ".join(f"{rate:.1f}" for rate in rates)}
        lines.append({"row": one, "other": other} | found | {"lead": lead.max(), "deficit": lead.min(), "clear": clear})
    return pd.DataFrame(lines, columns=["row", "other", "crossings", "rates", "lead", "deficit", "clear"])


def shown_crossings(table: pd.DataFrame, *, most: int = 10) -> pd.DataFrame:
    """The pairs that cross, as a reader sees them: first those where each leads by much.

    Args:
        table: What `crossings` returned.
        most: How many are shown.
    """
    smaller = table["lead"].clip(upper=-table["deficit"])  # the smaller one of the two leads
    crossing = table[table["crossings"] > 0].assign(smaller=smaller).sort_values("smaller", kind="stable")[::-1][:most]
    return pd.DataFrame(
        {
            "leads at the lowest rate": crossing["row"],
            "other": crossing["other"],
            "cross at rate": crossing["rates"],
            "largest lead": crossing["lead"].map(signed),
            "largest deficit": crossing["deficit"].map(signed),
            "more than the noise": crossing["clear"].map({True: "yes", False: "no"}),
        }
    ).reset_index(drop=True)


def choices(records: Mapping[str, Sequence[Record]], seen: Sequence[float]) -> pd.DataFrame:
    """At each rate the best system and those that the queries cannot tell from it.

    Args:
        records: Of every system.
        seen: Rates of the low-resolution images in training.

    Returns:
        One line a rate and system, best first: rate, seen (whether in training), row, record (of the first seed), rank1
        in per cent, behind (points below the best), noise (of that difference), as_good (whether behind is within it).
    """
    lines = []
    for rate, scores in rank1_by_rate(records).iterrows():
        ordered = scores.sort_values(ascending=False, kind="stable")
        best = str(ordered.index[0])
        for row, rank1 in ordered.items():
            behind = ordered.iloc[0] - rank1
            noise = 0.0 if row == best else rank1_noise(records[best], records[str(row)], at_rate(float(str(rate))))
            origin = {"rate": rate, "seen": rate in seen, "row": row, "record": records[str(row)][0].digest}
            lines.append(origin | {"rank1": rank1, "behind": behind, "noise": noise, "as_good": behind <= noise})
    return pd.DataFrame(lines)


def shown_choices(table: pd.DataFrame) -> pd.DataFrame:
    """One row a rate: whether training saw it, the best system with its rank-1, and those within the noise of it.

    Args:
        table: What `choices` returned.
    """
    lines = []
    for rate, ordered in table.groupby("rate"):
        first = ordered["behind"] <= TINY
        best, others = ordered[first], ordered[~first]
        equals = [f"{row} {rank1:.1f}" for row, rank1 in others.loc[others["as_good"], ["row", "rank1"]].to_numpy()]
        seen = "yes" if best["seen"].iloc[0] else "sharp images" if rate == 1 else "no"
        found = {"best": ", ".join(best["row"]), "rank-1": f"{best['rank1'].iloc[0]:.1f}"}
        said = "all others" if len(equals) == len(others) > 1 else ", ".join(equals) or "none"
        lines.append({"rate": f"{rate:g}", "in training": seen} | found | {"within the noise of it": said})
    return pd.DataFrame(lines)


def unseen_conclusion(records: Mapping[str, Sequence[Record]], seen: Sequence[float]) -> str:
    """Who is best where, what happens between and beyond the rates of the training, and what to choose.

    Args:
        records: Of every system.
        seen: Rates of the low-resolution images in training; may be empty.
    """
    means = rank1_by_rate(records)
    lines = [_leaders(means), _pairs(crossings(records))]
    lines += _between(means, seen) + _beyond(means, seen)
    lines += _choice(choices(records, seen), means) + unlike_starts(records)
    queries = next(iter(records.values()))[0].measured["scores"][at_rate(means.index[0])]["multi_shot"]["overall"]
    seeds = min(len(of_row) for of_row in records.values())
    how = (
        "for a single seed; another seed may move it further" if seeds == 1 else f"or from the spread of {seeds} seeds"
    )
    noise = (
        f"A difference counts here if it exceeds two standard errors from {queries['queries']} queries a rate, {how}."
    )
    return "\n".join([*(f"- {line}" for line in lines), "", noise])


def _best_between(
    left: pd.Series[float], right: pd.Series[float], start: float, stop: float
) -> list[tuple[str, float, float]]:
    """The pieces of the highest of straight lines between two neighbouring rates."""
    values, slopes = left.to_numpy(dtype=float), (right - left).to_numpy(dtype=float)
    at, pieces = 0.0, []
    while True:
        heights = values + at * slopes
        highest = np.flatnonzero(heights >= heights.max() - TINY)
        best = int(highest[np.argmax(slopes[highest])])  # of equal ones that which rises
        steeper = np.flatnonzero(slopes > slopes[best] + TINY)
        meets = (heights[best] - heights[steeper]) / (slopes[steeper] - slopes[best])
        end = min(1.0, at + float(meets.min())) if len(meets) else 1.0
        pieces.append((str(left.index[best]), start + at * (stop - start), start + end * (stop - start)))
        if end >= 1 - TINY:
            return [*pieces[:-1], (*pieces[-1][:2], stop)]
        at = end


def _leaders(means: pd.DataFrame) -> str:
    best = best_by_rate(means)
    if len(best) == 1:
        return f"**{best['system'][0]}** is the best at every rate from {means.index[0]:g} to {means.index[-1]:g}."
    parts = [f"**{system}** from {start:.1f} to {stop:.1f}" for system, start, stop in best.itertuples(index=False)]
    return f"By straight lines between the rates tested, the best is {listed(parts)}."


def _pairs(table: pd.DataFrame) -> str:
    crossing = table[table["crossings"] > 0]
    clear = [f"{row} and {other} (at {rates})" for row, other, rates in _named(crossing[crossing["clear"]])]
    said = f"of **{len(clear)}** by more than the noise: {listed(clear)}" if clear else "of none by more than the noise"
    return f"Of {len(table)} pairs of systems {len(crossing)} change their order somewhere, {said}."


def _named(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(table[["row", "other", "rates"]].itertuples(index=False, name=None))


def _between(means: pd.DataFrame, seen: Sequence[float]) -> list[str]:
    """How far rates between two of the training lie from the straight line between these."""
    lines = []
    for start, stop in pairwise(sorted(set(seen) & set(means.index))):
        lines += [(rate, start, stop) for rate in means.index if start < rate < stop]
    if not lines:
        return []
    from_line = pd.DataFrame(
        {
            rate: means.loc[rate]
            - (means.loc[start] * (stop - rate) + means.loc[stop] * (rate - start)) / (stop - start)
            for rate, start, stop in lines
        }
    ).mean(axis=1)
    rates = listed([f"{rate:g}" for rate, _, _ in lines])
    return [
        f"Between the rates of the training, at {rates}, rank-1 lies **{signed(from_line.mean())}** points from the "
        f"straight line between its seen neighbours (from {signed(from_line.min())}, {from_line.idxmin()}, to "
        f"{signed(from_line.max())}, {from_line.idxmax()})."
    ]


def _beyond(means: pd.DataFrame, seen: Sequence[float]) -> list[str]:
    """What is lost from the lowest resolution of the training to the lowest tested."""
    known = [rate for rate in means.index if rate in seen]
    if not known or known[-1] == means.index[-1]:
        return []
    first, last = known[-1], means.index[-1]
    change = (means.loc[last] - means.loc[first]).sort_values(ascending=False, kind="stable")
    return [
        f"From rate {first:g}, the last of the training, to rate {last:g} rank-1 changes by "
        f"**{signed(change.mean())}** points on average, from {signed(change.iloc[0])} ({change.index[0]}) to "
        f"{signed(change.iloc[-1])} ({change.index[-1]})."
    ]


def _choice(table: pd.DataFrame, means: pd.DataFrame) -> list[str]:
    """Systems that can be chosen without knowing the resolution."""
    always = table.groupby("row", sort=False)["as_good"].all()
    safe = [str(row) for row in means.columns if always[row]]
    worst = table.loc[table.groupby("row")["behind"].idxmax()].set_index("row")
    chosen = str(worst["behind"].loc[list(means.columns)].idxmin())
    behind, rate = float(worst["behind"][chosen]), float(worst["rate"][chosen])
    said = f"**{listed(safe)}**" if safe else "none"
    most = f"at most {behind:.1f} points below the best (at rate {rate:g})" if behind > 0 else "the best at every rate"
    return [
        f"Within the noise of the best at every rate: {said}.",
        f"Who does not know the resolution of the queries chooses **{chosen}**: {most}.",
    ]
