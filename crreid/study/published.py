"""The numbers that papers print, tidy, with their source and what is doubtful about them."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

from crreid.errors import InputError

EVERY = "every data set"


def published_numbers(
    *, source: str = "ps-hrnet-2021", table: str | None = None, dataset: str | None = EVERY
) -> pd.DataFrame:
    """Return published numbers in the order of the papers; what a table prints as a dash has no line.

    Args:
        source: `ps-hrnet-2021` (Zhang et al., arXiv 2105.11722), `ps-hrnet-release` (the result figure of the authors'
            repository), `cad-net-2019` (Li et al., ICCV 2019; of its Table 1 the rows of f and g alone) or
            `cad-net-poster-2019` (the same authors' poster: rank-1 and rank-5; its restoration table is Table 2).
        table: The number of the table, e.g. `II`; None for all.
        dataset: A data set as the papers name it, e.g. `Study.paper_name`; of None there are no numbers.

    Returns:
        One line per number: source, table, method, dataset, metric (rank1, rank5, rank10, map, ssim, psnr, lpips),
        value (ranks and mAP in per cent, PSNR in dB) and note (empty where nothing is doubtful). The paper does not say
        which mAP it prints, at hits or trapezoid; its released code computes the trapezoid.
    """
    numbers = _read("published_numbers.csv").astype({"value": float})
    chosen = numbers[numbers["source"] == source]
    if table is not None:
        chosen = chosen[chosen["table"] == table]
    if chosen.empty:
        raise InputError(f"no published numbers of {source!r}, table {table!r}")
    if dataset != EVERY:
        chosen = chosen[chosen["dataset"] == dataset]
    return chosen.reset_index(drop=True)


def published_methods() -> pd.DataFrame:
    """Return the 25 methods of PS-HRNet's Table I, in its order.

    Returns:
        One line per method: method (as the table names it), year and venue (of the paper; `arXiv` where the paper is
        quoted from there), family (what it does about low resolution), title, arxiv (number; empty where not known for
        certain), measured_by (who measured the table's numbers; `probably` where no source was seen) and note (empty
        where nothing is doubtful).
    """
    return _read("published_methods.csv").astype({"year": int})


def _read(name: str) -> pd.DataFrame:
    """Read a table that comes with the package, as texts; empty fields stay empty."""
    with files("crreid.study").joinpath(name).open(encoding="utf8") as stream:
        return pd.read_csv(stream, keep_default_na=False, dtype=str)
