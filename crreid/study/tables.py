"""From records to tables: tidy scores, wide tables, and comparisons with verdicts."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit  # quantiles of Student's t

from crreid.errors import InputError
from crreid.methods.method import UNTOUCHED
from crreid.records import Record
from crreid.runs import record_data_note

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

    from crreid.study.session import Study


METRICS = {
    "rank1": "rank-1",
    "rank5": "rank-5",
    "rank10": "rank-10",
    "rank20": "rank-20",
    "map_hit": "mAP (at hits)",
    "map_trapezoid": "mAP (trapezoid)",
    "map": "mAP",
}
"""Headings of metrics. Papers print `mAP` and rarely say which of the two it is."""

HIGHER, LOWER = re.compile(r"^(?!published).*(rank-\d|mAP|SSIM|PSNR)"), re.compile(r"^(?!published).*LPIPS")
NUMBER = re.compile(r"^[+-]?\d[\d,]*(\.\d+)?")
BEST, SECOND = "font-weight: bold", "text-decoration: underline"


def scores(records: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """Return every score of every record, one per line.

    Args:
        records: Records of every row, one per seed, as `Study.measure` returns them.

    Returns:
        Columns row, seed, record (digest), test (`drawn`: each query at the downsampling rate that the protocol drew
        for it; `uniform`: all queries at one rate), protocol (`multi_shot`, `single_shot`), rate (NaN: all queries),
        metric (rank1, rank5, rank10, rank20, map_hit, map_trapezoid), value and deviation over draws (per cent, four
        digits), queries, unmatched.
    """
    frames = [
        record.scores.assign(row=row, seed=record.seed, record=record.digest)
        for row, of_row in records.items()
        for record in of_row
    ]
    lines = pd.concat(frames, ignore_index=True)
    lines[["value", "deviation"]] = (100 * lines[["value", "deviation"]]).round(4)
    return lines[["row", "seed", "record", *(name for name in lines if name not in ("row", "seed", "record"))]]


def wide(
    scores: pd.DataFrame,
    *,
    test: str = "drawn",
    protocol: str = "multi_shot",
    rate: float | None = None,
    metrics: Sequence[str] = ("rank1", "rank5", "rank10", "map_hit", "map_trapezoid"),
    per_rate: bool = False,
) -> pd.DataFrame:
    """Return one line per row of the study and one column per metric, or per metric and downsampling rate.

    Args:
        scores: What `scores` returned, or some lines of it.
        test: `drawn` or `uniform`.
        protocol: `multi_shot` or `single_shot`; the latter has no mean average precision.
        rate: Rate of the queries; None = all queries of the drawn test.
        metrics: Keys of METRICS; those that were not measured are left out.
        per_rate: One column for each rate instead of those at `rate`.

    Returns:
        Cells `57.1`, or `57.1 ± 0.4` (mean and sample standard deviation) for several seeds, `-` for none; the index
        `row` keeps the order of the scores.
    """
    chosen = _chosen(scores, test, protocol)
    chosen = chosen[chosen["metric"].isin(metrics) & (chosen["rate"].notna() if per_rate else _at(chosen, rate))]
    chosen = chosen.assign(place=chosen["metric"].map(list(metrics).index)).sort_values(["place", "rate"])
    heads = [_heading(*each, test) for each in zip(chosen["metric"], chosen["rate"], strict=True)]
    cells = chosen.assign(head=heads).groupby(["row", "head"])["value"].agg(_mean_and_deviation)
    rows = [row for row in scores["row"].unique() if row in cells.index.get_level_values("row")]
    table = cells.unstack("head").fillna("-").loc[rows, list(dict.fromkeys(heads))]
    return table.rename_axis(columns=None)


def beside(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the published numbers of one data set after the measured ones, `-` where there is none.

    Args:
        table: What `wide` returned: rows are the methods of the paper.
        published: Lines of `published_numbers` of one data set; without any the table stays as it is.
    """
    joined = table.copy()
    for metric in published["metric"].unique():
        lines = published[published["metric"] == metric]
        values = dict(zip(lines["method"], lines["value"], strict=True))
        if any(row in values for row in table.index):
            heading = f"published {METRICS.get(metric, metric.upper())}"
            joined[heading] = [f"{values[row]:.1f}" if row in values else "-" for row in table.index]
    return joined


def compare(
    records: Mapping[str, Sequence[Record]],
    pairs: Sequence[tuple[str, str]],
    *,
    metric: str = "rank1",
    test: str = "drawn",
    rate: float | None = None,
    comparisons: int = 0,
) -> pd.DataFrame:
    """Return multi-shot differences between rows with what the numbers of test persons and seeds allow to say of them.

    The threshold is Student's t (two-sided, 95 %) times the standard error of the difference. Its variance is that of
    the sample of persons, for whom both rows are asked, plus that over seeds, pooled over all rows that have several.
    Where no hits of persons are recorded (uniform tests, one rate, metrics but rank1 and map_hit, old records), the
    binomial variance of the queries, an upper bound for a mean average precision, takes the place of the former.

    Args:
        records: Records of every row, one per seed, as `Study.measure` returns them.
        pairs: Rows (A, B). A pair whose rows are not both there is left out.
        metric: A measured metric.
        test: `drawn` or `uniform`.
        rate: Rate of the queries; None = all queries of the drawn test.
        comparisons: Lines of the whole table, where these are some of them.

    Returns:
        Columns A, B, A value, B value (per cent, means over seeds), difference (A - B), threshold (points), verdict
        (`higher`, `lower`, `cannot be told`; `one seed: cannot be told`; `unlike starts` where backbones or the origins
        of their weights differ) and after correction: the verdict at Bonferroni's threshold for the whole table.
    """
    chosen = _chosen(scores(records), test, "multi_shot")
    chosen = chosen[_at(chosen, rate) & (chosen["metric"] == metric)]
    values = chosen.groupby("row")["value"]
    means, seeds, spread = values.mean(), values.size(), values.var()
    degrees = (seeds - 1)[spread > 0]  # untrained rows are the same for all seeds
    freedom = int(degrees.sum())
    of_seeds = float((degrees * spread).sum()) / max(1, freedom)
    binomial = means * (100 - means) / (chosen["queries"] - chosen["unmatched"]).groupby(chosen["row"]).first()
    pairs = [pair for pair in pairs if set(pair) <= set(means.index)]
    quantiles = stdtrit(freedom, [0.975, 1 - 0.025 / max(comparisons, len(pairs), 1)])
    by_person = metric in ("rank1", "map_hit") and test == "drawn" and rate is None
    lines = []
    for one, other in pairs:
        both, difference = (records[one], records[other]), means[one] - means[other]
        recorded = by_person and all(record.persons is not None for of_row in both for record in of_row)
        of_persons = _paired_variance(*both, metric) if recorded else binomial[one] + binomial[other]
        thresholds = quantiles * math.sqrt(of_persons + of_seeds * (1 / seeds[one] + 1 / seeds[other]))
        told, reason = "higher" if difference > 0 else "lower", _no_verdict(*both)
        verdicts = [reason or (told if abs(difference) > each else "cannot be told") for each in thresholds]
        lines.append((one, other, means[one], means[other], difference, thresholds[0], *verdicts))
    heads = ["A", "B", "A value", "B value", "difference", "threshold", "verdict", "after correction"]
    return pd.DataFrame(lines, columns=heads)


def origins(records: Mapping[str, Sequence[Record]], study: Study) -> pd.DataFrame:
    """Return what ran in each row, to be joined to a table.

    Columns network, start (of its weights), and where rows restore `error of its input's`: L_SR in the last epoch as a
    share of the untouched input's, the mean over seeds, marked where nothing is restored.
    """
    table = provenance(records, study).drop_duplicates("row").set_index("row")[["network", "start"]]
    shares = {row: [remaining_error(record) for record in of_row] for row, of_row in records.items()}
    told = {row: float(np.mean(of_row)) for row, of_row in shares.items() if not np.isnan(of_row).any()}
    if told:
        table["error of its input's"] = pd.Series(
            {row: f"{share:.2f}" + " (restores nothing)" * (share >= 1) for row, share in told.items()}
        )
    return table.fillna("-")


def remaining_error(record: Record) -> float:
    """Return the restoration loss of the last epoch as a share of the untouched input's; NaN without a module."""
    if record.epochs.empty:
        return math.nan
    last = {str(name): float(value) for name, value in record.epochs.iloc[-1].items()}
    return next((last[name] / last[name + UNTOUCHED] for name in last if name + UNTOUCHED in last), math.nan)


def provenance(records: Mapping[str, Sequence[Record]], study: Study) -> pd.DataFrame:
    """Return where each number comes from, one line per record.

    Returns:
        Columns row, seed, record (digest), network, start, data (as recorded, not recorded, or not available here),
        minutes of training, measured (date), device (with the precision where it is another than the run asks for),
        commit.
    """
    lines = []
    for row, of_row in records.items():
        for record in of_row:
            run, tested = study.run_of(record), record.provenance["evaluation"]
            stretches, asked = (tested, *record.provenance["training"]), run.schedule.precision
            begun = [each["started"] for each in stretches if each["started"]]
            others = sorted({each.get("precision", asked) for each in stretches} - {asked})
            lines.append(
                {
                    "row": row,
                    "seed": record.seed,
                    "record": record.digest,
                    # whatever the row is called; a method written in a notebook may only have a title
                    "network": getattr(run.method, "runs_on", run.method.title),
                    "start": record.provenance["start"],
                    "data": record_data_note(record, run, study.workspace),
                    "training minutes": record.training_seconds / 60,
                    "measured": begun[0][:10] if begun else "unknown",
                    "device": ", in ".join([tested["device"], *others]),
                    "commit": (tested["commit"][:10] or "no checkout") + " + changes" * bool(tested["dirty"]),
                }
            )
    return pd.DataFrame(lines)


def shown(table: pd.DataFrame, digits: int | Mapping[str, int] = 1) -> pd.DataFrame:
    """Return a table as texts, as readers see it: floats with `digits` digits (by column, else 1), `-` for NaN.

    An index that has a name becomes the first columns; one that only counts is dropped.
    """
    named = any(name is not None for name in table.index.names)
    flat = table.reset_index() if named else table.reset_index(drop=table.index.equals(pd.RangeIndex(len(table))))
    places = {name: digits if isinstance(digits, int) else digits.get(str(name), 1) for name in flat.columns}
    return pd.DataFrame(
        {str(name): [_text(value, places[name]) for value in flat[name]] for name in flat.columns}, dtype=object
    )


def styled(table: pd.DataFrame) -> Styler:
    """Return a table of texts as HTML shows it: best numbers bold, second ones underlined.

    Ranks, mAP, PSNR, SSIM and LPIPS are compared down their column, as they are printed, where every line has a first
    cell of its own: otherwise lines are no rivals. Equal numbers share a place; one distinct number is no best.
    """
    style = table.style.hide(axis="index").format(_cell).format_index(lambda head: escape(str(head)), axis=1)
    style = style.set_uuid(hashlib.sha256(table.to_csv().encode()).hexdigest()[:8])
    for name in table.columns:
        style = style.apply(lambda column, styles: styles, subset=[name], styles=places(table, name))
        if is_words(table[name]):
            style = style.map(lambda _: "text-align: left", subset=[name])
    return style


def is_words(column: pd.Series[str]) -> bool:
    """Whether no cell begins with a number."""
    return not any(NUMBER.match(text) for text in column)


def places(table: pd.DataFrame, name: str) -> list[str]:
    """Return the style of each cell of a column of texts: bold for the best number, underlined for the second."""
    sign = 1 if HIGHER.match(name) else -1 if LOWER.match(name) else 0
    numbers = [sign * _number(text) for text in table[name]]
    ordered = sorted({number for number in numbers if not math.isnan(number)}, reverse=True)
    if not sign or len(ordered) < 2 or not table.iloc[:, 0].is_unique:
        return [""] * len(table)
    return [BEST if number == ordered[0] else SECOND if number == ordered[1] else "" for number in numbers]


def _chosen(scores: pd.DataFrame, test: str, protocol: str) -> pd.DataFrame:
    chosen = scores[(scores["test"] == test) & (scores["protocol"] == protocol)]
    if chosen.empty:
        there = scores[["test", "protocol"]].drop_duplicates().agg(" ".join, axis=1)
        raise InputError(f"there are no scores of the test {test!r}, {protocol!r}; expected one of {', '.join(there)}")
    return chosen


def _at(lines: pd.DataFrame, rate: float | None) -> pd.Series[bool]:
    return lines["rate"].isna() if rate is None else lines["rate"] == rate


def _heading(metric: str, rate: float, test: str) -> str:
    """Return the heading of a column: the metric, and which queries were asked at which rate."""
    if math.isnan(rate):
        return METRICS[metric]
    return f"{METRICS[metric]}, " + (f"all queries at rate {rate:g}" if test == "uniform" else f"drawn rate {rate:g}")


def _mean_and_deviation(values: pd.Series[float]) -> str:
    numbers = values.dropna()
    if numbers.empty:
        return "-"
    return f"{numbers.mean():.1f}" + (f" ± {numbers.std(ddof=1):.1f}" if len(numbers) > 1 else "")


def _paired_variance(one: Sequence[Record], other: Sequence[Record], metric: str) -> float:
    """Return the variance (points²) of a difference of hits per query, a ratio of sums over sampled persons."""
    persons = _hits(one, metric)
    gains, queries = persons["hits"] - _hits(other, metric)["hits"], persons["queries"]
    residuals = gains - gains.sum() / queries.sum() * queries
    return float(1e4 * len(residuals) * residuals.var() / queries.sum() ** 2)


def _hits(of_row: Sequence[Record], metric: str) -> pd.DataFrame:
    """Return queries and hits by identity, as means over seeds."""
    persons = pd.concat([record.persons for record in of_row])
    hits = persons["rank1"] if metric == "rank1" else persons["map_hit"] * persons["queries"]
    return persons.assign(hits=hits).groupby("identity")[["queries", "hits"]].mean()


def _no_verdict(one: Sequence[Record], other: Sequence[Record]) -> str:
    """Return why two rows get no verdict; empty where they get one."""
    if min(len(one), len(other)) == 1:
        return "one seed: cannot be told"
    return "" if _start(one[0]) == _start(other[0]) else "unlike starts"


def _start(record: Record) -> tuple[Any, ...]:
    """Return the backbone that describes images, its options, and where its weights started; empty for none."""
    for run in (record.settings, record.settings["teacher"]):  # a module restoring alone has its teacher describe them
        if run and (network := run["method"].get("network", run["method"].get("encoder"))):
            return network["backbone"], network.get("backbone_options", []), run["weights"]
    return ()


def _text(value: Any, digits: int) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "-" if math.isnan(value) else f"{round(float(value), digits) + 0.0:,.{digits}f}"  # no -0.0
    if isinstance(value, int | np.integer):
        return f"{int(value):,}" if abs(int(value)) >= 10_000 else str(value)
    return "-" if value is None else str(value)


def _cell(text: object) -> str:
    return re.sub(r"\s*(± ?[\d.]+)", r" <small>\1</small>", escape(str(text)))


def _number(text: str) -> float:
    plain = re.sub(r"\s*±\s*\S+", "", text).strip()
    return float(plain.replace(",", "")) if NUMBER.fullmatch(plain) else math.nan
