"""Both protocols against plain loops, enumeration of all draws, and each other."""

import itertools
import json
import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.protocols import (
    MultiShotResult,
    RetrievalLabels,
    SingleShotResult,
    multi_shot,
    single_shot,
)
from crreid.evaluation.ranking import rank_queries, summarise


def make_labels(queries, gallery, rng, *, identities=4, cameras=3):
    """Random labels; queries of identity `identities` have no image in the gallery, junk and distractors are in it."""
    return RetrievalLabels(
        query_identities=rng.integers(0, identities + 1, queries),
        query_rates=rng.choice([2.0, 3.0, 4.0], queries),
        gallery_identities=np.concatenate([np.arange(identities), rng.integers(-2, identities, gallery - identities)]),
        query_cameras=rng.integers(0, cameras, queries) if cameras else None,
        gallery_cameras=rng.integers(0, cameras, gallery) if cameras else None,
    )


def own_camera(labels, query, image):
    """Whether a gallery image is of the query's identity and camera, and therefore removed."""
    return (
        labels.query_cameras is not None
        and labels.gallery_identities[image] == labels.query_identities[query]
        and labels.gallery_cameras[image] == labels.query_cameras[query]
    )


def valid_images(labels, query):
    return [
        j
        for j, identity in enumerate(labels.gallery_identities)
        if identity == labels.query_identities[query] and not own_camera(labels, query, j)
    ]


def drawn_rank(distances, labels, query, drawn):
    """0-based position of the query's person among the drawn images, None if the image of the person is removed."""
    ranked = sorted((j for j in sorted(drawn) if not own_camera(labels, query, j)), key=lambda j: distances[query][j])
    right = [labels.gallery_identities[j] == labels.query_identities[query] for j in ranked]
    return right.index(True) if any(right) else None


def shared_oracle(distances, labels, seed, draws, ranks, zero):
    """Mean and deviation by loops over draws and queries, with one table of draws made by the same generator."""
    people = sorted({int(identity) for identity in labels.gallery_identities if identity >= 0})
    images = [[j for j, identity in enumerate(labels.gallery_identities) if identity == person] for person in people]
    shares_of_one = np.random.default_rng(seed).random((draws, len(people)), dtype=np.float32)
    shares = {rank: [] for rank in ranks}
    for row in shares_of_one:
        drawn = [group[math.floor(share * len(group))] for group, share in zip(images, row.tolist(), strict=True)]
        positions = []
        for query in range(len(distances)):
            position = drawn_rank(distances, labels, query, drawn)
            if position is not None:
                positions.append(position)
            elif zero and not valid_images(labels, query):
                positions.append(math.inf)
        for rank in ranks:
            if positions:
                shares[rank].append(sum(position < rank for position in positions) / len(positions))
    return {rank: (np.mean(values), np.std(values, ddof=1)) for rank, values in shares.items()}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0, 3]), st.sampled_from(["exclude", "zero"]))
def test_shared_draws_equal_the_loop(seed, tied, cameras, unmatched):
    rng = np.random.default_rng(seed)
    labels = make_labels(8, 14, rng, cameras=cameras)
    labels.query_identities[0] = 0
    if cameras:
        labels.query_cameras[0], labels.gallery_cameras[0] = 0, 1  # at least one valid match
    distances = rng.integers(0, 4, (8, 14)).astype(np.float32) if tied else rng.random((8, 14))
    result = single_shot(
        distances,
        labels,
        generator=np.random.default_rng(seed),
        draws=6,
        ranks=(1, 2, 4),
        unmatched=unmatched,
        chunk=int(rng.integers(1, 9)),
    )
    expected = shared_oracle(distances.tolist(), labels, seed, 6, (1, 2, 4), unmatched == "zero")
    for rank, (mean, deviation) in expected.items():
        assert result.overall.ranks[rank] == pytest.approx(mean)
        assert result.overall.ranks_deviation[rank] == pytest.approx(deviation, nan_ok=True, abs=1e-12)
    assert result.overall.unmatched == sum(not valid_images(labels, query) for query in range(8))


@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_the_mean_over_draws_approaches_that_over_all_galleries(draw):
    rng = np.random.default_rng(5)
    labels = RetrievalLabels(
        query_identities=np.array([0, 1, 2, 0]),
        query_rates=np.full(4, 2.0),
        gallery_identities=np.array([0, 1, 2, 0, 1, 2, 0, 1, -1, -2]),
        query_cameras=np.array([0, 0, 0, 1]),
        gallery_cameras=np.array([1, 1, 1, 2, 0, 2, 1, 2, 1, 1]),
    )
    distances = rng.random((4, 10))
    images = [np.flatnonzero(labels.gallery_identities == person).tolist() for person in range(3)]
    shares = []
    if draw == "shared":  # every gallery is equally likely; a query is left out where its own camera's image is drawn
        for drawn in itertools.product(*images):
            positions = [drawn_rank(distances, labels, query, drawn) for query in range(4)]
            shares.append(np.mean([position == 0 for position in positions if position is not None]))
    else:  # every gallery is equally likely for each query, once its own camera's images are gone
        for query in range(4):
            groups = [[j for j in group if not own_camera(labels, query, j)] for group in images]
            positions = [drawn_rank(distances, labels, query, drawn) for drawn in itertools.product(*groups)]
            shares.append(np.mean([position == 0 for position in positions]))
    expected = np.mean(shares)
    assert 0.1 < expected < 0.9
    result = single_shot(distances, labels, generator=np.random.default_rng(0), draws=8000, draw=draw, ranks=(1,))
    error = result.overall.ranks_deviation[1] / math.sqrt(8000)
    assert result.overall.ranks[1] == pytest.approx(expected, abs=4 * error)
    assert 0 < error < 0.01


def test_queries_that_draw_alone_vary_less():
    # a common gallery is hard or easy for all queries at once
    rng = np.random.default_rng(6)
    labels = RetrievalLabels(
        query_identities=np.zeros(300, dtype=int),
        query_rates=np.full(300, 2.0),
        gallery_identities=np.repeat(np.arange(5), 20),
    )
    distances = rng.random(100) + 0.01 * rng.random((300, 100))  # all queries agree about the gallery
    shared, alone = (
        single_shot(distances, labels, generator=np.random.default_rng(0), draws=60, draw=draw).overall
        for draw in ("shared", "per_query")
    )
    assert alone.ranks_deviation[1] < 0.5 * shared.ranks_deviation[1]


@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_one_image_an_identity_leaves_nothing_to_draw(draw):
    rng = np.random.default_rng(7)
    labels = RetrievalLabels(
        query_identities=rng.integers(0, 12, 30), query_rates=rng.choice([2, 4], 30), gallery_identities=np.arange(12)
    )
    distances = rng.random((30, 12))
    single = single_shot(distances, labels, generator=rng, draws=5, draw=draw)
    multi = multi_shot(distances, labels)
    assert single.overall.ranks == pytest.approx(multi.overall.ranks)
    assert set(single.overall.ranks_deviation.values()) == {0.0}
    for rate, scores in single.per_rate.items():
        assert scores.ranks == pytest.approx(multi.per_rate[rate].ranks)


@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_draws_depend_on_the_generator_alone(draw):
    rng = np.random.default_rng(8)
    labels, distances = make_labels(25, 60, rng), rng.random((25, 60)).astype(np.float32)

    def run(seed, chunk):
        return single_shot(
            distances, labels, generator=np.random.default_rng(seed), draws=10, draw=draw, chunk=chunk
        ).to_dict()

    assert run(0, 1) == run(0, 7) == run(0, 256)
    assert run(0, 7) != run(1, 7)


def test_multi_shot_is_rank_queries_overall_and_by_rate():
    rng = np.random.default_rng(9)
    labels, distances = make_labels(40, 80, rng), rng.random((40, 80))
    result = multi_shot(distances, labels, ranks=(1, 3), unmatched="zero", chunk=9)
    arguments = {
        "gallery_identities": labels.gallery_identities,
        "gallery_cameras": labels.gallery_cameras,
    }
    for rate, scores in [(None, result.overall), *result.per_rate.items()]:
        mask = np.full(40, True) if rate is None else labels.query_rates == rate
        rankings = rank_queries(
            distances[mask],
            query_identities=labels.query_identities[mask],
            query_cameras=labels.query_cameras[mask],
            **arguments,
        )
        assert scores == summarise(rankings, ranks=(1, 3), unmatched="zero")
    assert list(result.per_rate) == [2.0, 3.0, 4.0]
    assert sum(scores.queries for scores in result.per_rate.values()) == result.overall.queries == 40
    assert sum(scores.unmatched for scores in result.per_rate.values()) == result.overall.unmatched > 0


def test_a_rate_whose_queries_are_all_unmatched_is_not_a_number():
    labels = RetrievalLabels(
        query_identities=np.array([0, 9]), query_rates=np.array([2.0, 3.0]), gallery_identities=np.array([0, 1])
    )
    distances = np.array([[0.0, 1.0], [0.0, 1.0]])
    multi = multi_shot(distances, labels)
    single = single_shot(distances, labels, generator=np.random.default_rng(0), draws=2)
    for result in (multi, single):
        assert result.overall.ranks[1] == 1.0
        assert math.isnan(result.per_rate[3.0].ranks[1])
        assert (result.per_rate[3.0].queries, result.per_rate[3.0].unmatched) == (1, 1)
    zero = single_shot(distances, labels, generator=np.random.default_rng(0), draws=2, unmatched="zero")
    assert (zero.overall.ranks[1], zero.per_rate[3.0].ranks[1]) == (0.5, 0.0)


def test_results_survive_strict_json():
    rng = np.random.default_rng(10)
    labels, distances = make_labels(20, 40, rng), rng.random((20, 40))
    multi = multi_shot(distances, labels)
    single = single_shot(distances, labels, generator=rng, draws=3)
    assert MultiShotResult.from_dict(json.loads(json.dumps(multi.to_dict(), allow_nan=False))) == multi
    assert SingleShotResult.from_dict(json.loads(json.dumps(single.to_dict(), allow_nan=False))) == single
    once = single_shot(distances, labels, generator=rng, draws=1).to_dict()
    assert once["overall"]["ranks_deviation"]["1"] is None
    assert math.isnan(SingleShotResult.from_dict(once).overall.ranks_deviation[1])


@pytest.mark.parametrize("kind", [MultiShotResult, SingleShotResult])
@pytest.mark.parametrize("values", [{}, {"overall": {}, "per_rate": {}}, {"overall": 3, "per_rate": {}}, None])
def test_broken_records_are_refused(kind, values):
    with pytest.raises(InputError, match="missing"):
        kind.from_dict(values)


def make_table(rows):
    return ImageTable(
        name="toy",
        rows=pd.DataFrame(rows, columns=["path", "identity", "camera", "role", "rate"]),
        source=None,
    )


def test_labels_of_tables_mark_junk_and_distractors_by_role():
    query = make_table([("a", 0, 3, "query", 2), ("b", 7, 3, "query", 4)])
    gallery = make_table(
        [
            ("c", 0, 1, "distractor", 1),  # a user's own 0 need not be Market-1501's
            ("d", 7, 1, "junk", 1),
            ("e", 7, 2, "gallery", 1),
            ("f", 0, 2, "gallery", 1),
        ]
    )
    labels = RetrievalLabels.from_tables(query, gallery)
    assert labels.query_identities.tolist() == [0, 7]
    assert labels.query_rates.tolist() == [2.0, 4.0]
    assert labels.query_cameras.tolist() == [3, 3]
    assert labels.gallery_identities.tolist() == [-2, -1, 7, 0]
    assert labels.gallery_cameras.tolist() == [1, 1, 2, 2]
    without = RetrievalLabels.from_tables(query, gallery, cameras=False)
    assert without.query_cameras is None
    assert without.gallery_cameras is None
    # the distractor is nearest to query 0, the junk image to query 1
    distances = np.array([[0.0, 9.0, 2.0, 1.0], [2.0, 0.0, 1.0, 3.0]])
    assert multi_shot(distances, labels).overall.ranks == {1: 0.5, 5: 1.0, 10: 1.0, 20: 1.0}
    single = single_shot(distances, labels, generator=np.random.default_rng(0), draws=2)
    assert single.overall.ranks[1] == 1.0  # distractors are never drawn


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_rates": [2.0]}, "query_rates"),
        ({"query_rates": [2.0, 0.5]}, "0.5"),
        ({"query_rates": [2.0, math.nan]}, "nan"),
        ({"query_identities": [0, -1]}, "query 1 has identity -1"),
        ({"gallery_identities": [0.5, 1.0]}, "gallery_identities"),
        ({"gallery_identities": [[0, 1]]}, "gallery_identities"),
        ({"query_cameras": [0, 0]}, "both query and gallery"),
        ({"query_cameras": [0], "gallery_cameras": [0, 0]}, "query: identities and cameras"),
    ],
)
def test_bad_labels_are_refused(changes, message):
    good = {"query_identities": [0, 1], "query_rates": [2.0, 2.0], "gallery_identities": [0, 1]}
    with pytest.raises(InputError, match=message):
        RetrievalLabels(**(good | changes))


@pytest.mark.parametrize(
    ("queries", "gallery", "cameras", "message"),
    [
        ([], [0, 1], None, "no query"),
        ([5, 6], [0, 1], None, "no identity of the 2 queries"),
        ([0, 1], [], None, "no identity of the 2 queries"),
        ([0, 1], [0, 1], ([3, 3], [3, 3]), "query's own camera"),
    ],
)
@pytest.mark.parametrize("draw", [None, "shared", "per_query"])
def test_nothing_to_find_is_explained(queries, gallery, cameras, message, draw):
    labels = RetrievalLabels(
        query_identities=queries,
        query_rates=np.full(len(queries), 2.0),
        gallery_identities=gallery,
        query_cameras=cameras and cameras[0],
        gallery_cameras=cameras and cameras[1],
    )
    distances = np.zeros((len(queries), len(gallery)))
    arguments = {} if draw is None else {"generator": np.random.default_rng(0), "draw": draw}
    with pytest.raises(InputError, match=message):
        (multi_shot if draw is None else single_shot)(distances, labels, **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": 0}, "at least 1 draw"),
        ({"draw": "both"}, "both"),
        ({"unmatched": "skip"}, "skip"),
        ({"ranks": (0,)}, "ranks"),
        ({"distances": np.full((2, 2), math.nan)}, "not a number"),
        ({"distances": np.zeros((3, 2))}, "shape"),
    ],
)
def test_bad_settings_of_single_shot_are_refused(changes, message):
    labels = RetrievalLabels(query_identities=[0, 1], query_rates=[2.0, 2.0], gallery_identities=[0, 1])
    arguments = {"distances": np.zeros((2, 2)), "generator": np.random.default_rng(0)}
    with pytest.raises(InputError, match=message):
        single_shot(labels=labels, **(arguments | changes))


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "limit"), [("shared", 3.0), ("per_query", 8.0)])
def test_a_hundred_draws_take_seconds(draw, limit):
    rng = np.random.default_rng(11)
    labels = RetrievalLabels(
        query_identities=rng.integers(0, 750, 3000),
        query_rates=rng.choice([2, 3, 4], 3000),
        gallery_identities=rng.integers(0, 750, 10_000),
        query_cameras=np.zeros(3000, dtype=int),
        gallery_cameras=rng.integers(1, 6, 10_000),
    )
    distances = rng.random((3000, 10_000), dtype=np.float32)
    start = time.perf_counter()
    single_shot(distances, labels, generator=rng, draw=draw)
    assert time.perf_counter() - start < limit
