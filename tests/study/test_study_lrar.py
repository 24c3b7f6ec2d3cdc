"""What the LRAR notebook says, held to numbers that can be worked out on paper, and masks to their start."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings
from crreid.methods.lrar import LRAR, LRARSettings
from crreid.methods.ps_hrnet import PSHRNetSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.runs import Record, Run, TrainedRun
from crreid.starting_weights import RANDOM_WEIGHTS
from crreid.study.lrar import (
    learned_masks,
    lrar_conclusion,
    mask_conclusion,
    mask_summary,
    shown_masks,
    wrong_level_conclusion,
    wrong_level_scores,
    wrong_level_table,
)
from crreid.study.session import open_session
from crreid.study.system_rows import lrar_rows

# one seed of 5000 queries: two standard errors of a difference are 2 points at 50 per cent, less elsewhere
QUERIES = 5000
RATES = (1, 2, 3, 4, 8)
FULL = LRARSettings(network=PooledClassifierSettings(backbone="test_resnet", feature_length=16, dropout=0.0))
ROWS = ("told right", "too sharp", "too coarse")


def record(rank1: float, rates: dict[float, float], *, seed: int = 0) -> Record:
    def scores(percent: float) -> dict[str, Any]:
        return {"multi_shot": {"overall": {"ranks": {"1": percent / 100}, "queries": QUERIES}}}

    tests = {"protocol": scores(rank1)} | {f"rate {rate:g}": scores(percent) for rate, percent in rates.items()}
    return Record(digest=f"{seed:016}", title="", run={"seed": seed}, measured={"scores": tests}, provenance={})


def level(percent: float) -> list[Record]:
    """The same rank-1 everywhere."""
    return [record(percent, dict.fromkeys((1, 4), percent))]


def run(rate_error: float = 0.0, *, seed: int = 0, method: Any = FULL) -> Run:
    session = open_session("lrar", profile="smoke")
    made = lrar_rows(session.profile, seed=seed, weights=RANDOM_WEIGHTS)["Baseline"]
    return replace(made, method=method, evaluation=EvaluationSettings(query_rates=RATES, rate_error=rate_error))


# --- mechanisms ----------------------------------------------------------------------------------------------------


def test_each_step_is_weighed_against_the_row_before_it() -> None:
    rows = {"Baseline": level(40), "+ masks": level(45), "+ verification": level(44), "+ progressive = LRAR": level(50)}
    text = lrar_conclusion(rows)
    assert "- *masks* adds **+5.0** points of rank-1 (40.0 to 45.0): more than the noise;" in text
    assert "- *verification* adds **-1.0** points of rank-1 (45.0 to 44.0): within the noise;" in text
    assert "- *progressive* adds **+6.0** points" in text
    assert "The whole LRAR is **+10.0** points of rank-1 from its baseline (40.0 to 50.0): more than the noise" in text
    assert "for a single seed" in text


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        (41, "do not show that the mechanisms help"),
        (39, "do not show that the mechanisms help"),
        (30, "**the plain baseline is the better system**"),
        (50, "together the mechanisms help"),
    ],
)
def test_the_whole_is_judged_honestly(whole: float, words: str) -> None:
    assert words in lrar_conclusion({"Baseline": level(40), "LRAR": level(whole)})


def test_the_rates_at_which_something_changes_are_named() -> None:
    rows = {"Baseline": [record(40, {1: 50, 2: 45, 8: 20})], "LRAR": [record(40, {1: 40, 2: 46, 8: 30})]}
    text = lrar_conclusion(rows)
    assert (
        "-10.0 at rate 1, +1.0 at rate 2, +10.0 at rate 8; more than the noise: -10.0 at rate 1, +10.0 at rate 8."
        in text
    )


def test_seeds_are_counted() -> None:
    rows = {
        row: [record(40 + step, {1: 40}, seed=0), record(42 + step, {1: 40}, seed=1)]
        for step, row in enumerate(("Baseline", "LRAR"))
    }
    assert "and the spread of 2 seeds" in lrar_conclusion(rows)


# --- levels --------------------------------------------------------------------------------------------------------


@pytest.fixture
def wrong() -> pd.DataFrame:
    runs = {row: [run(error)] for row, error in zip(ROWS, (0.0, -1.0, 1.0), strict=True)}
    percent = {
        "told right": (60, 50, 40, 30, 20),
        "too sharp": (60, 49, 30, 20, 20),
        "too coarse": (40, 48, 39, 30, 20),
    }
    records = {row: [record(0, dict(zip(RATES, values, strict=True)))] for row, values in percent.items()}
    return wrong_level_scores(runs, records)


def test_levels_are_those_that_lrar_uses(wrong: pd.DataFrame) -> None:
    assert wrong.groupby("row", sort=False)["told"].agg(list).to_dict() == {
        "told right": [4, 3, 2, 1, 1],
        "too sharp": [4, 4, 3, 2, 1],  # rate 7 has the level of rate 8, and no image is sharper than sharp
        "too coarse": [3, 2, 1, 1, 1],
    }
    assert wrong["level"].tolist() == [4, 3, 2, 1, 1] * 3
    assert wrong["right"].tolist() == [60, 50, 40, 30, 20] * 3


def test_the_table_says_where_the_level_stays(wrong: pd.DataFrame) -> None:
    table = wrong_level_table(wrong)
    assert table["rate"].tolist() == ["1", "2", "3", "4", "8"]
    assert table["rank-1, told right"].tolist() == ["60.0", "50.0", "40.0", "30.0", "20.0"]
    assert table["rank-1, too sharp"].tolist() == [
        "same level",
        "49.0 (level 4)",
        "30.0 (level 3)",
        "20.0 (level 2)",
        "same level",
    ]


def test_the_cost_of_a_wrong_level_leaves_out_where_it_stays(wrong: pd.DataFrame) -> None:
    sharp, coarse = wrong_level_conclusion(wrong).splitlines()
    assert "too sharp: **-7.0** points of rank-1 (-1.0 at rate 2, -10.0 at rate 3, -10.0 at rate 4)" in sharp
    assert "more than the noise at rates 3 and 4. At rates 1 and 8 the level stays" in sharp
    assert "too coarse: **-7.7** points" in coarse
    assert "more than the noise at rates 1 and 2. At rates 4 and 8" in coarse


def test_levels_that_never_change_cost_nothing_that_can_be_measured() -> None:
    runs = {row: [run(error)] for row, error in (("right", 0.0), ("a little off", 0.1))}
    records = {row: [record(0, dict.fromkeys(RATES, 50.0))] for row in runs}
    assert "nothing can be said" in wrong_level_conclusion(wrong_level_scores(runs, records))


def test_other_methods_have_no_levels() -> None:
    with pytest.raises(InputError, match="has no levels; expected a run of LRAR"):
        wrong_level_scores({"other": [run(method=PSHRNetSettings())]}, {"other": [record(0, {1: 50.0})]})


# --- masks ---------------------------------------------------------------------------------------------------------


def fresh(settings: LRARSettings = FULL, seed: int = 3) -> TrainedRun:
    torch.manual_seed(seed)
    method = settings.build(5)
    nothing: Any = None
    return TrainedRun(
        run=run(seed=seed, method=settings), method=method, data=nothing, device=torch.device("cpu"), log=nothing
    )


def test_masks_stand_beside_their_start() -> None:
    result = fresh()
    state = torch.random.get_rng_state()
    masks = learned_masks(result)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert masks["start"].equals(masks["value"])
    assert isinstance(result.method, LRAR)
    assert result.method.masks is not None
    with torch.no_grad():
        result.method.masks.masks[0].raw[0] += 1
    moved = learned_masks(result)
    changed = moved[moved["value"] != moved["start"]]
    assert set(zip(changed["depth"], changed["level"], strict=True)) == {(0, 1)}
    assert (changed["value"] > changed["start"]).all()


def test_the_start_is_that_of_a_real_training(tmp_path: Path) -> None:
    session = open_session("lrar", profile="smoke", results_dir=str(tmp_path))
    (whole,) = session.runs(lrar_rows)["+ progressive = LRAR"]
    untrained = replace(whole, schedule=replace(whole.schedule, epochs=0), seed=7)
    masks = learned_masks(session.trained(untrained))
    assert masks["value"].nunique() > 100
    assert masks["start"].equals(masks["value"])


def test_runs_without_masks_are_refused() -> None:
    with pytest.raises(InputError, match="has no masks"):
        learned_masks(fresh(replace(FULL, masks=None)))


def masks_moved_by(step: float) -> pd.DataFrame:
    """Two levels of two elements, 0.4 and 0.6 at the start: a spread of 0.1."""
    lines = [(level, 3 - level, start + step * level, start) for level in (1, 2) for start in (0.4, 0.6)]
    return pd.DataFrame(lines, columns=["level", "rate", "value", "start"])


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            0.1,
            "moved by 0.1500 on average, **150.0 per cent** of the spread that it was drawn with (0.100), so",
        ),
        (-0.02, "mostly still are what was drawn"),
        (0.001, "**nothing was learned in them**"),
    ],
)
def test_masks_that_hardly_moved_are_called_that(step: float, words: str) -> None:
    summary = mask_summary({"LRAR": masks_moved_by(step)}, {"LRAR": level(50)})
    assert words in mask_conclusion(summary)


def test_the_summary_of_masks() -> None:
    summary = mask_summary({"LRAR": masks_moved_by(0.1)}, {"LRAR": level(50)})
    assert summary["mean"].tolist() == pytest.approx([0.6, 0.7])
    assert summary["record"].tolist() == ["0" * 16] * 2
    shown = shown_masks(summary)
    assert shown.iloc[1].tolist() == ["LRAR", 2, "1", "0.500", "0.100", "0.700", "200.0"]
    assert "Mean of the lowest level 0.600, of the sharpest 0.700." in mask_conclusion(summary)
