"""Who is best at which resolution: lines that can be drawn on paper, and a slow search beside the fast one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.data.mlr import MLRSettings
from crreid.data.prepare import DataSettings
from crreid.methods.lrar import LRARSettings
from crreid.runs import Record, Run
from crreid.study.unseen import (
    best_by_rate,
    choices,
    crossing_rates,
    crossings,
    seen_rates,
    shown_choices,
    shown_crossings,
    unseen_conclusion,
)

RATES = (1.0, 2.0, 2.5, 3.0, 4.0, 8.0)
QUERIES = 5000  # two standard errors of a difference are 2 points at 50 per cent, less elsewhere


def record(percent: tuple[float, ...], seed: int = 0) -> Record:
    tests = {
        f"rate {rate:g}": {"multi_shot": {"overall": {"ranks": {"1": value / 100}, "queries": QUERIES}}}
        for rate, value in zip(RATES, percent, strict=True)
    }
    return Record(digest=f"{seed:016}", title="", run={"seed": seed}, measured={"scores": tests}, provenance={})


ROWS = {
    "sharp": [record((80, 60, 50, 40, 20, 10))],
    "blurred": [record((50, 50, 49, 48, 40, 30), seed=1)],
    "same": [record((50, 49, 48.5, 48, 39, 29), seed=2)],
}


def means(**values: tuple[float, ...]) -> pd.DataFrame:
    rates = [1.0, 2.0, 4.0][: len(next(iter(values.values())))]
    return pd.DataFrame(values, index=pd.Index(rates, name="rate"), dtype=float)


# --- lines ---------------------------------------------------------------------------------------------------------


def test_the_best_changes_where_lines_cross() -> None:
    best = best_by_rate(means(A=(60, 40, 0), B=(50, 50, 10), C=(0, 0, 40)))
    assert best.to_numpy().tolist() == [
        ["A", 1.0, 1.5],
        ["B", 1.5, pytest.approx(3.25)],
        ["C", pytest.approx(3.25), 4.0],
    ]


def test_one_best_is_one_piece_even_where_others_touch_it() -> None:
    assert best_by_rate(means(A=(60, 50, 40), B=(10, 50, 40))).to_numpy().tolist() == [["A", 1.0, 4.0]]
    assert best_by_rate(means(A=(60,), B=(70,))).to_numpy().tolist() == [["B", 1.0, 1.0]]


@given(st.integers(1, 5), st.integers(2, 5), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_the_pieces_are_the_highest_line_everywhere(systems: int, rates: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    at = np.cumsum(generator.uniform(0.5, 2, rates))
    table = pd.DataFrame(
        generator.integers(0, 6, (rates, systems)).astype(float),  # few values: many ties
        index=pd.Index(at, name="rate"),
        columns=[f"system {number}" for number in range(systems)],
    )
    best = best_by_rate(table)
    assert best["start"].iloc[0] == at[0]
    assert best["stop"].iloc[-1] == at[-1]
    assert best["start"].iloc[1:].tolist() == best["stop"].iloc[:-1].tolist()
    assert (best["system"].to_numpy()[1:] != best["system"].to_numpy()[:-1]).all()
    for system, start, stop in best.itertuples(index=False):
        assert stop > start
        for rate in np.linspace(start, stop, 7):
            heights = {name: np.interp(rate, at, table[name]) for name in table}
            assert heights[system] == pytest.approx(max(heights.values()), abs=1e-6)


@pytest.mark.parametrize(
    ("one", "other", "rates"),
    [
        ((60, 40, 0), (50, 50, 10), [1.5]),
        ((60, 50, 60), (50, 50, 50), []),  # they touch
        ((60, 50, 40), (50, 50, 50), [2.0]),
        ((50, 50, 50), (50, 50, 50), []),
        ((50, 50, 60), (50, 50, 50), []),
        ((60, 40, 60), (50, 50, 50), [1.5, 3.0]),
    ],
)
def test_crossings_of_two_lines(one: Any, other: Any, rates: list[float]) -> None:
    table = means(one=one, other=other)
    assert crossing_rates(table["one"], table["other"]) == pytest.approx(rates)
    assert crossing_rates(table["other"], table["one"]) == pytest.approx(rates)


# --- pairs and choices ---------------------------------------------------------------------------------------------


def test_pairs_that_cross_by_more_than_the_noise() -> None:
    pairs = crossings(ROWS).set_index(["row", "other"])
    assert len(pairs) == 3
    assert pairs.loc[("sharp", "blurred"), "clear"]
    assert pairs.loc[("sharp", "blurred"), "rates"] == "2.6"
    assert pairs.loc[("sharp", "blurred"), ["lead", "deficit"]].tolist() == [30, -20]
    assert pairs.loc[("blurred", "same"), "crossings"] == 0
    assert not pairs.loc[("blurred", "same"), "clear"]


def test_small_crossings_are_no_clear_ones() -> None:
    pairs = crossings({"A": [record((50, 50, 50, 50, 50, 49))], "B": [record((49, 50, 50, 50, 50, 50))]})
    assert pairs["crossings"].tolist() == [1]
    assert pairs["rates"].tolist() == ["3.0"]  # the middle of the rates at which both are equal
    assert pairs["clear"].tolist() == [False]


def test_shown_pairs_are_those_that_change_most() -> None:
    shown = shown_crossings(crossings(ROWS))
    assert shown["other"].tolist() == ["blurred", "same"]
    assert shown["more than the noise"].tolist() == ["yes", "yes"]
    assert shown["largest lead"].tolist() == ["+30.0", "+30.0"]
    assert len(shown_crossings(crossings(ROWS), most=1)) == 1
    assert shown_crossings(crossings({"A": ROWS["same"]})).empty


def test_choices_name_the_best_and_its_equals() -> None:
    table = choices(ROWS, (2, 3, 4))
    assert len(table) == 18
    at_4 = table[table["rate"] == 4]
    assert at_4["row"].tolist() == ["blurred", "same", "sharp"]
    assert at_4["as_good"].tolist() == [True, True, False]
    shown = shown_choices(table)
    assert shown["in training"].tolist() == ["sharp images", "yes", "no", "yes", "yes", "no"]
    assert shown["best"].tolist() == ["sharp", "sharp", "sharp", "blurred, same", "blurred", "blurred"]
    assert shown["rank-1"].tolist() == ["80.0", "60.0", "50.0", "48.0", "40.0", "30.0"]
    assert shown["within the noise of it"].tolist() == ["none", "none", "all others", "none", "same 39.0", "same 29.0"]


# --- conclusion ----------------------------------------------------------------------------------------------------


def test_the_conclusion_holds_what_the_numbers_say() -> None:
    text = unseen_conclusion(ROWS, (2, 3, 4))
    assert "the best is **sharp** from 1.0 to 2.6 and **blurred** from 2.6 to 8.0." in text
    assert (
        "Of 3 pairs of systems 2 change their order somewhere, of **2** by more than the noise: sharp and blurred"
        in text
    )
    # at 2.5 from the middle of 2 and 3: 0, 0 and 0
    assert "at 2.5, rank-1 lies **+0.0** points from the straight line" in text
    assert "From rate 4, the last of the training, to rate 8 rank-1 changes by **-10.0** points on average" in text
    assert "Within the noise of the best at every rate: **none**." in text or "every rate: none." in text
    assert "chooses **sharp**: at most 20.0 points below the best (at rate 4)." in text
    assert "from 5000 queries a rate, for a single seed" in text


def test_rates_between_are_measured_from_the_line() -> None:
    rows = {"A": [record((50, 40, 30, 30, 20, 10))], "B": [record((50, 40, 38, 30, 20, 0))]}
    text = unseen_conclusion(rows, (2, 3, 4))
    assert "at 2.5, rank-1 lies **-1.0** points from the straight line" in text
    assert "(from -5.0, A, to +3.0, B)" in text
    assert "**-15.0** points on average, from -10.0 (A) to -20.0 (B)." in text


def test_one_system_that_is_always_the_best() -> None:
    rows = {"A": [record((50,) * 6)], "B": [record((30,) * 6)]}
    text = unseen_conclusion(rows, ())
    assert "**A** is the best at every rate from 1 to 8." in text
    assert "Of 1 pairs of systems 0 change their order somewhere" in text
    assert "of the training" not in text
    assert "chooses **A**: the best at every rate." in text
    assert "every rate: **A**." in text


def test_seen_rates_are_those_of_the_training_images() -> None:
    run = Run(data=DataSettings(mlr=MLRSettings()), method=LRARSettings())
    assert seen_rates({"A": [run]}) == (2, 3, 4)
    mixed = replace(run, data=DataSettings(mlr=MLRSettings(train_rates=(1, 2))))
    assert seen_rates({"A": [mixed]}) == (1, 2)
    assert seen_rates({"A": [replace(run, data=DataSettings(mlr=None))]}) == ()
