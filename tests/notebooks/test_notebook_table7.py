"""Table VII at smoke size: its numbers are those of its records, and what a member adds is recomputed by hand."""

from dataclasses import replace

import pytest

from crreid.rows import all_sequence_rows

TWO, ALL, ADOPTED = "{Seq5, logits}", "{Seq1, Seq2, Seq3, Seq4, Seq5, logits}", "{Seq1, Seq4, Seq5, logits}"


@pytest.fixture(scope="module")
def table7(notebook):
    return notebook("table7_sequence_combinations")


def test_the_table_shows_what_the_records_hold(table7):
    assert list(table7["table"].index) == [TWO, ALL, ADOPTED]
    for row, [record] in table7["records"].items():
        assert table7["table"].loc[row, "rank-1"] == f"{record.score('rank1'):.1f}"
        assert table7["table"].loc[row, "rank-1, drawn rate 2"] == f"{record.score('rank1', rate=2):.1f}"


def test_what_a_member_adds_is_a_difference_of_means(table7):
    score = {row: record.score("rank1") for row, [record] in table7["records"].items()}
    lines = table7["contributions"].set_index("member")
    assert lines["sets with it"].to_dict() == {"Seq1": 2, "Seq2": 1, "Seq3": 1, "Seq4": 2, "Seq5": 3, "logits": 3}
    expected = (score[ALL] + score[ADOPTED]) / 2 - score[TWO]
    assert lines.loc["Seq1", "difference"] == pytest.approx(expected, abs=1e-3)
    assert lines.loc["Seq5"].isna().sum() == 2  # no set is without it


def test_the_best_set_comes_first(table7):
    assert table7["rank1"].is_monotonic_decreasing
    assert list(table7["rank1"].index) == list(table7["members"].index)


def test_all_63_sets_are_rows_and_one_can_be_chosen(notebook):
    found = notebook("table7_sequence_combinations", sets="all", rows=[ADOPTED])
    assert list(found["table"].index) == [ADOPTED]
    assert len(found["study"].paper(all_sequence_rows)) == 1
    every = all_sequence_rows(replace(found["study"].profile, weights=found["study"].weights))
    assert len(every) == 63


def test_the_paper_is_quoted(table7):
    assert table7["cells"][ADOPTED, "MLR-Market-1501"] == "91.5 / 96.7 / 97.9"
