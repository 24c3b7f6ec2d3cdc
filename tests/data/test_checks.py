"""Checks before training and evaluation."""

import re
from pathlib import Path

import pandas as pd
import pytest

from crreid.data.prepare import check_queries, check_training, drop_single_images
from crreid.data.sources import FolderSource
from crreid.data.table import COLUMNS, ImageTable
from crreid.errors import InputError


def table(*rows: tuple[int, int, str]) -> ImageTable:
    """Rows (identity, camera, role); the n-th image is called n.jpg."""
    records = [(f"{n}.jpg", identity, camera, role, 1.0) for n, (identity, camera, role) in enumerate(rows)]
    return ImageTable(
        name="tiny", rows=pd.DataFrame(records, columns=list(COLUMNS)), source=FolderSource(Path()), notes=("a note",)
    )


def test_queries_with_matches_pass() -> None:
    check_queries(
        table(
            (5, 1, "query"), (5, 2, "query"), (5, 1, "gallery"), (5, 2, "gallery"), (6, 1, "gallery"), (7, 3, "train")
        )
    )


def test_absent_identity() -> None:
    bad = table((5, 1, "query"), (6, 1, "query"), (6, 2, "query"), (5, 2, "gallery"), (6, 2, "distractor"))
    message = "tiny: identity 6 of the query 1.jpg is not in the gallery (2 of 3 queries are without a match)"
    with pytest.raises(InputError, match=re.escape(message)):
        check_queries(bad)


def test_same_camera_only() -> None:
    bad = table((5, 1, "query"), (6, 4, "query"), (5, 2, "gallery"), (6, 4, "gallery"), (6, 4, "gallery"))
    message = "all gallery images of identity 6 come from camera 4, as does the query 1.jpg (1 of 2 queries"
    with pytest.raises(InputError, match=re.escape(message)):
        check_queries(bad)


def test_training() -> None:
    check_training(table((5, 1, "train"), (5, 1, "train"), (6, 1, "query")))


def test_single_training_image() -> None:
    bad = table((5, 1, "train"), (5, 2, "train"), (6, 1, "train"), (6, 1, "query"), (4, 1, "train"))
    message = "identity 6 has a single training image, 2.jpg (2 such identities)"
    with pytest.raises(InputError, match=re.escape(message)):
        check_training(bad)
    good = drop_single_images(bad)
    check_training(good)
    assert good.rows["path"].tolist() == ["0.jpg", "1.jpg", "3.jpg"]
    assert good.notes == ("a note", "2 training identities with a single image are left out")
    assert drop_single_images(good) is good
