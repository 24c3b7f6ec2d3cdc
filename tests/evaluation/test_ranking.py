"""Rankings against a plain loop, closed-form examples, and the size of Market-1501."""

import json
import math
import time
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.errors import InputError
from crreid.evaluation.ranking import RankingScores, rank_lists, rank_queries, summarise


def oracle_list(row, identity, camera, gallery_identities, gallery_cameras):
    """Gallery indices that count for one query, best first, by Python's stable sort."""
    valid = [
        j
        for j in range(len(row))
        if gallery_identities[j] != -1
        and not (gallery_identities[j] == identity and camera is not None and gallery_cameras[j] == camera)
    ]
    return sorted(valid, key=lambda j: row[j])


def oracle(distances, query_identities, gallery_identities, query_cameras=None, gallery_cameras=None):
    """(first match, average precision at hits, trapezoid) of each query, walking down each list."""
    results = []
    for i, identity in enumerate(query_identities):
        camera = None if query_cameras is None else query_cameras[i]
        ranked = oracle_list(distances[i], identity, camera, gallery_identities, gallery_cameras)
        total = sum(gallery_identities[j] == identity for j in ranked)
        first, hits, hit, trapezoid = -1, 0, 0.0, 0.0
        old_precision = 1.0
        for position, j in enumerate(ranked):
            if gallery_identities[j] == identity:
                hits += 1
                first = position if first < 0 else first
                hit += hits / (position + 1) / total
                trapezoid += (old_precision + hits / (position + 1)) / 2 / total
            old_precision = hits / (position + 1)  # of the list so far, before the next image
        results.append((first, hit, trapezoid))
    return results


def sorted_oracle(distances, query_identities, gallery_identities, query_cameras=None, gallery_cameras=None):
    """`oracle` by a stable sort of each whole row: slower than `rank_queries`, with which it agrees to the last bit."""
    results = []
    for i, (row, identity) in enumerate(zip(distances, query_identities, strict=True)):
        ranked = np.argsort(row, kind="stable")
        right = gallery_identities == identity
        valid = gallery_identities != -1
        if query_cameras is not None:
            valid &= ~(right & (gallery_cameras == query_cameras[i]))
        positions = np.flatnonzero(right[ranked[valid[ranked]]])
        hits = np.arange(len(positions))
        precision = (hits + 1) / (positions + 1)
        before = np.where(positions == 0, 1.0, hits / np.maximum(positions, 1))
        results.append(
            (positions[0], precision.mean(), (before + precision).mean() / 2) if len(positions) else (-1, 0.0, 0.0)
        )
    return results


@st.composite
def problems(draw, tied=True):
    """Small matrices with few distinct distances, identities (junk and distractors included) and cameras."""
    queries, gallery = draw(st.integers(0, 5)), draw(st.integers(0, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = draw(st.integers(1, 6)) if tied else 10**6
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    labels = {
        "query_identities": rng.integers(0, 3, queries),
        "gallery_identities": rng.integers(-2, 3, gallery),
    }
    if draw(st.booleans()):
        labels |= {"query_cameras": rng.integers(0, 2, queries), "gallery_cameras": rng.integers(0, 2, gallery)}
    if tied:
        distances = rng.integers(-values, values, (queries, gallery)).astype(dtype)
    else:
        distances = rng.permutation(queries * gallery).reshape(queries, gallery).astype(dtype)
    return distances, labels


def assert_equal_rankings(found, expected):
    assert [(first, pytest.approx(hit), pytest.approx(trapezoid)) for first, hit, trapezoid in expected] == list(
        zip(found.first_match, found.average_precision_hit, found.average_precision_trapezoid, strict=True)
    )


def assert_identical_rankings(found, expected):
    first, hit, trapezoid = zip(*expected, strict=True) if expected else ((), (), ())
    np.testing.assert_array_equal(found.first_match, first)
    np.testing.assert_array_equal(found.average_precision_hit, hit)
    np.testing.assert_array_equal(found.average_precision_trapezoid, trapezoid)


@settings(max_examples=300, deadline=None)
@given(problems(), st.integers(1, 6))
def test_rankings_equal_the_loop_for_any_chunk(problem, chunk):
    distances, labels = problem
    found = rank_queries(distances, **labels, chunk=chunk)
    assert_equal_rankings(found, oracle(distances, **labels))
    assert_identical_rankings(found, sorted_oracle(distances, **labels))


@settings(max_examples=60, deadline=None)
@given(problems(tied=False), st.integers(0, 2**32 - 1))
def test_the_order_of_an_untied_gallery_does_not_matter(problem, seed):
    distances, labels = problem
    order = np.random.default_rng(seed).permutation(distances.shape[1])
    shuffled = {name: array[order] if name.startswith("gallery") else array for name, array in labels.items()}
    first, second = rank_queries(distances, **labels), rank_queries(distances[:, order], **shuffled)
    for name in ("first_match", "average_precision_hit", "average_precision_trapezoid"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@settings(max_examples=200, deadline=None)
@given(problems(), st.integers(1, 12), st.integers(1, 3))
def test_rank_lists_equal_the_loop(problem, k, chunk):
    distances, labels = problem
    lists = rank_lists(distances, **labels, k=k, chunk=chunk)
    assert lists.indices.shape == lists.right.shape == (len(distances), k)
    for i, identity in enumerate(labels["query_identities"]):
        camera = labels["query_cameras"][i] if "query_cameras" in labels else None
        gallery = labels["gallery_identities"]
        ranked = oracle_list(distances[i], identity, camera, gallery, labels.get("gallery_cameras"))[:k]
        padding = [-1] * (k - len(ranked))
        assert lists.indices[i].tolist() == ranked + padding
        assert lists.right[i].tolist() == [gallery[j] == identity for j in ranked] + [False] * len(padding)


def market_labels(rng, queries, gallery, identities, junk):
    """Labels like Market-1501's: six cameras, a sixth of the gallery distractors, some people without a query."""
    people = np.where(rng.random(gallery) < 1 / 6, -2, rng.integers(1, identities, gallery))
    return {
        "query_identities": rng.integers(1, identities + identities // 20, queries),
        "gallery_identities": np.where(rng.random(gallery) < junk, -1, people),
        "query_cameras": rng.integers(1, 7, queries),
        "gallery_cameras": rng.integers(1, 7, gallery),
    }


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("digits", [1, 2, 7])
@pytest.mark.parametrize("junk", [0, 0.2])
def test_long_rows_with_and_without_ties_equal_a_stable_sort(dtype, digits, junk):
    rng = np.random.default_rng(0)
    distances = np.round(rng.random((60, 3000)), digits).astype(dtype)
    labels = market_labels(rng, 60, 3000, 100, junk)
    found = rank_queries(distances, **labels)
    assert 0 < np.count_nonzero(found.first_match < 0) < 60
    assert_identical_rankings(found, sorted_oracle(distances, **labels))


def test_infinite_distances_of_removed_images_count_for_nothing():
    # at distance infinity: own camera, junk, a stranger, the right image; a plain fill of removed images would tie
    rankings = rank_queries(
        np.array([[np.inf, np.inf, -np.inf, np.inf, np.inf]], dtype=np.float32),
        query_identities=np.array([5]),
        gallery_identities=np.array([5, -1, 7, 6, 5]),
        query_cameras=np.array([1]),
        gallery_cameras=np.array([1, 2, 2, 1, 2]),
    )
    assert rankings.first_match.tolist() == [2]
    assert rankings.average_precision_hit[0] == pytest.approx(1 / 3)


def one_query(relevant):
    """Rankings of one query whose gallery is in order and holds right images where `relevant` says so."""
    return rank_queries(
        np.arange(len(relevant), dtype=np.float64)[None],
        query_identities=np.array([1]),
        gallery_identities=np.where(relevant, 1, 0),
    )


@pytest.mark.parametrize(
    ("relevant", "first", "hit", "trapezoid"),
    [
        ([True], 0, 1.0, 1.0),
        ([False, True], 1, 1 / 2, (0 + 1 / 2) / 2),
        ([True, False, True], 0, (1 + 2 / 3) / 2, ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / 2),
        ([False, False, True, True], 2, (1 / 3 + 2 / 4) / 2, ((0 + 1 / 3) / 2 + (1 / 3 + 2 / 4) / 2) / 2),
        ([True, True, False, False], 0, 1.0, 1.0),
        ([False], -1, 0.0, 0.0),
    ],
)
def test_closed_forms(relevant, first, hit, trapezoid):
    rankings = one_query(relevant)
    assert rankings.first_match.tolist() == [first]
    assert rankings.average_precision_hit[0] == pytest.approx(hit)
    assert rankings.average_precision_trapezoid[0] == pytest.approx(trapezoid)


def test_own_camera_and_junk_are_removed_distractors_are_not():
    # best first: own camera, junk, distractor, somebody else seen by the query's camera, the right image
    rankings = rank_queries(
        np.array([[0.0, 1.0, 2.0, 3.0, 4.0]], dtype=np.float32),
        query_identities=np.array([5]),
        gallery_identities=np.array([5, -1, -2, 6, 5]),
        query_cameras=np.array([1]),
        gallery_cameras=np.array([1, 2, 2, 1, 2]),
    )
    assert rankings.first_match.tolist() == [2]
    assert rankings.average_precision_hit[0] == pytest.approx(1 / 3)
    assert rankings.average_precision_trapezoid[0] == pytest.approx(1 / 6)


def test_summary_counts_unmatched_queries_out_or_as_zero():
    rankings = rank_queries(
        np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]),
        query_identities=np.array([1, 2, 3]),
        gallery_identities=np.array([1, 2]),
    )
    excluded = summarise(rankings, ranks=(1, 2))
    assert excluded == RankingScores(
        ranks={1: 0.5, 2: 1.0}, map_hit=0.75, map_trapezoid=pytest.approx(0.625), queries=3, unmatched=1
    )
    zero = summarise(rankings, ranks=(1, 2), unmatched="zero")
    assert zero.ranks == {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3)}
    assert (zero.map_hit, zero.map_trapezoid) == (pytest.approx(0.5), pytest.approx(1.25 / 3))
    assert (zero.queries, zero.unmatched) == (3, 1)


def test_scores_survive_strict_json_also_when_nothing_was_scored():
    rankings = one_query([False, True])
    scores = summarise(rankings)
    assert RankingScores.from_dict(json.loads(json.dumps(scores.to_dict(), allow_nan=False))) == scores
    empty = summarise(rankings.select(np.array([False])))
    assert math.isnan(empty.map_hit)
    assert math.isnan(empty.ranks[1])
    back = RankingScores.from_dict(json.loads(json.dumps(empty.to_dict(), allow_nan=False)))
    assert math.isnan(back.map_trapezoid)
    assert list(back.ranks) == list(empty.ranks)
    with pytest.raises(InputError, match="map_hit"):
        RankingScores.from_dict({"ranks": {"1": 0.5}})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_tensors_rank_like_arrays(dtype):
    rng = np.random.default_rng(1)
    distances = torch.from_numpy(rng.random((4, 30))).to(dtype).requires_grad_()
    labels = {"query_identities": rng.integers(0, 4, 4), "gallery_identities": rng.integers(0, 4, 30)}
    assert_equal_rankings(rank_queries(distances, **labels), oracle(distances.tolist(), **labels))


def test_whole_number_and_column_major_distances_rank_alike():
    rng = np.random.default_rng(2)
    whole = rng.integers(0, 9, (6, 40))
    labels = {"query_identities": rng.integers(0, 4, 6), "gallery_identities": rng.integers(0, 4, 40)}
    expected = oracle(whole.tolist(), **labels)
    assert_equal_rankings(rank_queries(whole, **labels), expected)
    assert_equal_rankings(rank_queries(np.asfortranarray(whole.astype(np.float32)), **labels), expected)


def test_inputs_are_left_as_they_are():
    rng = np.random.default_rng(3)
    distances, queries, gallery = rng.random((5, 20)), rng.integers(0, 3, 5), rng.integers(-1, 3, 20)
    copies = distances.copy(), queries.copy(), gallery.copy()
    rank_queries(distances, query_identities=queries, gallery_identities=gallery)
    rank_lists(distances, query_identities=queries, gallery_identities=gallery, k=3)
    for array, copy in zip((distances, queries, gallery), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("function", [rank_queries, rank_lists])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distances": np.array([[0.0, 1.0], [math.nan, 1.0]])}, "query 1 to gallery image 0 is not a number"),
        ({"distances": np.zeros((2, 3))}, r"\(2, 3\)"),
        ({"query_cameras": np.array([0, 0])}, "both query and gallery"),
        ({"query_cameras": np.array([0, 0]), "gallery_cameras": np.array([0])}, "gallery: identities and cameras"),
        ({"query_identities": np.array([0, -1])}, "query 1 has identity -1"),
        ({"chunk": 0}, "chunk"),
    ],
)
def test_bad_input_is_refused(function, changes, message):
    good = {
        "distances": np.zeros((2, 2)),
        "query_identities": np.array([0, 1]),
        "gallery_identities": np.array([0, 1]),
    }
    with pytest.raises(InputError, match=message):
        function(**(good | changes))


def test_bad_settings_are_refused():
    rankings = one_query([True])
    with pytest.raises(InputError, match="ranks"):
        summarise(rankings, ranks=(0, 1))
    with pytest.raises(InputError, match="unmatched"):
        summarise(rankings, unmatched="skip")
    with pytest.raises(InputError, match="k must"):
        rank_lists(np.zeros((1, 1)), query_identities=np.array([0]), gallery_identities=np.array([0]), k=0)


@pytest.mark.slow
@pytest.mark.parametrize(("digits", "junk"), [(None, 0), (None, 0.2), (3, 0.2)])
def test_market_1501_takes_at_most_seven_tenths_of_a_second(digits, junk):
    rng = np.random.default_rng(0)
    queries, gallery = 3368, 15913
    distances = rng.random((queries, gallery), dtype=np.float32)
    distances = distances if digits is None else np.round(distances, digits)
    labels = market_labels(rng, queries, gallery, 751, junk)
    seconds = []
    for _ in range(5):
        start = time.process_time()  # of the processor, so that other programs do not count
        rankings = rank_queries(distances, **labels)
        seconds.append(time.process_time() - start)
    assert min(seconds) <= 0.7
    some = np.arange(queries) % 10 == 0
    part = {name: array[some] if name.startswith("query") else array for name, array in labels.items()}
    assert_identical_rankings(rankings.select(some), sorted_oracle(distances[some], **part))
    tracemalloc.start()
    rank_queries(distances, **labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024**2  # the distances are 204 MiB
