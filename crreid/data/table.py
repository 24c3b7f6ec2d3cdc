"""The image table: one row per image. Every reader returns one; the MLR protocol takes one and returns one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import pandas as pd

from crreid.data.degradation import Degradation
from crreid.data.sources import ImageSource
from crreid.errors import InputError

COLUMNS = ("path", "identity", "camera", "role", "rate")

ROLES = ("train", "query", "gallery", "distractor", "junk")
"""`distractor`: a person or box of nobody in the query set (Market-1501's 0000), harmful to retrieve.
`junk`: a box to ignore (Market-1501's -1), neither a correct nor a false match."""


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """Images with their labels, and how to read them.

    Attributes:
        name: Name of the data set, e.g. `market-1501`; the MLR protocol puts `mlr-` before it.
        rows: One row per image with the columns path (str), identity (int), camera (int), role (one of ROLES) and rate
            (float >= 1: the downsampling rate before the image is upsampled again; 1 = as the file is).
        source: Reads the pixels behind `path`.
        degradation: How an image with rate > 1 is downsampled and upsampled.
        notes: Facts worth printing under the table's description (persons left out, files ignored, ...).
    """

    name: str
    rows: pd.DataFrame
    source: ImageSource
    degradation: Degradation = field(default_factory=Degradation)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check columns, roles and rates (InputError names the first bad row), and fix column order and types."""
        missing = [column for column in COLUMNS if column not in self.rows.columns]
        if missing:
            raise InputError(f"{self.name}: image table lacks the column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
        rows = self.rows.loc[:, list(COLUMNS)].reset_index(drop=True)
        for column, allowed, expected in (
            ("role", rows["role"].isin(ROLES), f"one of {', '.join(ROLES)}"),
            ("rate", rows["rate"] >= 1, "a number of at least 1 (1 = high resolution)"),
        ):
            if not allowed.all():
                bad = rows[~allowed].iloc[0]
                raise InputError(f"{self.name}: {bad['path']} has {column} {bad[column]!r}; expected {expected}")
        types = {"path": "str", "identity": "int64", "camera": "int64", "role": "str", "rate": "float64"}
        object.__setattr__(self, "rows", rows.astype(types))

    def __len__(self) -> int:
        return len(self.rows)

    def with_role(self, *roles: str) -> Self:
        """Return the rows of the given roles, in table order."""
        return self.select(self.rows["role"].isin(roles))

    def select(self, mask: pd.Series[bool]) -> Self:
        """Return the rows where `mask` (one boolean per row) holds, in table order."""
        return replace(self, rows=self.rows[mask].reset_index(drop=True))

    def with_rates(self, rates: float | Sequence[float]) -> Self:
        """Return the same images with other rates: one for all, or one per row."""
        return replace(self, rows=self.rows.assign(rate=rates))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits naming what the table says (not the pixels): files, labels, roles, rates, filters."""
        lines = [f"{self.name} {self.degradation.describe()}"]
        lines += [
            f"{path},{identity},{camera},{role},{rate:g}"
            for path, identity, camera, role, rate in self.rows.itertuples(index=False)
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def describe(self) -> pd.DataFrame:
        """Count images, identities, cameras and rates per role, in the order of ROLES; no role without images."""
        lines = []
        for role in ROLES:
            rows = self.rows[self.rows["role"] == role]
            if len(rows):
                rates = " ".join(
                    f"{rate:g}:{number}" for rate, number in rows["rate"].value_counts().sort_index().items()
                )
                lines.append((role, len(rows), rows["identity"].nunique(), rows["camera"].nunique(), rates))
        return pd.DataFrame(lines, columns=["role", "images", "identities", "cameras", "images per rate"])
