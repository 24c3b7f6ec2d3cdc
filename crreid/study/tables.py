"""From records to tables: tidy numbers for files, and the rows that a reader sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from crreid.methods.ps_hrnet import PSHRNetSettings
from crreid.records import Record
from crreid.runs import Run

__all__ = [
    "beside_published",
    "mean_and_deviation",
    "member_scores",
    "provenance_table",
    "published_table",
    "rank1_per_rate",
    "scores_table",
    "tidy_scores",
    "two_metric_values",
]

METRICS = {
    "rank1": "rank-1",
    "rank5": "rank-5",
    "rank10": "rank-10",
    "map_hit": "mAP (at hits)",
    "map_trapezoid": "mAP (trapezoid)",
}

PUBLISHED_METRICS = METRICS | {"map": "mAP"}
"""Papers rarely say which mean average precision they print."""


def tidy_scores(records: dict[str, list[Record]]) -> pd.DataFrame:
    """Every score of every record, one a line.

    Returns:
        Columns row, seed, record (digest), test (`protocol` or `rate r`), protocol (`multi_shot`, `single_shot`), rate
        (`all` or the query's), metric (rank1, rank5, rank10, map_hit, map_trapezoid), value (per cent), queries,
        unmatched.
    """
    lines = [
        {"row": row, "seed": record.run["seed"], "record": record.digest, "test": test, "protocol": protocol} | line
        for row, of_row in records.items()
        for record in of_row
        for test, protocols in record.measured["scores"].items()
        for protocol, scores in protocols.items()
        for line in _lines(scores)
    ]
    return pd.DataFrame(lines)


def scores_table(
    tidy: pd.DataFrame, *, test: str = "protocol", protocol: str = "multi_shot", metrics: Sequence[str] = tuple(METRICS)
) -> pd.DataFrame:
    """One row a row of the study, one column a metric: means over seeds, with the deviation where there are several.

    Args:
        tidy: What `tidy_scores` returned.
        test: `protocol` or `rate r`.
        protocol: `multi_shot` or `single_shot`; the latter has no mean average precision.
        metrics: Keys of METRICS.
    """
    chosen = tidy[(tidy["test"] == test) & (tidy["protocol"] == protocol) & (tidy["rate"] == "all")]
    table = chosen.pivot_table(index="row", columns="metric", values="value", aggfunc=mean_and_deviation, sort=False)
    columns = [metric for metric in metrics if metric in table.columns]
    return table[columns].rename(columns=METRICS).rename_axis(columns=None)


def rank1_per_rate(tidy: pd.DataFrame, *, protocol: str = "multi_shot") -> pd.DataFrame:
    """Rank-1 in per cent by the rate that the protocol gave the query: one row a row, one column a rate."""
    chosen = tidy[
        (tidy["test"] == "protocol")
        & (tidy["protocol"] == protocol)
        & (tidy["metric"] == "rank1")
        & (tidy["rate"] != "all")
    ]
    table = chosen.pivot_table(index="row", columns="rate", values="value", aggfunc=mean_and_deviation, sort=False)
    return table.rename(columns=lambda rate: f"rank-1 at rate {rate}").rename_axis(columns=None)


def beside_published(measured: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Puts the published numbers of one data set before the measured columns; `-` where nothing was published.

    Args:
        measured: What `scores_table` returned.
        published: Rows of `published_numbers` of one data set, perhaps none; methods are the table's rows.
    """
    table = measured.copy()
    for position, metric in enumerate(published["metric"].unique()):
        numbers = published[published["metric"] == metric].set_index("method")["value"]
        texts = [f"{numbers[row]:.1f}" if row in numbers.index else "-" for row in measured.index]
        table.insert(position, f"published {PUBLISHED_METRICS.get(metric, metric)}", texts)
    return table


def published_table(*numbers: pd.DataFrame) -> pd.DataFrame:
    """Published numbers as papers print them: a row a method, `rank-1 / rank-5 / rank-10` for each data set."""
    every = pd.concat(numbers)
    groups = every.groupby(["method", "dataset"], sort=False)["value"]
    joined = groups.agg(lambda values: " / ".join(f"{value:.1f}" for value in values))
    return joined.unstack(fill_value="-").reindex(every["method"].unique()).rename_axis(index="row", columns=None)


def mean_and_deviation(values: Iterable[Any], *, digits: int = 1) -> str:
    """`57.1` for one value, `57.1 ± 0.4` (sample standard deviation) for several, `-` for none."""
    numbers = np.asarray([value for value in values if np.isfinite(value)], dtype=float)
    if len(numbers) == 0:
        return "-"
    mean = f"{numbers.mean():.{digits}f}"
    return mean if len(numbers) == 1 else f"{mean} ± {numbers.std(ddof=1):.{digits}f}"


def two_metric_values(
    records: dict[str, list[Record]], published: pd.DataFrame
) -> tuple[dict[str, dict[str, float | None]], dict[str, dict[str, list[float]]]]:
    """Rank-1 and mAP of every row, published and measured, as `crreid.figures.two_metrics` draws them.

    Args:
        records: Of every row.
        published: Rows of `published_numbers` of one data set, perhaps none.

    Returns:
        By metric (rank1, map) and row: the paper's number, and those of all seeds; of our two mean average precisions
        the trapezoid.
    """
    metrics = {"rank1": "rank1", "map": "map_trapezoid"}
    papers: dict[str, dict[str, float | None]] = {}
    for name in metrics:
        chosen = published[published["metric"] == name]
        papers[name] = {
            row: value for row, value in zip(chosen["method"], chosen["value"], strict=True) if row in records
        }
    measured = {
        name: {row: [record.score(metric) for record in of_row] for row, of_row in records.items()}
        for name, metric in metrics.items()
    }
    return papers, measured


def member_scores(
    runs: dict[str, list[Run]], records: dict[str, list[Record]], published: pd.DataFrame
) -> pd.DataFrame:
    """Rank-1 of sets of members of L_PS, one line a run, as `crreid.figures.sequence_sets` draws them.

    Returns:
        Columns members (tuple of Seq1, ..., logits), value and published (not a number where the paper has none).
    """
    chosen = published[published["metric"] == "rank1"].set_index("method")["value"]
    lines = []
    for row, of_row in runs.items():
        for run, record in zip(of_row, records[row], strict=True):
            assert isinstance(run.method, PSHRNetSettings)
            members = tuple(member.replace("seq", "Seq") for member in run.method.members)
            lines.append({"members": members, "value": record.score("rank1"), "published": chosen.get(row, np.nan)})
    return pd.DataFrame(lines)


def provenance_table(records: dict[str, list[Record]]) -> pd.DataFrame:
    """Where each number comes from: one line a record."""
    lines = []
    for row, of_row in records.items():
        for record in of_row:
            origin = record.provenance
            commit = origin["commit"][:10] or "no checkout"
            lines.append(
                {
                    "row": row,
                    "seed": record.run["seed"],
                    "record": record.digest,
                    "weights": record.run["weights"][:21],
                    "commit": commit + (" + changes" if origin["dirty"] else ""),
                    "device": origin["device"],
                    "started": origin["started"][:16].replace("T", " "),
                    "training minutes": f"{origin['training_seconds'] / 60:.1f}",
                }
            )
    return pd.DataFrame(lines)


def _lines(scores: dict[str, Any]) -> list[dict[str, Any]]:
    parts = {"all": scores["overall"]} | {f"{float(rate):g}": part for rate, part in scores["per_rate"].items()}
    lines = []
    for rate, part in parts.items():
        values = {f"rank{rank}": part["ranks"].get(rank) for rank in ("1", "5", "10")}
        values |= {metric: part[metric] for metric in ("map_hit", "map_trapezoid") if metric in part}
        for metric, value in values.items():
            percent = float("nan") if value is None else 100 * value
            counts = {"queries": part["queries"], "unmatched": part["unmatched"]}
            lines.append({"rate": rate, "metric": metric, "value": round(percent, 4)} | counts)
    return lines
