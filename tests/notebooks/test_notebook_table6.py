"""Table VI at smoke size: its numbers are those of its records and of the paper."""

import pytest


@pytest.fixture(scope="module")
def table6(notebook):
    return notebook("table6_backbones")


def test_the_table_shows_what_the_records_hold(table6):
    for row, [record] in table6["records"].items():
        assert table6["table"].loc[row, "rank-5"] == f"{record.score('rank5'):.1f}"
    assert table6["table"].loc["ResNet-50", "network"].startswith("resnet18")  # what ran, not what the row is called


def test_hrnet_reid_is_the_last_row_of_table_5(table6, notebook):
    table5 = notebook("table5_pooling", rows=["AAP+AMP"])
    assert table5["records"]["AAP+AMP"][0].digest == table6["records"]["HRNet-ReID"][0].digest
    assert list(table5["table"].index) == ["AAP+AMP"]


def test_rows_are_compared_with_hrnet_reid(table6):
    score = {row: record.score("rank1") for row, [record] in table6["records"].items()}
    lines = table6["lines"].set_index("A")
    assert set(lines["B"]) == {"HRNet-ReID"}
    for row, difference in lines["difference"].items():
        assert difference == pytest.approx(score[row] - score["HRNet-ReID"], abs=1e-3)


def test_one_row_without_hrnet_reid_is_a_table(notebook):
    alone = notebook("table6_backbones", rows=["PCB"])
    assert alone["lines"].empty
    assert alone["table"].loc["PCB", "rank-1"] == f"{alone['records']['PCB'][0].score('rank1'):.1f}"


def test_the_paper_is_quoted_with_its_doubts(table6):
    assert table6["cells"]["HRNet-W32-C", "Market-1501"] == "87.8 / 72.8"
    noted = table6["doubtful"].set_index(["method", "dataset"])["note"]
    assert "not to be trusted" in noted["DenseNet-121", "DukeMTMC-reID"]
