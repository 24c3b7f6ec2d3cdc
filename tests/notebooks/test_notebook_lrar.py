"""LRAR's notebook at smoke size: numbers of its records, levels by hand, masks beside their start."""

import pytest


@pytest.fixture(scope="module")
def lrar(notebook):
    return notebook("lrar")


def test_the_table_shows_what_the_records_hold(lrar):
    for row, [record] in lrar["records"].items():
        line = lrar["table"].loc[row]
        assert line["mAP (trapezoid)"] == f"{record.score('map_trapezoid'):.1f}"
        expected = record.score("rank1", test="uniform", rate=4)
        assert line["rank-1, all queries at rate 4"] == f"{expected:.1f}"


def test_a_wrong_rate_takes_the_neighbouring_level(lrar):
    levels = lrar["cells"].map(lambda cell: int(cell.rpartition("level ")[2].rstrip(")")))
    assert levels["+ progressive = LRAR"].tolist() == [4, 1]  # rates 1 and 4
    assert levels["LRAR, told one level too sharp"].tolist() == [4, 2]
    assert levels["LRAR, told one level too coarse"].tolist() == [3, 1]
    same = lrar["cells"].loc["rank-1, all queries at rate 4"]
    assert same["+ progressive = LRAR"] == same["LRAR, told one level too coarse"]


def test_steps_are_compared_with_the_row_before(lrar):
    score = {row: record.score("rank1") for row, [record] in lrar["records"].items()}
    drawn = lrar["lines"].query("queries == 'as drawn'")
    assert list(zip(drawn["A"], drawn["B"], strict=True)) == [
        ("+ varying length", "Baseline"),
        ("+ masks", "+ varying length"),
        ("+ verification", "+ masks"),
        ("+ progressive = LRAR", "+ verification"),
        ("+ masks", "Baseline"),
        ("+ verification", "Baseline"),
        ("+ progressive = LRAR", "Baseline"),
    ]
    for line in drawn.itertuples():
        assert line.difference == pytest.approx(score[line.A] - score[line.B], abs=1e-3)


def test_masks_stand_beside_those_before_training(lrar):
    joint, progressive = lrar["masks"].values()
    assert joint["before"].equals(progressive["before"])  # same seed, same draws
    assert 0 < joint["moved"].mean() < 0.5
    for level, [before, after] in lrar["rounded"].loc["+ verification", ["mean before", "mean after"]].iterrows():
        of_level = joint[joint["level"] == level]
        assert (before, after) == pytest.approx((of_level["before"].mean(), of_level["after"].mean()))


def test_one_row_is_a_table(notebook):
    alone = notebook("lrar", rows=["Baseline"])
    assert list(alone["table"].index) == ["Baseline"]
    assert alone["masks"] == {}
