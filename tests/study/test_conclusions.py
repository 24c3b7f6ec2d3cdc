"""Sentences about numbers: each is held to values that can be worked out on paper."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crreid.data.prepare import PreparedData
from crreid.data.table import ImageTable
from crreid.figures.sequence_sets import member_contributions
from crreid.records import Record
from crreid.study.conclusions import (
    ablation_conclusion,
    chance_rank1,
    cost_conclusion,
    grid_conclusion,
    image_quality_conclusion,
    member_conclusion,
    order_conclusion,
    protocol_conclusion,
    resolution_conclusion,
    restoration_conclusion,
)
from crreid.study.pictures import RestoredImage

# one seed of 5000 queries: two standard errors of a difference are 2 points at 50 per cent, less at 40 or 60
QUERIES = 5000


def record(
    rank1: float, *, seed: int = 0, single: float | None = None, rates: dict[int, float] | None = None
) -> Record:
    """A record with scores in per cent."""

    def scores(percent: float) -> dict:
        return {"overall": {"ranks": {"1": percent / 100}, "queries": QUERIES}}

    tests = {"protocol": {"multi_shot": scores(rank1), "single_shot": scores(rank1 if single is None else single)}}
    tests |= {f"rate {rate}": {"multi_shot": scores(percent)} for rate, percent in (rates or {}).items()}
    return Record(digest=f"{seed:016}", title="", run={"seed": seed}, measured={"scores": tests}, provenance={})


def rows(**percent: float) -> dict[str, list[Record]]:
    return {name: [record(value)] for name, value in percent.items()}


# --- order ---------------------------------------------------------------------------------------------------------


def test_order_names_the_best_and_its_lead() -> None:
    text = order_conclusion(rows(A=40, B=50, C=45), {})
    assert "- By rank-1: B 50.0, C 45.0, A 40.0." in text
    assert "- **B** leads C by 5.0 points: more than the noise." in text
    assert "pairs of rows" not in text


def test_order_weighs_the_lead_by_the_noise() -> None:
    text = order_conclusion(rows(A=50, B=51.9), {})
    assert "**B** leads A by 1.9 points: within the noise." in text
    text = order_conclusion(rows(A=50, B=52.1), {})
    assert "**B** leads A by 2.1 points: more than the noise." in text
    assert "A difference counts here if it exceeds 2.0 points" in text
    assert "for a single seed" in text


def test_order_counts_the_pairs_that_stand_as_published() -> None:
    ours = rows(A=40, B=50, C=51, D=60)
    # AB, AC, AD, BD and CD differ by more than 2 points, BC does not; of the five the paper has AB, AC and AD
    text = order_conclusion(ours, {"A": 1, "B": 4, "C": 3, "D": 2})
    assert "Of 6 pairs of rows that the paper orders, ours differ by more than the noise in **5**, and **3** of" in text


def test_order_counts_all_pairs_right_and_all_wrong() -> None:
    ours = rows(A=40, B=50, C=60)
    for published, right in (({"A": 1, "B": 2, "C": 3}, 3), ({"A": 3, "B": 2, "C": 1}, 0)):
        text = order_conclusion(ours, published)
        assert (
            f"Of 3 pairs of rows that the paper orders, ours differ by more than the noise in **3**, and **{right}**"
            in text
        )


def test_order_leaves_out_rows_that_the_paper_lacks() -> None:
    ours = rows(A=40, B=50, C=60)
    text = order_conclusion(ours, {"A": 1, "C": 2, "other": 3})
    assert "Of 1 pairs of rows that the paper orders, ours differ by more than the noise in **1**, and **1** of" in text


def test_order_of_several_seeds_takes_the_noise_from_their_spread() -> None:
    # deviations 1 and 0.5: two standard errors of a difference of two means over two seeds are 2 * 1 * sqrt(2 / 2)
    ours = {
        "A": [record(50 - 0.5**0.5), record(50 + 0.5**0.5, seed=1)],
        "B": [record(51.9), record(51.9, seed=1)],
    }
    text = order_conclusion(ours, {"A": 1, "B": 2})
    assert (
        "A difference counts here if it exceeds 2.0 points: two standard errors of a difference, from 2 seeds or "
        "from the number of queries." in text
    )
    assert "in **0**, and **0** of these" in text


# --- protocols and rates -------------------------------------------------------------------------------------------


def test_protocols_lie_apart_by_the_mean_gap() -> None:
    records = {"A": [record(40, single=50)], "B": [record(40, single=44), record(40, single=38, seed=1)]}
    text = protocol_conclusion(records)
    assert "score **+4.0** points of rank-1 in single-shot against multi-shot tests (from -2.0 to +10.0)" in text


def test_resolution_costs_the_difference_of_the_means() -> None:
    records = [record(0, rates={1: 80, 4: 20}), record(0, seed=1, rates={1: 70, 4: 10})]
    text = resolution_conclusion(records, chance=1.0)
    assert "**75.0 %** of sharp queries" in text
    assert "**15.0 %** of the same queries shrunk by 4: resolution alone costs **60.0 points**" in text
    assert "would find 1.0 %, so the blurred queries are still far above chance" in text
    assert "not clearly above chance" in resolution_conclusion(records, chance=3.0)


# --- Table II ------------------------------------------------------------------------------------------------------


def ablation(teacher: float, identity: float, restored: float, full: float) -> str:
    names = ("HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS")
    return ablation_conclusion(
        {name: [record(rank1)] for name, rank1 in zip(names, (teacher, identity, restored, full), strict=True)}
    )


def test_ablation_says_gains_losses_and_noise() -> None:
    text = ablation(50, 40, 41, 45)
    assert "- SR adds **+1.0** points of rank-1 (ID 40.0, SR+ID 41.0): within the noise." in text
    assert "- PS adds **+4.0** points of rank-1 (SR+ID 41.0, SR+ID+PS 45.0): more than the noise." in text
    assert "- The full system is **-5.0** points from its teacher alone" in text
    assert "(50.0): a loss, more than the noise." in text


def test_ablation_calls_a_harmful_loss_a_loss() -> None:
    assert "SR adds **-10.0** points of rank-1 (ID 50.0, SR+ID 40.0): a loss, more than the noise." in ablation(
        30, 50, 40, 40
    )


# --- images --------------------------------------------------------------------------------------------------------


def quality(**psnr: tuple[float, float]) -> pd.DataFrame:
    """PSNR at the rates 2 and 4."""
    return pd.DataFrame(
        [
            {"row": row, "rate": rate, "psnr": value}
            for row, values in psnr.items()
            for rate, value in zip((2, 4), values, strict=True)
        ]
    )


def test_image_quality_orders_images_and_scores_apart() -> None:
    measured = quality(given=(30, 20), Solo=(33, 23), Full=(32, 22), Worse=(28, 18))
    text = image_quality_conclusion(measured, rows(Worse=30, Full=60, Solo=40))
    assert (
        "- Mean PSNR over the rates: Solo 28.0, Full 27.0, Worse 23.0 dB; what the networks are given has 25.0" in text
    )
    assert "Nearer to the original than that: Solo, Full." in text
    assert "- By rank-1: Full 60.0, Solo 40.0, Worse 30.0." in text
    assert (
        "- The best images are Solo's, the best rank-1 is Full's, 20.0 points above theirs: more than the noise, so a "
        "likeness is no identity." in text
    )


def test_image_quality_draws_no_lesson_from_noise() -> None:
    text = image_quality_conclusion(quality(given=(30, 20), Solo=(33, 23), Full=(32, 22)), rows(Solo=50, Full=51))
    assert "the best rank-1 is Full's, 1.0 points above theirs: within the noise." in text
    assert "likeness" not in text


def test_image_quality_where_one_row_is_best_at_both_and_none_helps() -> None:
    text = image_quality_conclusion(quality(given=(40, 40), Solo=(33, 23), Full=(32, 22)), rows(Full=40, Solo=60))
    assert "- The best image and the best rank-1 are both Solo's." in text
    assert "Nearer to the original than that: none." in text


def test_grid_counts_the_best_image_of_every_query_and_rate() -> None:
    numbers = {("q1", 2): (30, 31), ("q1", 4): (28, 25), ("q2", 2): (29, 33), ("q2", 4): (20, 21)}
    shown = pd.DataFrame(
        [
            {"query": query, "rate": rate, "row": name, "psnr": value}
            for (query, rate), values in numbers.items()
            for name, value in zip(("Bicubic", "SR+ID"), values, strict=True)
        ]
    )
    assert grid_conclusion(shown) == "Of the 4 images shown, the highest PSNR belongs to SR+ID in 3, Bicubic in 1."


def flat(value: int) -> np.ndarray:
    return np.full((4, 2, 3), value, dtype=np.uint8)


def test_restoration_compares_mean_errors() -> None:
    # errors before: 10 and 30, after: 8 and 30
    images = [
        RestoredImage(rate=2, low=flat(90), restored=flat(108), high=flat(100)),
        RestoredImage(rate=4, low=flat(130), restored=flat(70), high=flat(100)),
        RestoredImage(rate=4, low=flat(0), restored=None, high=flat(100)),
    ]
    text = restoration_conclusion(images)
    assert "Over 2 images the mean absolute error is **20.0** grey levels before restoration and **19.0** after" in text
    assert "(-5 %): a little nearer to the original." in text


# --- costs and members ---------------------------------------------------------------------------------------------


def test_cost_compares_the_two_modules() -> None:
    costs = pd.DataFrame(
        {
            "module": ["RCAN+ResNet-50", "VDSR-CA+ResNet-50"],
            "parameters": [400, 100],
            "multiply_adds": [1000, 1500],
            "latency_milliseconds": [10.0, 8.0],
        }
    )
    records = {"RCAN+ResNet-50": [record(50)], "VDSR-CA+ResNet-50": [record(49)]}
    text = cost_conclusion(costs, records)
    assert "**0.25** times RCAN's parameters, **1.50** times its multiply-adds and **0.80** times its latency" in text
    assert text.endswith("for **-1.0** points of rank-1 (within the noise).")
    worse = cost_conclusion(costs, records | {"VDSR-CA+ResNet-50": [record(40)]})
    assert worse.endswith("for **-10.0** points of rank-1 (a loss, more than the noise).")


def test_members_of_the_papers_sets() -> None:
    sets = {("Seq5", "logits"): 40.0, ("Seq1", "Seq2", "Seq5", "logits"): 46.0, ("Seq1", "Seq5", "logits"): 44.0}
    scores = pd.DataFrame([{"members": members, "value": value} for members, value in sets.items()])
    # Seq1: (46 + 44) / 2 - 40; Seq2: 46 - (40 + 44) / 2
    text = member_conclusion(member_contributions(scores))
    assert "less that of the sets without it: Seq1 +5.0, Seq2 +4.0." in text
    assert "No set is without Seq5 or logits, so that nothing can be said of it." in text
    assert text.endswith("With 3 of 63 sets this cannot tell the members apart.")


def test_members_of_all_sets_need_no_excuse() -> None:
    contributions = pd.DataFrame(
        {"member": ["Seq1", "Seq2"], "contribution": [-1.0, 2.0], "sets_with": [32, 32], "sets_without": [31, 31]}
    )
    text = member_conclusion(contributions)
    assert text == "Mean rank-1 of the sets with a member less that of the sets without it: Seq2 +2.0, Seq1 -1.0."


# --- chance --------------------------------------------------------------------------------------------------------


def prepared(table: ImageTable, query: list[tuple[int, int]], gallery: list[tuple[int, int, str]]) -> PreparedData:
    """Data with these (identity, camera) as queries and (identity, camera, role) as gallery; pixels are not read."""
    asked = pd.DataFrame(query, columns=["identity", "camera"]).assign(role="query", rate=1.0)
    stored = pd.DataFrame(gallery, columns=["identity", "camera", "role"]).assign(rate=1.0)
    parts = [
        replace(table, rows=rows.assign(path=[f"{rows['role'].iloc[0]}{index}.png" for index in range(len(rows))]))
        for rows in (asked, stored)
    ]
    return PreparedData(name="", digest="", train=table, query=parts[0], gallery=parts[1], pixels=None)


def test_chance_leaves_out_the_own_camera_and_queries_without_a_right_image(table: ImageTable) -> None:
    gallery = [(1, 1, "gallery"), (1, 2, "gallery"), (2, 2, "gallery"), (2, 3, "gallery"), (0, 1, "distractor")]
    assert chance_rank1(prepared(table, [(1, 3)], gallery)) == pytest.approx(100 * 2 / 5)
    assert chance_rank1(prepared(table, [(1, 1)], gallery)) == pytest.approx(100 * 1 / 4)
    assert chance_rank1(prepared(table, [(1, 3), (1, 1)], gallery)) == pytest.approx(100 * (2 / 5 + 1 / 4) / 2)
    assert chance_rank1(prepared(table, [(1, 3), (9, 1)], gallery)) == pytest.approx(100 * 2 / 5)  # as scores leave out
