"""Table I: the published half, and what was measured beside it."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from crreid.errors import InputError
from crreid.figures.rank1_by_year import rank1_by_year
from crreid.records import Record
from crreid.study.state_of_the_art import published_state_of_the_art, rank1_points, suspect_numbers

DATASETS = ["MLR-Market-1501", "MLR-CUHK03", "MLR-VIPeR", "MLR-DukeMTMC-reID", "CAVIAR"]


def record(rank1: float, seed: int = 0) -> Record:
    scores = {"protocol": {"multi_shot": {"overall": {"ranks": {"1": rank1 / 100}}}}}
    return Record(digest="", title="", run={"seed": seed}, measured={"scores": scores}, provenance={})


def test_all_methods_on_all_data_sets_in_the_papers_order() -> None:
    table = published_state_of_the_art()
    assert table.columns.tolist() == ["row", "year", *DATASETS, "measured by"]
    assert len(table) == 25
    assert table["row"].iloc[[0, 1, 2, -1]].tolist() == ["PCB", "DenseNet-121", "ResNet-50", "PS-HRNet"]
    assert table["row"].is_unique
    assert table.notna().all(axis=None)


@pytest.mark.parametrize(
    ("method", "dataset", "expected"),
    [
        ("PCB", "MLR-Market-1501", "76.9 / 88.9 / 92.4"),
        ("PS-HRNet", "MLR-CUHK03", "92.6 / 98.3 / 99.4"),
        ("PS-HRNet", "CAVIAR", "48.2 / 84.5 / 96.3 *"),
        ("ResNet-50", "MLR-Market-1501", "57.0 / 78.7 / - *"),  # no rank-10 was published
        ("FFSR", "MLR-CUHK03", "70.5 / 92.3 / -"),
        ("SLD2L", "MLR-CUHK03", "-"),
    ],
)
def test_a_cell_shows_three_ranks_gaps_and_doubts(method: str, dataset: str, expected: str) -> None:
    table = published_state_of_the_art().set_index("row")
    assert table.loc[method, dataset] == expected


def test_every_doubt_in_the_table_has_its_reason() -> None:
    table = published_state_of_the_art().set_index("row")
    marked = {(row, name) for name in DATASETS for row in table.index if table.loc[row, name].endswith("*")}
    reasons = suspect_numbers()
    assert reasons.columns.tolist() == ["method", "data set", "reason"]
    assert set(zip(reasons["method"], reasons["data set"], strict=True)) == marked
    assert ("ResNet-50", "MLR-Market-1501") in marked
    assert (reasons["reason"].str.len() > 20).all()
    assert not reasons.duplicated().any()


def test_points_are_published_ones_and_means_of_ours() -> None:
    records = {"ResNet-50": [record(40), record(44, 1)], "HRNet-W32-C": [record(50)], "PS-HRNet": [record(60)]}
    points = rank1_points(records, "MLR-Market-1501")
    published, ours = points[~points["measured"]], points[points["measured"]].set_index("method")
    assert len(published) == 21
    assert published.set_index("method")["rank1"]["PS-HRNet"] == 91.5
    assert ours["rank1"].to_dict() == pytest.approx({"ResNet-50": 42, "HRNet-W32-C": 50, "PS-HRNet": 60})
    assert ours["year"].to_dict() == {"ResNet-50": 2016, "HRNet-W32-C": 2020, "PS-HRNet": 2021}
    assert ours["family"]["PS-HRNet"] == "super-resolution and representation"
    assert not ours["suspect"].any()


def test_a_row_of_ones_own_stands_in_the_last_year() -> None:
    points = rank1_points({"Mean colour": [record(10)]}, "CAVIAR")
    ours = points[points["measured"]].iloc[0]
    assert (ours["method"], ours["year"], ours["rank1"]) == ("Mean colour", 2021, pytest.approx(10))
    with mpl.rc_context({"backend": "agg"}):
        figure = rank1_by_year(points)
        assert "Mean colour" in {text.get_text() for text in figure.axes[0].texts}
        plt.close("all")


def test_a_data_set_that_the_paper_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="Table I has no data set 'synthetic'"):
        rank1_points({}, "synthetic")
