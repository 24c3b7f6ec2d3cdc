"""Tables and comparisons, against numbers that were worked out by hand."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.records import Record
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


def with_persons(record, rank1, map_hit=(0, 0, 0)):
    """The record of three persons with 4, 2 and 4 queries, so many of which have a correct match first."""
    persons = pd.DataFrame({"identity": [3, 5, 9], "queries": [4, 2, 4], "rank1": rank1, "map_hit": map_hit})
    of_all = (record.scores["test"] == "drawn") & record.scores["rate"].isna()
    values = {"rank1": sum(rank1) / 10, "map_hit": np.dot(map_hit, [4, 2, 4]) / 10}
    scores = record.scores.copy()
    for metric, value in values.items():
        scores.loc[of_all & (scores["metric"] == metric), "value"] = value
    return replace(record, persons=persons, scores=scores)


def with_start(record, **settings):
    return replace(record, settings=record.settings | settings)


@pytest.fixture
def asked(records):
    """Of ID two seeds, of PS two seeds, of SR+ID one, all of the same persons."""
    hits = {"ID": [[2, 1, 0], [3, 0, 1]], "SR+ID": [[4, 2, 4]], "PS": [[4, 1, 2], [4, 2, 3]]}
    precisions = {"ID": (0.5, 0.5, 0.0), "SR+ID": (0.8, 0.8, 0.8), "PS": (0.75, 0.5, 0.5)}
    return {
        row: [
            with_persons(record, rank1, (*precisions[row][:2], precisions[row][2] + 0.2 * record.seed))
            for record, rank1 in zip(of_row, hits[row], strict=True)
        ]
        for row, of_row in records.items()
    }


def test_compare_by_hand(asked):
    (line,) = compare(asked, [("PS", "ID")]).to_dict("records")
    assert list(line) == ["A", "B", "A value", "B value", "difference", "threshold", "verdict", "after correction"]
    assert [line[name] for name in ("A", "B", "A value", "B value")] == ["PS", "ID", 80, 35]
    # hits, means over seeds: PS 4, 1.5, 2.5 and ID 2.5, 0.5, 0.5, so 4.5 of 10 queries gained, by person 1.5, 1, 2
    residuals = [1.5 - 0.45 * 4, 1 - 0.45 * 2, 2 - 0.45 * 4]
    of_persons = 3 / 2 * sum(residual**2 for residual in residuals) / 10**2 * 100**2
    # PS 70 and 90, ID 30 and 40: the variances 200 and 50 of one degree of freedom each
    of_seeds = (200 + 50) / 2 * (1 / 2 + 1 / 2)
    error = math.sqrt(of_persons + of_seeds)
    assert (line["difference"], line["threshold"]) == (45, pytest.approx(4.302653 * error))  # t of two degrees, 97.5 %
    assert (line["verdict"], line["after correction"]) == ("cannot be told", "cannot be told")
    precise = compare(asked, [("PS", "ID")], metric="map_hit")
    assert precise["difference"].item() == pytest.approx(30)
    residuals = [4 * 0.25 - 0.3 * 4, 0 - 0.3 * 2, 4 * 0.5 - 0.3 * 4]
    of_persons = 3 / 2 * sum(residual**2 for residual in residuals) / 10**2 * 100**2
    error = math.sqrt(of_persons + 8**2 / 2 * (1 / 2 + 1 / 2))  # all seeds are 8 points apart
    assert precise["threshold"].item() == pytest.approx(4.302653 * error)


def test_without_persons_queries_count_as_independent(records, asked):
    of_seeds = (8 + 18) / 2 * (1 / 2 + 1 / 2)  # ID 40 and 44, PS 40.5 and 46.5
    expected = 4.302653 * math.sqrt((42 * 58 + 43.5 * 56.5) / 99 + of_seeds)
    assert compare(records, [("PS", "ID")])["threshold"].item() == pytest.approx(expected)
    still = {**records, "untrained": [records["SR+ID"][0]] * 2}  # says nothing of trainings
    assert compare(still, [("PS", "ID")])["threshold"].item() == pytest.approx(expected)
    some = {**records, "PS": [replace(records["PS"][0], persons=asked["PS"][0].persons), records["PS"][1]]}
    assert compare(some, [("PS", "ID")])["threshold"].item() == pytest.approx(expected)
    at_rate = compare(asked, [("SR+ID", "ID")], test="uniform", rate=4)
    assert at_rate[["A value", "B value"]].to_numpy().tolist() == [[50, 32]]


def test_verdicts_before_and_after_correction(records):
    (template,) = records["SR+ID"]
    shares = {"low": (0.2, 0.21, 0.2), "high": (0.4, 0.41, 0.4), "same": (0.41, 0.4, 0.41)}
    records = {
        row: [replace(template, scores=template.scores.assign(value=share)) for share in of_row]
        for row, of_row in shares.items()
    }
    pairs = [("high", "low"), ("low", "high"), ("same", "high")]
    for comparisons, column, verdicts in [
        (0, "verdict", ["higher", "lower", "cannot be told"]),
        (0, "after correction", ["cannot be told"] * 3),
        (1000, "verdict", ["higher", "lower", "cannot be told"]),
    ]:
        assert compare(records, pairs, comparisons=comparisons)[column].tolist() == verdicts
    assert compare(records, pairs[:1])["after correction"].tolist() == ["higher"]  # one comparison needs none
    assert compare(records, pairs[:1], comparisons=3)["after correction"].tolist() == ["cannot be told"]


def test_one_seed_or_unlike_starts_get_no_verdict(asked):
    one, other = asked["SR+ID"][0], asked["PS"][0]
    columns = ["verdict", "after correction"]
    pairs = [("SR+ID", "PS"), ("PS", "SR+ID")]
    assert set(compare(asked, pairs)[columns].to_numpy().flat) == {"one seed: cannot be told"}
    alone = compare({"SR+ID": [one], "PS": [other]}, pairs)
    assert alone["threshold"].isna().all()
    assert set(alone[columns].to_numpy().flat) == {"one seed: cannot be told"}
    network = {"network": {"backbone": "resnet50", "backbone_options": []}}
    unlike = {"network": {"backbone": "resnet50", "backbone_options": [["layers", [1]]]}}
    starts = {
        "ResNet-50": {"method": network},
        "again": {"method": network | {"restoration": {}}},
        "solo": {"method": {}, "teacher": {"method": network, "weights": "random"}},
        "CAD-Net": {"method": {"encoder": {"backbone": "resnet50"}}},
        "small": {"method": unlike},
        "timm": {"method": network, "weights": "timm"},
        "none": {},
    }
    records = {row: [with_start(record, **start) for record in asked["PS"]] for row, start in starts.items()}
    lines = compare(records, [(row, "ResNet-50") for row in starts])
    assert lines["verdict"].tolist() == ["cannot be told"] * 4 + ["unlike starts"] * 3
    assert lines["after correction"].tolist() == lines["verdict"].tolist()


def test_pairs_that_are_not_both_there_are_left_out(records):
    lines = compare({"ID": records["ID"]}, [("SR+ID", "ID")])
    assert lines.empty
    assert lines.columns.tolist()[-2:] == ["verdict", "after correction"]


def simulated(template, generator, *, persons=150, queries=4, seeds=5):
    """Two pairs of rows without a true difference; whether a match is first depends on a person, a row and a seed."""
    shape, rows = (persons, queries), ("A", "B", "C", "D")
    shared = generator.normal(0, 1, (persons, 1)) + generator.normal(0, 0.5, shape)
    records: dict[str, list[Record]] = {}
    for row in rows:
        of_row = shared + generator.normal(0, 0.4, (persons, 1)) + generator.normal(0, 0.3, shape)
        records[row] = []
        for _ in range(seeds):
            first = (of_row + generator.normal(0, 0.15) + generator.normal(0, 0.05, shape) > 0).sum(axis=1)
            table = pd.DataFrame({"identity": range(persons), "queries": queries, "rank1": first, "map_hit": 0.0})
            scores = template.scores.iloc[:1].assign(value=first.sum() / (persons * queries))
            records[row].append(replace(template, scores=scores, persons=table))
    return records


@pytest.mark.slow
def test_one_in_twenty_verdicts_is_false_without_a_true_difference(records):
    """Simulated: 800 comparisons; by the binomial variance of the queries alone far more verdicts would be false."""
    generator, found, naive = np.random.default_rng(0), [], []
    for _ in range(400):
        drawn = simulated(records["ID"][0], generator)
        found += compare(drawn, [("A", "B"), ("C", "D")])["verdict"].isin(["higher", "lower"]).tolist()
        for pair in ("AB", "CD"):
            one, other = (drawn[row][0].score("rank1") for row in pair)
            noise = 2 * math.sqrt((one * (100 - one) + other * (100 - other)) / 600)
            naive.append(abs(one - other) > noise)
    assert 0.03 <= np.mean(found) <= 0.075
    assert np.mean(naive) > 0.15


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
