"""Which persons and queries are shown, and what stands beside them, against rankings made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from crreid.data.prepare import prepare
from crreid.methods.method import Method
from crreid.profiles import profile_settings
from crreid.runs import TrainedRun
from crreid.study.people import persons, ranked_lists, restored_images, typical_queries


class Colours(Method):
    """Describes an image by its mean colours in two halves, and makes it brighter."""

    def players(self):
        raise NotImplementedError

    def losses(self, batch, player):
        raise NotImplementedError

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        return images.unflatten(2, (2, -1)).mean(dim=(3, 4)).flatten(1)

    def restore(self, images: Tensor) -> Tensor:
        return images + 0.5


@pytest.fixture(scope="module")
def result(pixels) -> TrainedRun:
    profile = profile_settings("smoke", "mlr-synthetic")
    data = prepare(profile.data, None, pixels)
    settings = {"size": profile.size, "evaluation": profile.evaluation, "schedule": profile.schedule}
    run = SimpleNamespace(**settings)
    device = torch.device("cpu")
    return TrainedRun(run=run, method=Colours().eval(), data=data, device=device, log=None, start="random")


def by_hand(result: TrainedRun, query: int) -> list[bool]:
    """Whether each gallery image, nearest first, shows the query's person."""
    lists = ranked_lists(result, [query], length=len(result.data.gallery))
    return lists["frames"][0][3:]


def test_persons_are_rows_of_images_by_camera(result):
    grid = persons(result.data, 3, per_camera=2)
    assert grid["columns"] == ["camera 1", "", "camera 2", "", "camera 3", "", "camera 4", ""]
    rows = result.data.train.rows
    first = rows[(rows["identity"] == rows["identity"].min()) & (rows["camera"] == 3)]["path"].iloc[1]
    assert len(grid["rows"]) == 3
    assert np.array_equal(grid["rows"][0][5], result.data.pixels.read(first))


def test_typical_queries_are_spread_from_the_easiest_to_the_hardest(result):
    first = [by_hand(result, query).index(True) for query in range(len(result.data.query))]
    queries = typical_queries(result, 4)
    ordered = sorted(first)
    assert [first[query] for query in queries] == [ordered[int((place + 0.5) / 4 * 24)] for place in range(4)]
    assert sorted(typical_queries(result, 1000)) == list(range(24))


def test_ranked_lists_show_query_original_and_the_nearest_images(result):
    query = typical_queries(result, 3)[1]
    lists = ranked_lists(result, [query], length=5)
    path, identity, rate = result.data.query.rows[["path", "identity", "rate"]].iloc[query]
    line, frames = lists["rows"][0], lists["frames"][0]
    assert lists["columns"] == ["query", "HR", "", "1", "2", "3", "4", "5"]
    assert line[0].shape == (64, 32, 3)
    assert np.array_equal(line[1], result.data.pixels.read(path))
    assert lists["labels"] == [f"rate {rate:g}\nfirst ✓ at {by_hand(result, query).index(True) + 1}"]
    gallery = result.data.gallery.rows
    of_person = gallery[gallery["identity"] == identity]["path"]
    own = [result.data.pixels.read(path) for path in of_person]
    assert frames[3:] == [any(np.array_equal(image, one) for one in own) for image in line[3:]]


def test_restored_images_stand_between_input_and_ground_truth(result):
    shown = restored_images({"brighter": result}, [0, 3], (2, 4))
    assert shown["columns"] == ["input", "brighter", "ground truth"]
    assert shown["labels"] == ["rate 2", "rate 4"] * 2
    low, brighter, high = shown["rows"][0]
    assert brighter.mean() > low.mean() + 10
    assert shown["captions"][0][0] == f"{10 * np.log10(255**2 / np.mean((low.astype(float) - high) ** 2)):.1f} dB"
    assert shown["captions"][0][2] == ""
