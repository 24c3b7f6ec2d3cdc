"""Tables as HTML: the best number of a column bold, the second underlined, deviations small, published ones apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from crreid.errors import InputError

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

__all__ = ["read_markdown_table", "styled"]

NUMBER = re.compile(r"^[+-]?\d[\d,]*(\.\d+)?")
DEVIATION = re.compile(r"\s*±\s*\S+")
SCORES = re.compile(r"\b(rank-\d+|mAP|SSIM|PSNR)\b")
LONG = 30  # characters
WORDS = "text-align: left; white-space: normal; min-width: 12em"
BEST, SECOND, PUBLISHED = (
    "font-weight: bold",
    "text-decoration: underline",
    "background-color: rgba(127, 127, 127, 0.12)",
)


def styled(
    table: pd.DataFrame,
    *,
    published: Sequence[str] | None = None,
    higher_is_better: Sequence[str] | None = None,
    lower_is_better: Sequence[str] = (),
) -> Styler:
    """A table as a notebook shows it; what is saved as CSV or Markdown stays plain.

    A column is compared by its means as they are shown: equal ones share their place, and a column with one distinct
    number has no best. A cell without a number (`-`, a list of three ranks) takes no part.

    Args:
        table: What to show; an index that only counts is left out.
        published: Columns of published numbers, set apart by their background; None = those named `published ...`.
        higher_is_better: Columns to compare; None = those named after a rank, mAP, SSIM or PSNR, unless the first
            column or the index repeats a name, for then rows are no rivals.
        lower_is_better: Columns to compare where the smallest number is the best.

    Raises:
        InputError: A column that the table does not have.
    """
    names = [str(column) for column in table.columns]
    for name in (*(published or ()), *(higher_is_better or ()), *lower_is_better):
        if name not in names:
            raise InputError(f"the table has no column {name!r}; it has {', '.join(names)}")
    if published is None:
        published = [name for name in names if name.startswith("published")]
    if higher_is_better is None:
        rivals = _are_rivals(table)
        higher_is_better = [name for name in names if rivals and SCORES.search(name) and name not in lower_is_better]
    content = table.to_csv() + repr((published, higher_is_better, lower_is_better))
    style = (
        table.style.set_uuid(hashlib.sha256(content.encode()).hexdigest()[:8])
        .format(_cell)
        .format_index(_heading, axis=1)
    )
    if _counts(table.index):
        style = style.hide(axis="index")
    words = [str(name) for name, column in table.items() if _is_words(column)]
    style = style.map(lambda _: WORDS, subset=_positions(table, words))
    style = style.apply_index(
        lambda index: ["text-align: left" if str(name) in words else "" for name in index], axis=1
    )
    for columns, sign in ((higher_is_better, 1), (lower_is_better, -1)):
        style = style.apply(_places, subset=_positions(table, columns), sign=sign)
    style = style.map(lambda _: PUBLISHED, subset=_positions(table, published))
    return style.set_table_styles([{"selector": "small", "props": "opacity: 0.7; font-size: 80%"}])


def read_markdown_table(text: str) -> pd.DataFrame:
    """A table as `Session.save_table` writes it to Markdown, every cell a text.

    Raises:
        InputError: The text is no such table.
    """
    rows = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        for line in text.splitlines()
        if line.strip()
    ]
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows) or not set("".join(rows[1])) <= set(":- "):
        raise InputError(f"not a Markdown table: {text[:60]!r}")
    return pd.DataFrame(rows[2:], columns=rows[0], dtype=object)


def _counts(index: pd.Index[Any]) -> bool:
    """Whether an index only counts rows."""
    return index.name is None and bool(pd.api.types.is_integer_dtype(index))


def _are_rivals(table: pd.DataFrame) -> bool:
    """Whether every row has a name of its own."""
    named = table.iloc[:, 0] if _counts(table.index) and len(table.columns) else table.index
    names = named.tolist()
    return len(set(names)) == len(names)


def _is_words(column: pd.Series[Any]) -> bool:
    """Whether no cell starts with a number and some are long: such cells may break into lines."""
    texts = [str(value) for value in column]
    return not any(NUMBER.match(text) for text in texts) and any(len(text) > LONG for text in texts)


def _positions(table: pd.DataFrame, columns: Sequence[str]) -> Any:
    return pd.IndexSlice[:, [column for column in table.columns if str(column) in columns]]


def _cell(value: Any) -> str:
    """HTML of a cell: floats with one decimal, the deviation of `57.1 ± 0.4` small."""
    if isinstance(value, float):
        value = "-" if pd.isna(value) else f"{value:.1f}"
    return re.sub(r"\s*(± ?[\d.]+)", r" <small>\1</small>", escape(str(value)))


def _heading(name: Any) -> str:
    """HTML of a column's name, which breaks between words only."""
    return SCORES.sub(r'<span style="white-space: nowrap">\1</span>', escape(str(name)))


def _number(value: Any) -> float:
    """The number that a cell shows, its deviation aside; no number for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(float(value), 1)
    text = DEVIATION.sub("", str(value)).strip()
    return float(text.replace(",", "")) if NUMBER.fullmatch(text) else float("nan")


def _places(column: pd.Series[Any], sign: int) -> list[str]:
    numbers = [sign * _number(value) for value in column]
    ordered = sorted({number for number in numbers if number == number}, reverse=True)
    if len(ordered) < 2:
        return [""] * len(numbers)
    return [BEST if number == ordered[0] else SECOND if number == ordered[1] else "" for number in numbers]
