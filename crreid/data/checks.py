"""Checks of an image table that training and evaluation make before they start."""

from __future__ import annotations

from dataclasses import replace

from crreid.data.table import ImageTable
from crreid.errors import InputError

__all__ = ["check_queries", "check_training", "drop_single_images"]


def check_queries(table: ImageTable, *, same_camera_removed: bool = True) -> None:
    """Checks that every query can find something.

    Args:
        table: Rows with the roles query and gallery; others are not looked at.
        same_camera_removed: Gallery images of the query's identity from the query's own camera do not count, as in the
            standard protocol.

    Raises:
        InputError: No query, no gallery, or a query without any image of its identity (from another camera) in the
            gallery; names the first one and the usual cause.
    """
    query = table.with_role("query").rows
    gallery = table.with_role("gallery").rows
    for role, rows in (("query", query), ("gallery", gallery)):
        if rows.empty:
            raise InputError(f"{table.name}: no image has the role {role}; expected at least one")
    absent = query[~query["identity"].isin(gallery["identity"])]
    if len(absent):
        first = absent.iloc[0]
        raise InputError(
            f"{table.name}: identity {first['identity']} of the query {first['path']} is not in the gallery "
            f"({len(absent)} of {len(query)} queries are without a match); "
            "expected a gallery image of each query's identity"
        )
    if not same_camera_removed:
        return
    # a gallery with two cameras for an identity always holds another one than the query's
    only = gallery.groupby("identity")["camera"].agg(["min", "max"]).loc[query["identity"]].reset_index(drop=True)
    blocked = query[((only["min"] == query["camera"]) & (only["max"] == query["camera"])).to_numpy()]
    if len(blocked):
        first = blocked.iloc[0]
        raise InputError(
            f"{table.name}: all gallery images of identity {first['identity']} come from camera {first['camera']}, as "
            f"does the query {first['path']} ({len(blocked)} of {len(query)} queries are without a match): images of "
            "the same identity and camera are removed before scoring, so give different cameras different numbers"
        )


def check_training(table: ImageTable) -> None:
    """Checks that every training identity has two images or more, without which there is no positive pair.

    Raises:
        InputError: No training image, or an identity with a single one; names the first and what to do.
    """
    rows = table.with_role("train").rows
    if rows.empty:
        raise InputError(f"{table.name}: no image has the role train; expected at least two images an identity")
    single = rows[~rows["identity"].duplicated(keep=False)]
    if len(single):
        first = single.iloc[0]
        raise InputError(
            f"{table.name}: identity {first['identity']} has a single training image, {first['path']} "
            f"({len(single)} such identities); expected two or more, so add images or drop these with "
            "crreid.data.checks.drop_single_images(table)"
        )


def drop_single_images(table: ImageTable) -> ImageTable:
    """Leaves out the training identities that have a single image, and says in the notes how many; other roles stay."""
    train = table.rows["role"] == "train"
    single = train & ~table.rows["identity"].where(train).duplicated(keep=False)
    if not single.any():
        return table
    note = f"{int(single.sum())} training identities with a single image are left out"
    return replace(table.select(~single), notes=(*table.notes, note))
