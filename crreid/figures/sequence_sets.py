"""Which sequences of HRNet-ReID the pseudo-Siamese loss should compare: sets by score, and what each member adds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crreid.errors import InputError
from crreid.figures.style import (
    INK,
    MEASURED,
    MUTED,
    PUBLISHED,
    RANK1_LABEL,
    SMALL,
    WRONG,
    new_figure,
    place,
    styled,
    text_width,
)

__all__ = ["member_contributions", "sequence_sets"]

WIDE = 7.6
HEIGHT, ROW, BARS = 2.2, 0.24, 1.35  # inches: of the scores, of a member, of the panel of contributions
WIDEST = 0.85  # inches of a set's column
FEW = 8  # sets whose values are printed
NO_MEMBER = "#DDDDDD"


def member_contributions(scores: pd.DataFrame) -> pd.DataFrame:
    """What each member adds on average: the mean score of the sets with it, less that of the sets without it.

    Over all 63 sets of six members the others are nearly as often beside it as not, so that this is its main effect;
    over a few sets it also holds the effects of the members that come along with it.

    Args:
        scores: Columns members (tuple of names, in any order) and value; several rows of one set, e.g. of several
            seeds, count once, by their mean.

    Returns:
        One row a member, in the order in which they appear, largest set first: member, sets_with, sets_without,
        mean_with, mean_without and contribution (not a number where a member is in every set).

    Raises:
        InputError: No rows, a missing column, an empty set, a member twice in a set, or a value that is not finite.
    """
    values = _means(scores)["value"]
    rows = []
    for member in _members(list(values.index)):
        inside = np.array([member in of_set for of_set in values.index])
        found = values.to_numpy()
        mean_with, mean_without = (
            float(part.mean()) if len(part) else math.nan for part in (found[inside], found[~inside])
        )
        rows.append(
            {
                "member": member,
                "sets_with": int(inside.sum()),
                "sets_without": int((~inside).sum()),
                "mean_with": mean_with,
                "mean_without": mean_without,
                "contribution": mean_with - mean_without,
            }
        )
    return pd.DataFrame(rows)


@styled
def sequence_sets(
    scores: pd.DataFrame,
    *,
    label: str = RANK1_LABEL,
    order: Sequence[str] = (),
    published_name: str = "published",
) -> Figure:
    """Sets from the best to the worst: scores above, a dot for each member below, each member's contribution beside.

    Seeds are small hollow dots around their mean. Reads for all 63 sets; of up to eight the values are printed.

    Args:
        scores: Columns members (tuple of names), value and, if wanted, published (not a number where none), which is
            printed below the scores of up to eight sets; several rows of one set are its seeds.
        label: Of the scores, with their unit.
        order: Of the members, from the top; empty for the order in which they appear, largest set first.
        published_name: Of the published values.

    Raises:
        InputError: As `member_contributions`, or `order` lacks a member.
    """
    means = _means(scores).sort_values("value", ascending=False, kind="stable")
    found = _members(list(means.index))
    members = list(order) or found
    if missing := [member for member in found if member not in members]:
        raise InputError(f"order lacks the member {missing[0]!r}; expected all of {', '.join(found)}")
    few = len(means) <= FEW
    printed = few and "published" in means and bool(means["published"].notna().any())
    left = max(0.7, *(text_width(member, 9) + 0.18 for member in members))
    left = max(left, text_width(published_name, SMALL) + 0.1) if printed else left
    width = min(WIDEST, (WIDE - left - BARS - 0.45) / len(means)) * len(means)
    top, depth = 0.15, len(members) * ROW
    below = top + HEIGHT + (0.34 if printed else 0.12)
    figure = new_figure(left + width + 0.2 + BARS + 0.25, below + depth + 0.42)
    upper = place(figure, left, top, width, HEIGHT)
    _draw_scores(upper, scores, means["value"], label, few)
    if printed:
        _print_published(upper, means["published"], published_name)
    matrix = place(figure, left, below, width, depth)
    _draw_matrix(matrix, [set(of_set) for of_set in means.index], members)
    bars = place(figure, left + width + 0.2, below, BARS, depth)
    _draw_contributions(bars, member_contributions(scores).set_index("member")["contribution"], members)
    return figure


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean of value, and of published where there is one, by set; members sorted so that equal sets are one."""
    for column in ("members", "value"):
        if column not in scores.columns:
            raise InputError(f"scores lacks the column {column!r}; expected members and value")
    if scores.empty:
        raise InputError("scores is empty; expected a row for each set")
    for members, value in scores[["members", "value"]].itertuples(index=False):
        if isinstance(members, str) or not len(members) or len(set(members)) != len(members):
            raise InputError(f"scores has the members {members!r}; expected a tuple of different names, at least one")
        if not math.isfinite(value):
            raise InputError(f"scores of {', '.join(members)}: value is {value}; expected a finite number")
    numbers = [column for column in ("value", "published") if column in scores.columns]
    return scores.assign(members=_keys(scores)).groupby("members", sort=False)[numbers].mean()


def _keys(scores: pd.DataFrame) -> pd.Series[Any]:
    """Each row's members in one order, so that a set has one name however it is written."""
    order = _members([tuple(members) for members in scores["members"]])
    keys = [tuple(sorted(members, key=order.index)) for members in scores["members"]]
    return pd.Series(keys, index=scores.index)


def _members(sets: Sequence[tuple[str, ...]]) -> list[str]:
    """All members in the order in which they appear, largest set first."""
    return list(dict.fromkeys(member for of_set in sorted(sets, key=len, reverse=True) for member in of_set))


def _draw_scores(axes: Axes, scores: pd.DataFrame, means: pd.Series[float], label: str, few: bool) -> None:
    """The mean of each set and its seeds."""
    low, high = float(scores["value"].min()), float(scores["value"].max())
    room = max(0.1 * (high - low), 0.2)
    axes.set(xlim=(-0.5, len(means) - 0.5), ylim=(low - room, high + (2.2 if few else 1) * room), ylabel=label)
    axes.set_xticks([])
    axes.grid(axis="x", visible=False)
    seeds = dict(scores.assign(members=_keys(scores)).groupby("members", sort=False)["value"].agg(list).items())
    size = 6.5 if few else 4.0
    for column, (of_set, mean) in enumerate(means.items()):
        values = seeds[of_set]
        if len(values) > 1:
            axes.plot([column, column], [min(values), max(values)], color=MEASURED, linewidth=0.8, label="_range")
            look: dict[str, Any] = {
                "color": MEASURED,
                "markerfacecolor": "white",
                "markersize": size / 2,
                "markeredgewidth": 0.7,
            }
            axes.plot([column] * len(values), values, "o", label="_seeds", **look)
        axes.plot(column, mean, "o", color=MEASURED, markersize=size, label="_mean", zorder=3)
        if few:
            options: dict[str, Any] = {
                "textcoords": "offset points",
                "ha": "center",
                "va": "bottom",
                "annotation_clip": False,
            }
            axes.annotate(f"{mean:.1f}", (column, max(values)), (0, 5), size=SMALL, color=MEASURED, **options)


def _print_published(axes: Axes, published: pd.Series[float], name: str) -> None:
    """What was published, in a line between scores and members."""
    options: dict[str, Any] = {"textcoords": "offset points", "va": "center", "size": SMALL, "color": PUBLISHED}
    options |= {"xycoords": axes.get_xaxis_transform(), "annotation_clip": False}
    axes.annotate(name, (-0.5, 0), (-5, -12), ha="right", **options)
    for column, value in enumerate(published):
        text = f"{value:.1f}" if math.isfinite(value) else "-"
        axes.annotate(text, (column, 0), (0, -12), ha="center", **options)


def _draw_matrix(axes: Axes, sets: Sequence[set[str]], members: Sequence[str]) -> None:
    """A column a set: dark dots where a member is in it, joined from the first to the last."""
    size = float(np.clip(72 * axes.bbox.width / axes.figure.dpi / len(sets) * 0.62, 2.5, 9))
    axes.set(xlim=(-0.5, len(sets) - 0.5), ylim=(len(members) - 0.5, -0.5))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for row in range(0, len(members), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F7F7F7", linewidth=0, zorder=0)
    for column, of_set in enumerate(sets):
        inside = [row for row, member in enumerate(members) if member in of_set]
        outside = [row for row in range(len(members)) if row not in inside]
        axes.plot([column] * len(outside), outside, "o", color=NO_MEMBER, markersize=0.7 * size, label="_without")
        axes.plot([column] * len(inside), inside, "o", color=INK, markersize=size, label="_with")
        axes.plot([column, column], [inside[0], inside[-1]], color=INK, linewidth=max(0.6, size / 6), label="_joint")
    axes.set_xticks([])
    axes.set_yticks(range(len(members)), list(members))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    kind = "sets" if len(sets) > 1 else "set"
    axes.set_xlabel(f"{len(sets)} {kind}, best first" if len(sets) > 1 else f"{len(sets)} {kind}", size=9)


def _draw_contributions(axes: Axes, contributions: pd.Series[float], members: Sequence[str]) -> None:
    """Bars beside the matrix, in its rows, with their values."""
    numbers = contributions.reindex(list(members))
    low, high = min(0.0, float(numbers.min(skipna=True))), max(0.0, float(numbers.max(skipna=True)))
    if not math.isfinite(low + high) or high - low < 1e-9:
        low, high = 0.0, 1.0
    unit = (high - low) / (BARS - 0.4 * (1 + (low < 0)))  # points an inch, beside room for the values
    left = low - (0.4 * unit if low < 0 else 0)
    axes.set(xlim=(left, left + BARS * unit), ylim=(len(members) - 0.5, -0.5))
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.axvline(0, color="#8A8A8A", linewidth=0.8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("mean with less without", size=9)
    axes.set_title("contribution", size=9, pad=3)
    inside = set(contributions.index)
    where: dict[str, Any]
    for row, member in enumerate(members):
        number = numbers[member]
        if not math.isfinite(number):
            text = "in every set" if member in inside else "in no set"
            wider = 1 if high >= -low else -1  # the side of zero with more room
            where = {"textcoords": "offset points", "va": "center", "ha": "left" if wider > 0 else "right"}
            axes.annotate(text, (0, row), (4 * wider, 0), size=SMALL, color=MUTED, **where)
            continue
        axes.barh(row, number, 0.6, color=MEASURED if number >= 0 else WRONG)
        sign = 1 if number >= 0 else -1
        text, align = _signed(number), "left" if number >= 0 else "right"
        where = {"textcoords": "offset points", "va": "center", "ha": align}
        axes.annotate(text, (number, row), (3 * sign, -0.5), size=SMALL, **where)


def _signed(number: float) -> str:
    """One digit with a sign, and no sign for what rounds to nothing."""
    text = f"{abs(number):.1f}"
    return text if float(text) == 0 else f"{'+' if number > 0 else '−'}{text}"
