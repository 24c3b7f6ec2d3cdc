"""Tables and comparisons, against numbers that were worked out by hand."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.rows import loss_ablation_rows
from crreid.study.published import published_numbers
from crreid.study.session import open_study
from crreid.study.tables import beside, compare, places, provenance, scores, shown, styled, wide


@pytest.fixture
def tidy(records):
    return scores(records)


def test_scores_are_per_cent_with_row_seed_and_record(records, tidy):
    assert len(tidy) == sum(len(record.scores) for of_row in records.values() for record in of_row)
    first = tidy.iloc[0].to_dict()
    assert first["record"] == records["ID"][0].digest
    assert (first["row"], first["seed"], first["test"], first["metric"], first["value"]) == (
        "ID",
        0,
        "drawn",
        "rank1",
        40,
    )
    assert (first["queries"], first["unmatched"]) == (100, 1)
    assert math.isnan(first["rate"])
    single = tidy[tidy["protocol"] == "single_shot"]
    assert (single["deviation"] == 1).all()
    assert tidy.loc[tidy["protocol"] == "multi_shot", "deviation"].isna().all()


def test_wide_gives_means_and_deviations_over_seeds_in_the_rows_order(tidy):
    table = wide(tidy)
    assert table.index.tolist() == ["ID", "SR+ID", "PS"]
    assert table.index.name == "row"
    assert table.columns.tolist() == ["rank-1", "rank-5", "rank-10", "mAP (at hits)", "mAP (trapezoid)"]
    assert table.loc["ID", "rank-1"] == "42.0 ± 2.8"
    assert table.loc["SR+ID"].tolist() == ["60.0", "61.0", "62.0", "63.0", "64.0"]


def test_wide_tells_queries_that_drew_a_rate_from_all_queries_at_it(tidy):
    drawn = wide(tidy, per_rate=True, metrics=("rank1",))
    assert drawn.columns.tolist() == ["rank-1, drawn rate 2", "rank-1, drawn rate 4"]
    assert drawn.loc["SR+ID"].tolist() == ["70.0", "50.0"]
    uniform = wide(tidy, test="uniform", per_rate=True, metrics=("rank5", "rank1"))
    assert uniform.columns[0] == "rank-5, all queries at rate 2"
    assert uniform.loc["SR+ID"].tolist() == ["71.0", "51.0", "70.0", "50.0"]
    assert wide(tidy, test="uniform", rate=4).columns[0] == "rank-1, all queries at rate 4"


def test_single_shot_has_no_mean_average_precision(tidy):
    assert wide(tidy, protocol="single_shot").columns.tolist() == ["rank-1", "rank-5", "rank-10"]


def test_a_row_without_a_score_gets_a_dash(tidy):
    lacking = tidy[(tidy["row"] != "PS") | (tidy["metric"] != "rank5")]
    assert wide(lacking).loc["PS", "rank-5"] == "-"
    nothing = tidy.assign(value=np.nan)
    assert (wide(nothing) == "-").all(axis=None)


def test_tests_that_were_not_measured_are_named(tidy):
    with pytest.raises(InputError, match="no scores of the test 'uniform', 'multi_shot'; expected one of drawn multi"):
        wide(tidy[tidy["test"] == "drawn"], test="uniform")


def test_published_numbers_come_after_ours_and_only_where_there_are_some(tidy):
    table = wide(tidy)
    joined = beside(table, published_numbers(table="II", dataset="MLR-Market-1501"))
    assert joined.columns.tolist()[:5] == table.columns.tolist()
    assert joined["published rank-1"].tolist() == ["84.7", "87.6", "-"]
    assert list(beside(table, published_numbers(table="II", dataset=None)).columns) == list(table.columns)
    assert list(beside(table.rename(index=str.lower), published_numbers(table="II"))) == list(table.columns)


def test_compare_gives_difference_noise_and_verdict(tidy):
    lines = compare(tidy, [("SR+ID", "ID"), ("PS", "ID"), ("ID", "SR+ID")]).set_index(["A", "B"])
    difference = lines.loc[("SR+ID", "ID")]
    assert (difference["A value"], difference["B value"], difference["difference"]) == (60, 42, 18)
    # shares of 99 matched queries, and the variance over two seeds: ((44 - 40)^2 / 2) / 2
    variance = 60 * 40 / 99 + 42 * 58 / 99 + 8 / 2
    assert difference["noise"] == pytest.approx(2 * math.sqrt(variance))
    assert difference["verdict"] == "higher, one seed"
    assert lines.loc[("PS", "ID"), "verdict"] == "within the noise"
    assert lines.loc[("ID", "SR+ID"), "verdict"] == "lower, one seed"


def test_compare_against_one_row_or_each_with_the_one_before(tidy):
    assert compare(tidy, against="ID")[["A", "B"]].to_numpy().tolist() == [["SR+ID", "ID"], ["PS", "ID"]]
    assert compare(tidy)[["A", "B"]].to_numpy().tolist() == [["SR+ID", "ID"], ["PS", "SR+ID"]]
    at_rate = compare(tidy, [("SR+ID", "ID")], test="uniform", rate=4)
    assert at_rate[["A value", "B value"]].to_numpy().tolist() == [[50, 32]]


def test_one_row_can_be_compared_with_nothing(tidy):
    alone = tidy[tidy["row"] == "ID"]
    for lines in (compare(alone), compare(alone, against="PS"), compare(alone, [("SR+ID", "ID")])):
        assert lines.empty
        assert lines.columns.tolist()[-1] == "verdict"


def test_more_queries_or_equal_seeds_make_less_noise(tidy):
    more = tidy.assign(queries=10_000, unmatched=0)
    assert compare(more, [("SR+ID", "ID")])["noise"].item() < compare(tidy, [("SR+ID", "ID")])["noise"].item()
    assert compare(more, [("PS", "ID")])["verdict"].item() == "within the noise"  # by its seeds


def test_provenance_tells_a_precision_that_the_run_did_not_ask_for(tmp_path, monkeypatch, record_of):
    monkeypatch.setenv("CRREID_RESULTS", str(tmp_path))
    study = open_study("table2_loss_ablation", profile="smoke")
    (run,) = study.runs(loss_ablation_rows)["HRNet-ReID-H alone"]
    run = replace(run, schedule=replace(run.schedule, precision="bf16"))
    study._runs[run.digest] = run
    record = record_of(run, seconds=60.0, workspace=study.workspace, device="a machine")
    for told, expected in ((None, "a machine"), ("bf16", "a machine"), ("fp32", "a machine, in fp32")):
        entries = record.provenance["evaluation"], *record.provenance["training"]
        for entry in entries if told else ():
            entry["precision"] = told
        assert provenance({"row": [record]}, study)["device"].tolist() == [expected]


def test_shown_is_text_as_a_reader_sees_it():
    table = pd.DataFrame(
        {"a": [1.25, -0.001, np.nan], "SSIM": [0.9134, 0.5, 1], "n": [7, 12_345, 2026], "b": [True, None, "x|y"]},
        index=pd.Index(["one", "two", "three"], name="row"),
    )
    texts = shown(table, {"SSIM": 3})
    assert texts.columns.tolist() == ["row", "a", "SSIM", "n", "b"]
    assert texts["a"].tolist() == ["1.2", "0.0", "-"]
    assert texts["SSIM"].tolist() == ["0.913", "0.500", "1.000"]
    assert texts["n"].tolist() == ["7", "12,345", "2026"]
    assert texts["b"].tolist() == ["yes", "-", "x|y"]
    assert "row" not in shown(table.reset_index(drop=True)).columns


def test_best_and_second_are_marked_where_rows_are_rivals():
    table = pd.DataFrame(
        {
            "row": ["a", "b", "c"],
            "rank-1": ["9.0 ± 1.0", "10.0", "9.0"],
            "LPIPS": ["0.1", "0.2", "-"],
            "year": ["1"] * 3,
        }
    )
    marks = [re.sub(r":.*", "", mark) for mark in places(table, "rank-1")]
    assert marks == ["text-decoration", "font-weight", "text-decoration"]
    assert [bool(mark) for mark in places(table, "LPIPS")] == [True, True, False]
    assert places(table, "LPIPS")[0].startswith("font-weight")
    assert places(table, "year") == [""] * 3
    assert places(table.assign(row="a"), "rank-1") == [""] * 3
    assert places(table.assign(**{"rank-1": "9.0"}), "rank-1") == [""] * 3
    assert places(table.rename(columns={"rank-1": "published rank-1"}), "published rank-1") == [""] * 3


def test_html_is_escaped_and_always_the_same():
    table = pd.DataFrame({"row": ["<b>", "x"], "rank-1": ["57.1 ± 0.4", "3.0"], "published rank-1": ["1.0", "2.0"]})
    text = styled(table).to_html()
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "57.1 <small>± 0.4</small>" in text
    assert "font-weight: bold" in text
    assert styled(table.copy()).to_html() == text
