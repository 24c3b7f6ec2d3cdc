"""Comparing rows at single rates: values that can be worked out on paper."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.runs import Record
from crreid.study.rates import (
    at_rate,
    listed,
    mean_rank1,
    rank1_at_rates,
    rank1_by_rate,
    rank1_noise,
    signed,
    unlike_starts,
    verdict,
)
from crreid.study.tables import tidy_scores


def record(scores: dict[str, float], *, seed: int = 0, queries: int = 100) -> Record:
    tests = {
        name: {
            "multi_shot": {
                "overall": {
                    "ranks": {"1": percent / 100, "5": 1.0, "10": 1.0},
                    "map_hit": 0.5,
                    "map_trapezoid": 0.4,
                    "queries": queries,
                    "unmatched": 0,
                },
                "per_rate": {},
            }
        }
        for name, percent in scores.items()
    }
    return Record(digest=f"{seed:016}", title="", run={"seed": seed}, measured={"scores": tests}, provenance={})


def test_rates_name_tests_as_the_evaluation_does() -> None:
    assert [at_rate(rate) for rate in (1.0, 2.5, 8)] == ["rate 1", "rate 2.5", "rate 8"]


def test_means_over_seeds_by_rate_in_ascending_order() -> None:
    rows = {
        "A": [
            record({"protocol": 9, "rate 8": 10, "rate 1.5": 40}),
            record({"protocol": 11, "rate 8": 20, "rate 1.5": 50}),
        ]
    }
    table = rank1_by_rate(rows)
    assert table.index.tolist() == [1.5, 8]
    assert table["A"].tolist() == [45, 15]
    assert mean_rank1(rows["A"]) == 10


def test_records_without_rates_are_refused() -> None:
    with pytest.raises(InputError, match="has no scores by query rate"):
        rank1_by_rate({"A": [record({"protocol": 9})]})
    with pytest.raises(InputError, match="records is empty"):
        rank1_by_rate({})


def test_noise_of_one_seed_is_that_of_the_queries() -> None:
    half, fifth = [record({"protocol": 50})], [record({"protocol": 20}, queries=400)]
    assert rank1_noise(half, half) == pytest.approx(2 * math.sqrt(2 * 25))  # 50 * 50 / 100 for each
    assert rank1_noise(half, fifth) == pytest.approx(2 * math.sqrt(25 + 4))
    certain = [record({"protocol": 100})]
    assert rank1_noise(certain, certain) == 0


def test_noise_of_several_seeds_is_the_larger_of_both() -> None:
    quiet = [record({"protocol": 50}), record({"protocol": 50}, seed=1)]
    assert rank1_noise(quiet, quiet) == pytest.approx(2 * math.sqrt(50))
    loud = [record({"protocol": 30}), record({"protocol": 70}, seed=1)]  # variance 800, of the mean 400
    assert rank1_noise(loud, quiet) == pytest.approx(2 * math.sqrt(400 + 25))


def test_verdicts() -> None:
    assert [verdict(difference, 2) for difference in (2.0, -2.0, 2.1, -2.1)] == [
        "within the noise",
        "within the noise",
        "more than the noise",
        "a loss, more than the noise",
    ]


def test_table_holds_the_single_rates_only() -> None:
    tidy = tidy_scores(
        {
            "A": [record({"protocol": 9, "rate 1": 40}), record({"protocol": 9, "rate 1": 44}, seed=1)],
            "B": [record({"rate 1": 30})],
        }
    )
    expected = pd.DataFrame({"rank-1, all at rate 1": ["42.0 ± 2.8", "30.0"]}, index=pd.Index(["A", "B"], name="row"))
    pd.testing.assert_frame_equal(rank1_at_rates(tidy), expected, check_dtype=False)


@pytest.mark.parametrize(("points", "text"), [(1.25, "+1.2"), (-0.04, "+0.0"), (0.0, "+0.0"), (-3.0, "-3.0")])
def test_signs(points: float, text: str) -> None:
    assert signed(points) == text


def test_lists() -> None:
    assert listed(["A"]) == "A"
    assert listed(["A", "B", "C"]) == "A, B and C"


def test_rows_that_start_unlike_are_named() -> None:
    def started(*weights: str) -> list[Record]:
        return [replace(record({}), run={"weights": each}) for each in weights]

    rows = {"A": started("file 12ab"), "B": started("random"), "C": started("random")}
    assert unlike_starts(rows) == [
        "The order is not that of the methods alone: A starts from given weights, B and C from random ones."
    ]
    assert unlike_starts({"B": rows["B"], "C": rows["C"]}) == []
    assert unlike_starts({"A": rows["A"]}) == []
