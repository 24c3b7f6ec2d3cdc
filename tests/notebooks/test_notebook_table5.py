"""Table V at smoke size: its numbers are those of its records and of the paper."""

import pytest


@pytest.fixture(scope="module")
def table5(notebook):
    return notebook("table5_pooling")


def test_the_rows_differ_in_the_pooling_alone(table5):
    assert table5["differences"](table5["runs"]).to_dict() == {
        "method.network.pooling": {"AAP": "average", "AMP": "maximum", "AAP+AMP": "both"}
    }


def test_the_table_shows_what_the_records_hold(table5):
    for row, [record] in table5["records"].items():
        line = table5["table"].loc[row]
        assert line["rank-1"] == f"{record.score('rank1'):.1f}"
        assert line["mAP (trapezoid)"] == f"{record.score('map_trapezoid'):.1f}"
    assert not any(
        column.startswith("published") for column in table5["table"]
    )  # synthetic images are none of the paper's


def test_nothing_is_downsampled(table5):
    assert set(table5["tidy"]["rate"].dropna()) <= {1.0}
    assert all(run.data.mlr is None for [run] in table5["runs"].values())


def test_the_paper_is_quoted(table5):
    assert table5["cells"]["AAP+AMP", "Market-1501"] == "94.4 / 98.2 / 98.6 / 84.1"
    assert table5["cells"]["AMP", "DukeMTMC-reID"] == "86.6 / 93.7 / 95.4 / 74.0"
