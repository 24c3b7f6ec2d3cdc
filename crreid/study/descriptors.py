"""Descriptors of the same test images at several resolutions, to ask what they tell about the resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crreid.data.prepare import PreparedData
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.embedding import embed_table
from crreid.runs import TrainedRun

__all__ = ["DescribedImages", "described_images"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DescribedImages:
    """Descriptors of N images: every image at every rate.

    Attributes:
        features: (N, D) of the whole descriptor.
        parts: Its named parts.
        identities: (N,).
        rates: (N,) by which each was shrunk.
    """

    features: NDArray[np.float32]
    parts: dict[str, slice]
    identities: NDArray[np.int64]
    rates: NDArray[np.float64]

    def part(self, name: str) -> NDArray[np.float32]:
        """One part of the descriptors, (N, d), as f; the whole where the method has no parts and for no name."""
        if not self.parts or not name:
            return self.features
        if name not in self.parts:
            raise InputError(f"the descriptor has no part {name!r}; it has {', '.join(self.parts)}")
        return self.features[:, self.parts[name]]

    def of_persons(self, count: int) -> DescribedImages:
        """Those of the first so many persons."""
        chosen = np.isin(self.identities, np.unique(self.identities)[:count])
        return DescribedImages(
            features=self.features[chosen],
            parts=self.parts,
            identities=self.identities[chosen],
            rates=self.rates[chosen],
        )


def described_images(
    result: TrainedRun, rates: Sequence[float], *, persons: int = 60, images: int = 1
) -> DescribedImages:
    """Describes test images of some persons, each shrunk from its high-resolution file by each rate; no mirror images.

    Where low resolution is as recorded, images of the gallery only: the queries have no high-resolution file.

    Args:
        result: A trained run with its data.
        rates: At least 1 each.
        persons: How many, those of the smallest identities first.
        images: Of each person and camera, the first of the table.

    Raises:
        InputError: A rate below 1.
    """
    table = _chosen(result.data, persons, images)
    every = [table.with_rates(rate) for rate in rates]
    features = [
        embed_table(
            result.method,
            one,
            result.data.pixels,
            result.run.size,
            flip=False,
            device=result.device,
            precision=result.run.schedule.precision,
        ).numpy()
        for one in every
    ]
    rows = pd.concat([one.rows for one in every])
    return DescribedImages(
        features=np.concatenate(features),
        parts=result.method.parts(),
        identities=rows["identity"].to_numpy(),
        rates=rows["rate"].to_numpy(),
    )


def _chosen(data: PreparedData, persons: int, images: int) -> ImageTable:
    """Rows of the persons asked for: of the gallery and, unless low resolution is as recorded, of the queries."""
    tables = [data.gallery] if data.native else [data.query, data.gallery]
    rows = pd.concat([table.rows for table in tables])
    rows = rows[rows["role"].isin(("query", "gallery"))].sort_values(["identity", "camera"], kind="stable")
    people = sorted(rows["identity"].unique())[:persons]
    rows = rows[rows["identity"].isin(people)].groupby(["identity", "camera"]).head(images)
    return replace(data.query, rows=rows)
