"""The labels of a distance matrix: who is on its queries and gallery images, and which of these a query may find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crreid.data.table import ImageTable
from crreid.errors import InputError

__all__ = ["DISTRACTOR", "JUNK", "Booleans", "Integers", "RetrievalLabels", "SameIdentity"]

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]

JUNK = -1
"""Gallery identity of images to ignore: they are removed for every query, neither right nor wrong."""
DISTRACTOR = -2
"""Gallery identity of images of nobody: right for no query, wrong answers for all."""


class SameIdentity:
    """For each query, the gallery images of its identity and which of them its own camera took."""

    def __init__(
        self,
        query_identities: Integers,
        gallery_identities: Integers,
        query_cameras: Integers | None = None,
        gallery_cameras: Integers | None = None,
    ) -> None:
        """Checks the labels and groups the gallery by identity.

        Args:
            query_identities: (queries,) at least 0.
            gallery_identities: (gallery,); negative ones match no query.
            query_cameras: (queries,); None, for both, removes no image for its camera.
            gallery_cameras: (gallery,) or None.

        Raises:
            InputError: Shapes differ, one camera array is missing, or a query has a negative identity.
        """
        if (query_cameras is None) != (gallery_cameras is None):
            raise InputError("cameras must be given for both query and gallery, or for neither")
        for side, identities, cameras in (
            ("query", query_identities, query_cameras),
            ("gallery", gallery_identities, gallery_cameras),
        ):
            if identities.ndim != 1 or (cameras is not None and cameras.shape != identities.shape):
                found = "" if cameras is None else f" and {cameras.shape}"
                raise InputError(
                    f"{side}: identities and cameras must be arrays of one length, not {identities.shape}{found}"
                )
        if (query_identities < 0).any():
            row = int(np.argmax(query_identities < 0))
            raise InputError(f"query {row} has identity {query_identities[row]}; expected at least 0")
        # stable, so that the images of one identity stay in gallery order
        self._order = np.argsort(gallery_identities, kind="stable")
        grouped = gallery_identities[self._order]
        self._start = np.searchsorted(grouped, query_identities, side="left")
        self._stop = np.searchsorted(grouped, query_identities, side="right")
        self._query_cameras, self._gallery_cameras = query_cameras, gallery_cameras

    def __len__(self) -> int:
        return len(self._start)

    def of(self, query: int) -> tuple[Integers, Booleans]:
        """Gallery indices, ascending, of the images of the query's identity, and which of them are removed."""
        images = self._order[self._start[query] : self._stop[query]]
        if self._query_cameras is None or self._gallery_cameras is None:
            return images, np.zeros(len(images), dtype=np.bool_)
        return images, self._gallery_cameras[images] == self._query_cameras[query]


@dataclass(frozen=True, kw_only=True, eq=False)
class RetrievalLabels:
    """Who is on the query and gallery images: the labels of a distance matrix's rows and columns.

    Attributes:
        query_identities: (queries,) integers of at least 0.
        query_rates: (queries,) the factor by which each query was shrunk, at least 1; scores are broken down by it.
        gallery_identities: (gallery,) integers; `JUNK` (-1) is removed, `DISTRACTOR` (-2) matches no query.
        query_cameras: (queries,) integers; None, for both, keeps images of the query's own camera.
        gallery_cameras: (gallery,) integers or None.
    """

    query_identities: Integers
    query_rates: NDArray[np.float64]
    gallery_identities: Integers
    query_cameras: Integers | None = None
    gallery_cameras: Integers | None = None

    def __post_init__(self) -> None:
        """Turns the fields into int64 and float64 arrays.

        Raises:
            InputError: Labels are no whole numbers, lengths differ, a rate is below 1 or a query identity below 0.
        """
        for name in ("query_identities", "gallery_identities", "query_cameras", "gallery_cameras"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _whole_numbers(getattr(self, name), name))
        rates = np.asarray(self.query_rates, dtype=np.float64)
        if rates.shape != self.query_identities.shape:
            raise InputError(f"query_rates has the shape {rates.shape}; expected {self.query_identities.shape}")
        if not (rates >= 1).all():
            raise InputError(
                f"query_rates holds {rates[~(rates >= 1)][0]:g}; expected at least 1 (1 = high resolution)"
            )
        object.__setattr__(self, "query_rates", rates)
        self.same_identity()

    @classmethod
    def from_tables(cls, query: ImageTable, gallery: ImageTable, *, cameras: bool = True) -> Self:
        """Labels of two image tables, one row or column of the distances an image, in table order.

        Args:
            query: Queries; their roles do not matter.
            gallery: Gallery; rows of the role junk become `JUNK`, those of the role distractor `DISTRACTOR`.
            cameras: False keeps gallery images of the query's own camera, for data sets of one camera.

        Raises:
            InputError: A query has a negative identity.
        """
        role = gallery.rows["role"]
        identities = gallery.rows["identity"].mask(role == "junk", JUNK).mask(role == "distractor", DISTRACTOR)
        return cls(
            query_identities=query.rows["identity"].to_numpy(),
            query_rates=query.rows["rate"].to_numpy(),
            gallery_identities=identities.to_numpy(),
            query_cameras=query.rows["camera"].to_numpy() if cameras else None,
            gallery_cameras=gallery.rows["camera"].to_numpy() if cameras else None,
        )

    def same_identity(self) -> SameIdentity:
        """For each query, the gallery images of its identity."""
        return SameIdentity(self.query_identities, self.gallery_identities, self.query_cameras, self.gallery_cameras)

    def require_matches(self, matched: Booleans) -> None:
        """Raises InputError, saying why, if `matched`, (queries,), holds for no query."""
        if matched.any():
            return
        if not len(matched):
            raise InputError("there is no query to evaluate")
        if not np.isin(self.query_identities, self.gallery_identities).any():
            raise InputError(f"no identity of the {len(matched)} queries is in the gallery; expected a shared one")
        raise InputError(
            "every gallery image of a query's identity is from the query's own camera and therefore removed; "
            "check the cameras, or leave them out to keep such images"
        )


def _whole_numbers(values: ArrayLike, name: str) -> Integers:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"{name} has the shape {array.shape} and type {array.dtype}; expected one integer an image")
    return array.astype(np.int64)
