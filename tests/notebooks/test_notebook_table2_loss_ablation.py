"""Table II: what it prints is what the records hold and what the papers print, and a reader can change a setting."""

import pandas as pd
import pytest

NAME = "table2_loss_ablation"
ROWS = ["HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS", "small ResNet-18: HR only", "small ResNet-18: ID"]


@pytest.fixture(scope="module")
def shown(notebook):
    return notebook(NAME, rows=ROWS)


def test_tables_hold_the_numbers_of_the_records(shown):
    table, single = shown["table"], shown["single"]
    assert list(table.index) == ROWS
    for row, (record,) in shown["records"].items():
        assert table.loc[row, "rank-1"] == f"{record.score('rank1'):.1f}"
        assert table.loc[row, "mAP (trapezoid)"] == f"{record.score('map_trapezoid'):.1f}"
        assert table.loc[row, "rank-1, drawn rate 3"] == f"{record.score('rank1', rate=3):.1f}"
        assert single.loc[row, "rank-5"] == f"{record.score('rank5', protocol='single_shot'):.1f}"
        assert table.loc[row, "start"] == "random"
    saved = pd.read_csv(shown["study"].folder / f"{NAME}.csv", dtype=str)
    assert saved["rank-1"].tolist() == table["rank-1"].tolist()


def test_differences_between_rows_are_those_of_the_records(shown):
    rank1 = {row: record.score("rank1") for row, (record,) in shown["records"].items()}
    for a, b, _, _, difference, _, verdict, _ in shown["comparison"].itertuples(index=False):
        assert difference == pytest.approx(rank1[a] - rank1[b], abs=1e-3)
        assert verdict == "one seed: cannot be told"
    assert len(shown["comparison"]) == 5


def test_published_numbers_stand_apart(shown):
    printed = shown["printed"]
    assert printed.loc["SR+ID+PS", "MLR-Market-1501"] == "91.5 / 96.7 / 97.9"
    assert printed.loc["ID", "CAVIAR"] == "42.8 / 76.6 / 92.0"
    assert printed.loc["SR+ID+PS", "CAVIAR"] == "-"
    assert not [name for name in shown["table"].columns if "published" in name]  # synthetic images are no paper's


def test_a_reader_changes_a_setting_of_one_row(notebook):
    shown = notebook(NAME, rows=["SR+ID"], changes={"schedule.epochs": 1, "method.restoration_weight": 2.0})
    (record,) = shown["records"]["SR+ID"]
    assert len(record.epochs) == 1
    assert record.settings["method"]["restoration_weight"] == 2
    assert list(shown["table"].index) == ["SR+ID"]
    assert shown["comparison"].empty
    assert "drafts" in shown["study"].folder.parts
