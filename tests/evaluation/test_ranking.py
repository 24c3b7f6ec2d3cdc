"""Both protocols against plain loops, closed forms, enumeration of all draws, and each other."""

import itertools
import math
import statistics
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.ranking import (
    RANKS,
    RetrievalLabels,
    by_person,
    match_positions,
    multi_shot,
    rank_lists,
    single_shot,
)


def labels_of(query, gallery, *, cameras=None, rates=None):
    """Labels of these identities; without cameras, those of the queries are in no gallery image."""
    return RetrievalLabels(
        query_identities=query,
        query_cameras=np.zeros(len(query), dtype=int) if cameras is None else cameras[0],
        query_rates=np.full(len(query), 2.0) if rates is None else rates,
        gallery_identities=gallery,
        gallery_cameras=np.ones(len(gallery), dtype=int) if cameras is None else cameras[1],
    )


def values(scores, rate=None, column="value"):
    """By metric what a tidy table says of all queries or of those of one rate."""
    chosen = scores["rate"].isna() if rate is None else scores["rate"] == rate
    return scores[chosen].set_index("metric")[column].to_dict()


def single(distances, labels, **options):
    """Single-shot scores from a fixed seed."""
    return single_shot(distances, labels, generator=np.random.default_rng(0), **options)


def own_camera(labels, query, image):
    """Whether a gallery image is of the query's identity and camera, and therefore removed."""
    same_camera = labels.gallery_cameras[image] == labels.query_cameras[query]
    return same_camera and labels.gallery_identities[image] == labels.query_identities[query]


def oracle_list(distances, labels, query):
    """Gallery indices that count for one query, best first, by Python's stable sort."""
    valid = [
        j for j, identity in enumerate(labels.gallery_identities) if identity != -1 and not own_camera(labels, query, j)
    ]
    return sorted(valid, key=lambda j: distances[query][j])


def oracle(distances, labels):
    """(first match, average precision at hits, trapezoid) of each query, walking down each list; None unmatched."""
    results = []
    for query, identity in enumerate(labels.query_identities):
        ranked = oracle_list(distances, labels, query)
        total = sum(labels.gallery_identities[j] == identity for j in ranked)
        first, hits, hit, trapezoid = None, 0, 0.0, 0.0
        old_precision = 1.0
        for position, j in enumerate(ranked):
            if labels.gallery_identities[j] == identity:
                hits += 1
                first = position if first is None else first
                hit += hits / (position + 1) / total
                trapezoid += (old_precision + hits / (position + 1)) / 2 / total
            old_precision = hits / (position + 1)  # of the list so far, before the next image
        results.append(None if first is None else (first, hit, trapezoid))
    return results


def mean(numbers, *, deviation=False):
    """Mean or sample deviation, NaN of too few."""
    if len(numbers) < 1 + deviation:
        return math.nan
    return statistics.stdev(numbers) if deviation else statistics.fmean(numbers)


def oracle_scores(results, unmatched):
    """Means of what `oracle` returned."""
    counted = [result for result in results if result is not None or unmatched == "zero"]
    counted = [(math.inf, 0.0, 0.0) if result is None else result for result in counted]
    scores = {f"rank{rank}": mean([first < rank for first, _, _ in counted]) for rank in RANKS}
    return scores | {f"map_{name}": mean([c[i] for c in counted]) for i, name in ((1, "hit"), (2, "trapezoid"))}


def sorted_positions(distances, labels):
    """`match_positions` by a stable sort of each whole row, which is slower."""
    results = []
    for query, (row, identity) in enumerate(zip(distances, labels.query_identities, strict=True)):
        ranked = np.argsort(row, kind="stable")
        right = labels.gallery_identities == identity
        valid = labels.gallery_identities != -1
        valid &= ~(right & (labels.gallery_cameras == labels.query_cameras[query]))
        results.append(np.flatnonzero(right[ranked[valid[ranked]]]).tolist())
    return results


def drawn_rank(distances, labels, query, drawn):
    """0-based position of the query's identity among the drawn images, None if its image is removed."""
    ranked = sorted((j for j in sorted(drawn) if not own_camera(labels, query, j)), key=lambda j: distances[query][j])
    right = [labels.gallery_identities[j] == labels.query_identities[query] for j in ranked]
    return right.index(True) if any(right) else None


def drawn_oracle(distances, labels, seed, draws, unmatched, rate=None):
    """Mean and deviation of each rank by loops over draws and queries; the draws are made by the same generator."""
    people = sorted({int(identity) for identity in labels.gallery_identities if identity >= 0})
    images = [[j for j, identity in enumerate(labels.gallery_identities) if identity == person] for person in people]
    results, shares = oracle(distances, labels), {rank: [] for rank in RANKS}
    for row in np.random.default_rng(seed).random((draws, len(people)), dtype=np.float32):
        drawn = [group[math.floor(share * len(group))] for group, share in zip(images, row.tolist(), strict=True)]
        positions = []
        for query in range(len(distances)):
            position = drawn_rank(distances, labels, query, drawn)
            if position is None and results[query] is None and unmatched == "zero":
                position = math.inf
            if position is not None and rate in (None, labels.query_rates[query]):
                positions.append(position)
        for rank in RANKS:
            if positions:
                shares[rank].append(sum(position < rank for position in positions) / len(positions))
    return {f"rank{rank}": (mean(of_rank), mean(of_rank, deviation=True)) for rank, of_rank in shares.items()}


@st.composite
def problems(draw):
    """Small matrices, most with ties, of identities (junk and distractors too), cameras and rates."""
    queries, gallery = draw(st.integers(1, 5)), draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    identities, highest = draw(st.integers(1, 8)), draw(st.sampled_from([-2, 1, 4, 10**6]))
    labels = labels_of(
        rng.integers(0, identities + 1, queries),
        rng.integers(-2, identities, gallery),
        cameras=(rng.integers(0, 3, queries), rng.integers(0, 3, gallery)),
        rates=rng.choice([2.0, 3.0, 4.0], queries),
    )
    distances = rng.integers(-3, highest, (queries, gallery))
    return distances.astype(draw(st.sampled_from([np.float32, np.float64]))), labels


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from(["exclude", "zero"]))
def test_scores_equal_the_loop_overall_and_by_rate(problem, unmatched):
    distances, labels = problem
    results = oracle(distances.tolist(), labels)
    positions = match_positions(distances, labels)
    assert [found.tolist() for found in positions] == sorted_positions(distances, labels)
    if all(result is None for result in results):
        with pytest.raises(InputError, match=r"gallery"):
            multi_shot(distances, labels, unmatched=unmatched)
        return
    scores = multi_shot(distances, labels, unmatched=unmatched)
    assert list(scores) == ["protocol", "rate", "metric", "value", "deviation", "queries", "unmatched"]
    assert set(scores["protocol"]) == {"multi_shot"}
    assert scores["deviation"].isna().all()
    for rate in (None, *np.unique(labels.query_rates)):
        of_rate = [
            result for result, other in zip(results, labels.query_rates, strict=True) if rate is None or other == rate
        ]
        assert values(scores, rate) == pytest.approx(oracle_scores(of_rate, unmatched), nan_ok=True)
        assert set(values(scores, rate, "queries").values()) == {len(of_rate)}
        assert set(values(scores, rate, "unmatched").values()) == {of_rate.count(None)}
    assert len(scores) == 6 * (1 + len(np.unique(labels.query_rates)))


def test_persons_by_hand():
    labels = labels_of([5, 3, 5, 9, 5], [3, 5, 5, -2])
    near = {"first": [0.9, 0.1, 0.2, 0.5], "second": [0.1, 0.2, 0.3, 0.4], "last": [0.1, 0.8, 0.9, 0.2]}
    distances = np.array([near["first"], near["second"], near["second"], near["first"], near["last"]])
    persons = by_person(distances, labels)  # identity 9 has no match
    # identity 5: precisions 1 and 1, 1/2 and 2/3, 1/3 and 2/4
    expected = [(3, 1, 1, 1.0), (5, 3, 1, round((1 + 7 / 12 + 5 / 12) / 3, 6))]
    assert list(persons.itertuples(index=False, name=None)) == expected
    assert list(persons) == ["identity", "queries", "rank1", "map_hit"]
    assert values(multi_shot(distances, labels))["rank1"] == 2 / 4


@settings(max_examples=100, deadline=None)
@given(problems())
def test_persons_add_up_to_the_scores(problem):
    distances, labels = problem
    results = [*zip(labels.query_identities, oracle(distances.tolist(), labels), strict=True)]
    persons = by_person(distances, labels)
    assert persons["identity"].tolist() == sorted({identity for identity, result in results if result})
    for identity, queries, rank1, map_hit in persons.itertuples(index=False):
        of_person = [result for each, result in results if each == identity and result]
        assert (queries, rank1) == (len(of_person), sum(first == 0 for first, *_ in of_person))
        assert map_hit == pytest.approx(mean([hit for _, hit, _ in of_person]), abs=6e-7)


def market_labels(rng, queries, gallery, identities, junk):
    """Labels like Market-1501's: six cameras, a sixth of the gallery distractors, some people without a query."""
    people = np.where(rng.random(gallery) < 1 / 6, -2, rng.integers(1, identities, gallery))
    return labels_of(
        rng.integers(1, identities + identities // 20, queries),
        np.where(rng.random(gallery) < junk, -1, people),
        cameras=(rng.integers(1, 7, queries), rng.integers(1, 7, gallery)),
        rates=rng.choice([2.0, 3.0, 4.0], queries),
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("digits", [1, 7])
def test_long_rows_with_and_without_ties_equal_a_stable_sort(dtype, digits):
    rng = np.random.default_rng(0)
    distances = np.round(rng.random((60, 3000)), digits).astype(dtype)
    labels = market_labels(rng, 60, 3000, 100, 0.2)
    found = [positions.tolist() for positions in match_positions(distances, labels)]
    assert 0 < found.count([]) < 60
    assert found == sorted_positions(distances, labels)


@pytest.mark.parametrize(
    ("relevant", "hit", "trapezoid"),
    [
        ([True], 1.0, 1.0),
        ([False, True], 1 / 2, (0 + 1 / 2) / 2),
        ([True, False, True], (1 + 2 / 3) / 2, ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / 2),
        ([False, False, True, True], (1 / 3 + 2 / 4) / 2, ((0 + 1 / 3) / 2 + (1 / 3 + 2 / 4) / 2) / 2),
    ],
)
def test_closed_forms(relevant, hit, trapezoid):
    distances = np.arange(len(relevant), dtype=np.float64)[None]
    found = values(multi_shot(distances, labels_of([1], np.where(relevant, 1, 0))))
    assert found["map_hit"] == pytest.approx(hit)
    assert found["map_trapezoid"] == pytest.approx(trapezoid)
    assert found["rank1"] == relevant[0]


@pytest.mark.parametrize("far", [4.0, np.inf])
def test_own_camera_and_junk_are_removed_distractors_are_not(far):
    # own camera, junk, distractor, another identity seen by the query's camera, the correct match; ties at infinity
    labels = labels_of([5], [5, -1, -2, 6, 5], cameras=([1], [1, 2, 2, 1, 2]))
    distances = np.array([[0.0, 1.0, 2.0, 3.0, 4.0] if far == 4 else [far, far, -far, far, far]])
    assert [positions.tolist() for positions in match_positions(distances, labels)] == [[2]]
    found = values(multi_shot(distances, labels))
    assert (found["map_hit"], found["map_trapezoid"]) == (pytest.approx(1 / 3), pytest.approx(1 / 6))
    assert (found["rank1"], found["rank5"]) == (0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, np.int64, None])
def test_tensors_and_other_arrays_rank_alike_and_stay_as_they_are(dtype):
    rng = np.random.default_rng(1)
    whole = rng.integers(0, 9, (6, 40))
    labels = labels_of(rng.integers(0, 4, 6), rng.integers(-1, 4, 40))
    if isinstance(dtype, torch.dtype):
        distances = torch.from_numpy(whole).to(dtype).requires_grad_()
    else:
        distances = np.asfortranarray(whole.astype(np.float32)) if dtype is None else whole.copy()
    expected = sorted_positions(whole, labels)
    assert [found.tolist() for found in match_positions(distances, labels)] == expected
    rank_lists(distances, labels)
    single_shot(distances, labels, draws=2, generator=rng)
    assert distances.tolist() == whole.tolist()


@settings(max_examples=100, deadline=None)
@given(problems(), st.integers(1, 12))
def test_rank_lists_equal_the_loop(problem, length):
    distances, labels = problem
    lists = rank_lists(distances, labels, length=length)
    assert list(lists) == ["query", "rank", "gallery", "correct"]
    for query, identity in enumerate(labels.query_identities):
        ranked = oracle_list(distances.tolist(), labels, query)[:length]
        found = lists[lists["query"] == query]
        assert found["gallery"].tolist() == ranked
        assert found["rank"].tolist() == list(range(1, len(ranked) + 1))
        assert found["correct"].tolist() == [labels.gallery_identities[j] == identity for j in ranked]


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from(["exclude", "zero"]))
def test_draws_equal_the_loop_overall_and_by_rate(problem, seed, draws, unmatched):
    distances, labels = problem
    results = oracle(distances.tolist(), labels)
    if all(result is None for result in results):
        return
    scores = single_shot(distances, labels, draws=draws, generator=np.random.default_rng(seed), unmatched=unmatched)
    assert set(scores["protocol"]) == {"single_shot"}
    assert len(scores) == 4 * (1 + len(np.unique(labels.query_rates)))
    for rate in (None, *np.unique(labels.query_rates)):
        expected = drawn_oracle(distances.tolist(), labels, seed, draws, unmatched, rate)
        for column, name in enumerate(("value", "deviation")):
            of_column = {metric: pair[column] for metric, pair in expected.items()}
            assert values(scores, rate, name) == pytest.approx(of_column, nan_ok=True, abs=1e-12)
        of_rate = [result for result, other in zip(results, labels.query_rates, strict=True) if rate in (None, other)]
        assert set(values(scores, rate, "queries").values()) == {len(of_rate)}
        assert set(values(scores, rate, "unmatched").values()) == {of_rate.count(None)}


def test_the_mean_over_draws_approaches_that_over_all_galleries():
    rng = np.random.default_rng(5)
    cameras = ([0, 0, 0, 1], [1, 1, 1, 2, 0, 2, 1, 2, 1, 1])
    labels = labels_of([0, 1, 2, 0], [0, 1, 2, 0, 1, 2, 0, 1, -1, -2], cameras=cameras)
    distances = rng.random((4, 10))
    images = [np.flatnonzero(labels.gallery_identities == person).tolist() for person in range(3)]
    shares = []  # every gallery is equally likely; a query is left out where its own camera's image is drawn
    for drawn in itertools.product(*images):
        positions = [drawn_rank(distances, labels, query, drawn) for query in range(4)]
        shares.append(np.mean([position == 0 for position in positions if position is not None]))
    expected = np.mean(shares)
    assert 0.1 < expected < 0.9
    result = single_shot(distances, labels, draws=8000, generator=np.random.default_rng(0))
    error = values(result, None, "deviation")["rank1"] / math.sqrt(8000)
    assert values(result)["rank1"] == pytest.approx(expected, abs=4 * error)
    assert 0 < error < 0.01


def test_labels_of_tables_mark_junk_and_distractors_by_role():
    def table(rows):
        frame = pd.DataFrame(rows, columns=["identity", "camera", "role", "rate"])
        return ImageTable(name="toy", rows=frame.assign(path=[f"{row}.png" for row in range(len(rows))]), source=None)

    # a user's own 0 need not be Market-1501's
    gallery = table([(0, 1, "distractor", 1), (7, 1, "junk", 1), (7, 2, "gallery", 1), (0, 2, "gallery", 1)])
    labels = RetrievalLabels.from_tables(table([(0, 3, "query", 2), (7, 3, "query", 4)]), gallery)
    found = {name: array.tolist() for name, array in vars(labels).items()}
    expected = {"query_identities": [0, 7], "query_cameras": [3, 3], "query_rates": [2.0, 4.0]}
    assert found == expected | {"gallery_identities": [-2, -1, 7, 0], "gallery_cameras": [1, 1, 2, 2]}
    # the distractor is nearest to query 0, the junk image to query 1
    distances = np.array([[0.0, 9.0, 2.0, 1.0], [2.0, 0.0, 1.0, 3.0]])
    assert values(multi_shot(distances, labels))["rank1"] == 0.5
    assert values(single(distances, labels, draws=2))["rank1"] == 1.0  # distractors are never drawn


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_rates": [2.0]}, "query_rates"),
        ({"query_rates": [2.0, 0.5]}, "0.5"),
        ({"query_rates": [2.0, math.nan]}, "nan"),
        ({"query_identities": [0, -1]}, "query 1 has identity -1"),
        ({"gallery_identities": [0.5, 1.0]}, "gallery_identities"),
        ({"gallery_identities": [[0, 1]]}, "gallery_identities"),
        ({"query_cameras": [0]}, r"query_cameras has the shape \(1,\) and type int64; expected \(2,\) int64"),
        ({"gallery_cameras": [0, 1, 2]}, "gallery_cameras"),
    ],
)
def test_bad_labels_are_refused(changes, message):
    good = {"query_identities": [0, 1], "query_rates": [2.0, 2.0], "gallery_identities": [0, 1]}
    good |= {"query_cameras": [0, 0], "gallery_cameras": [1, 1]}
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
@pytest.mark.parametrize("protocol", [multi_shot, single])
def test_nothing_to_find_is_explained(queries, gallery, cameras, message, protocol):
    labels = labels_of(queries, gallery, cameras=cameras)
    with pytest.raises(InputError, match=message):
        protocol(np.zeros((len(queries), len(gallery))), labels)


@pytest.mark.parametrize("function", [multi_shot, single, rank_lists])
def test_bad_distances_are_refused(function):
    labels = labels_of([0, 1], [0, 1])
    with pytest.raises(InputError, match="query 1 to gallery image 0 is not a number"):
        function(np.array([[0.0, 1.0], [math.nan, 1.0]]), labels)
    with pytest.raises(InputError, match=r"\(2, 3\); the labels say \(2, 2\)"):
        function(np.zeros((2, 3)), labels)


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [(multi_shot, "unmatched", "skip"), (single, "unmatched", "skip"), (single, "draws", 0), (rank_lists, "length", 0)],
)
def test_bad_settings_are_refused(function, name, value):
    with pytest.raises(InputError, match=name.removesuffix("s")):
        function(np.zeros((1, 1)), labels_of([0], [0]), **{name: value})


@pytest.mark.slow
def test_market_1501_takes_seconds():
    rng = np.random.default_rng(0)
    distances = np.round(rng.random((3368, 15913), dtype=np.float32), 3)  # with ties
    labels = market_labels(rng, *distances.shape, 751, 0.2)
    for protocol in (multi_shot, single):
        seconds = []
        for _ in range(3):
            start = time.process_time()  # of this process, so that other programs do not count
            protocol(distances, labels)
            seconds.append(time.process_time() - start)
        assert min(seconds) <= 1.5
    tracemalloc.start()
    multi_shot(distances, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024**2  # the distances are 204 MiB
