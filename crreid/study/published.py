"""The numbers that papers print, tidy, with their source and what is doubtful about them."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

from crreid.errors import InputError

__all__ = ["published_dataset", "published_methods", "published_numbers", "published_rank1"]

COLUMNS = ("source", "table", "method", "dataset", "metric", "value", "note")
METHOD_COLUMNS = ("method", "year", "venue", "family", "title", "arxiv", "measured_by", "note")


def published_numbers(*, source: str = "ps-hrnet-2021", table: str | None = None) -> pd.DataFrame:
    """Published numbers in the order of the papers; what a table prints as a dash has no row.

    Args:
        source: `ps-hrnet-2021` (Zhang et al., arXiv 2105.11722), `ps-hrnet-release` (the result figure of the authors'
            repository), `cad-net-2019` (Li et al., ICCV 2019; of its Table 1 the rows of f and g alone) or
            `cad-net-poster-2019` (the same authors' poster: rank-1 and rank-5; its restoration table is Table 2).
        table: The number of the table, e.g. `II`; None for all.

    Returns:
        One row a number: source, table, method, dataset, metric (rank1, rank5, rank10, map, ssim, psnr, lpips), value
        (ranks and mAP in per cent, PSNR in dB) and note (empty where nothing is doubtful). Which mAP it is, at hits or
        trapezoid, the paper does not say; its released code has the trapezoid.

    Raises:
        InputError: No such source or table.
    """
    numbers = _read("published_numbers.csv", dict.fromkeys(COLUMNS, "str") | {"value": "float64"})
    chosen = numbers[numbers["source"] == source]
    if table is not None:
        chosen = chosen[chosen["table"] == table]
    if chosen.empty:
        raise InputError(f"no published numbers of {source!r}, table {table!r}")
    return chosen.reset_index(drop=True)


def published_methods() -> pd.DataFrame:
    """The 25 methods of PS-HRNet's Table I, in its order.

    Returns:
        One row a method: method (as the table names it), year and venue (of the paper; `arXiv` where the paper is
        quoted from there), family (what it does about low resolution), title, arxiv (number; empty where not known for
        certain), measured_by (who measured the table's numbers; `probably` where no source was seen) and note (empty
        where nothing is doubtful).
    """
    return _read("published_methods.csv", dict.fromkeys(METHOD_COLUMNS, "str") | {"year": "int64"})


def published_rank1(dataset: str) -> pd.DataFrame:
    """Table I on one data set, as `crreid.figures.rank1_by_year` draws it.

    Args:
        dataset: As the paper names it, e.g. `MLR-Market-1501`.

    Returns:
        One row a method that has a number there: method, year, family, rank1 (per cent), measured (False) and
        suspect (whether the number has a note).

    Raises:
        InputError: Table I has no such data set.
    """
    numbers = published_numbers(table="I")
    chosen = numbers[(numbers["dataset"] == dataset) & (numbers["metric"] == "rank1")]
    if chosen.empty:
        names = ", ".join(numbers["dataset"].unique())
        raise InputError(f"Table I has no data set {dataset!r}; expected one of {names}")
    joined = published_methods().merge(chosen[["method", "value", "note"]], on="method", suffixes=("_of_method", ""))
    joined = joined.rename(columns={"value": "rank1"}).assign(measured=False, suspect=joined["note"] != "")
    return joined[["method", "year", "family", "rank1", "measured", "suspect"]]


def published_dataset(dataset: str) -> str | None:
    """The papers' name of a data set that notebooks call e.g. `mlr-market-1501`; None where no paper has it."""
    return {
        "mlr-market-1501": "MLR-Market-1501",
        "mlr-cuhk03": "MLR-CUHK03",
        "mlr-viper": "MLR-VIPeR",
        "mlr-dukemtmc-reid": "MLR-DukeMTMC-reID",
        "caviar": "CAVIAR",
        "market-1501": "Market-1501",
        "dukemtmc-reid": "DukeMTMC-reID",
    }.get(dataset)


def _read(name: str, types: dict[str, str]) -> pd.DataFrame:
    """A table that comes with the package; empty fields stay empty texts."""
    with files("crreid.study").joinpath(name).open(encoding="utf8") as stream:
        return pd.read_csv(stream, keep_default_na=False, dtype=types)
