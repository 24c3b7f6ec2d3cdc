"""The numbers that papers print, tidy, with their source and what is doubtful about them."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

from crreid.errors import InputError

__all__ = ["published_dataset", "published_numbers"]

COLUMNS = ("source", "table", "method", "dataset", "metric", "value", "note")


def published_numbers(*, source: str = "ps-hrnet-2021", table: str | None = None) -> pd.DataFrame:
    """Published numbers in the order of the papers.

    Args:
        source: `ps-hrnet-2021` (Zhang et al., arXiv 2105.11722), `ps-hrnet-release` (the result figure of the authors'
            repository) or `cad-net-2019` (Li et al., ICCV 2019).
        table: The number of the table, e.g. `II`; None for all.

    Returns:
        One row a number: source, table, method, dataset, metric (rank1, rank5, rank10, map, ssim, psnr, lpips), value
        (ranks and mAP in per cent, PSNR in dB) and note (empty where nothing is doubtful).

    Raises:
        InputError: No such source or table.
    """
    with files("crreid.study").joinpath("published_numbers.csv").open(encoding="utf8") as stream:
        numbers = pd.read_csv(stream, keep_default_na=False, dtype=dict.fromkeys(COLUMNS, "str") | {"value": "float64"})
    chosen = numbers[numbers["source"] == source]
    if table is not None:
        chosen = chosen[chosen["table"] == table]
    if chosen.empty:
        raise InputError(f"no published numbers of {source!r}, table {table!r}")
    return chosen.reset_index(drop=True)


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
