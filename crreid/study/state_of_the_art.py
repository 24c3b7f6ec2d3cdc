"""Table I: all that was published on five data sets, and what was measured here on one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crreid.records import Record
from crreid.study.published import published_methods, published_numbers, published_rank1

__all__ = ["published_state_of_the_art", "rank1_points", "suspect_numbers"]

NOT_IN_TABLE_I = {
    "HRNet-W32-C": (2020, "conventional re-ID"),
    "HRNet-ReID-H alone": (2021, "conventional re-ID"),
    "LRAR": (2022, "resolution-invariant representation"),
}
"""Year and family of the rows measured here that the paper's table lacks."""

RANKS = ["rank1", "rank5", "rank10"]


def published_state_of_the_art() -> pd.DataFrame:
    """All 25 methods: `rank-1 / rank-5 / rank-10` on each data set, `-` for a gap, `*` after what is doubtful.

    Returns:
        Columns row, year, one for each of the five data sets, measured by.
    """
    numbers = published_numbers(table="I")
    texts = numbers.assign(text=numbers["value"].map("{:.1f}".format)).set_index(["method", "dataset", "metric"])[
        "text"
    ]
    cells = texts.unstack(fill_value="-")[RANKS].agg(" / ".join, axis=1)
    notes = numbers.groupby(["method", "dataset"])["note"]
    cells += notes.agg(lambda texts: " *" if texts.str.len().max() else "")
    methods = published_methods().set_index("method")
    wide = cells.unstack(fill_value="-").reindex(methods.index)[list(numbers["dataset"].unique())]
    wide.insert(0, "year", methods["year"])
    wide["measured by"] = methods["measured_by"]
    return wide.rename_axis(index="row", columns=None).reset_index()


def suspect_numbers() -> pd.DataFrame:
    """Which of Table I's numbers are doubtful, and why: columns method, data set, reason."""
    numbers = published_numbers(table="I")
    doubtful = numbers[numbers["note"] != ""].drop_duplicates(["method", "dataset", "note"])
    return doubtful[["method", "dataset", "note"]].set_axis(["method", "data set", "reason"], axis=1)


def rank1_points(records: dict[str, list[Record]], dataset: str) -> pd.DataFrame:
    """Points of the chart by year: the published ones of a data set, and the means of what was measured.

    A row that neither the paper's table nor NOT_IN_TABLE_I knows, such as a method of one's own, stands in the table's
    last year.

    Args:
        records: Of every row.
        dataset: A data set of Table I, as the paper names it.
    """
    published = published_rank1(dataset)
    known = published_methods().set_index("method")
    looks = dict(zip(known.index, zip(known["year"], known["family"], strict=True), strict=True)) | NOT_IN_TABLE_I
    lines = []
    for row, of_row in records.items():
        year, family = looks.get(row, (known["year"].max(), "measured here"))
        rank1 = float(np.mean([record.score("rank1") for record in of_row]))
        lines.append({"method": row, "year": year, "family": family, "rank1": rank1, "measured": True})
    return pd.concat([published, pd.DataFrame(lines).assign(suspect=False)], ignore_index=True)
