import numpy as np
import pytest

from crreid.data.mlr import MLRSettings, mlr
from crreid.data.pixels import PixelCache
from crreid.data.prepare import PreparedData
from crreid.errors import InputError
from crreid.records import Record
from crreid.study.conclusions import (
    ablation_conclusion,
    chance_rank1,
    resolution_conclusion,
    restoration_conclusion,
)
from crreid.study.pictures import RestoredImage
from crreid.study.published import published_dataset, published_numbers
from crreid.study.tables import (
    beside_published,
    mean_and_deviation,
    provenance_table,
    published_table,
    rank1_per_rate,
    scores_table,
    tidy_scores,
)

ROWS = ("HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS")


def part(rank1: float, queries: int = 100) -> dict:
    ranks = {"1": rank1, "5": min(1.0, rank1 + 0.1), "10": min(1.0, rank1 + 0.2), "20": 1.0}
    return {"ranks": ranks, "map_hit": rank1 / 2, "map_trapezoid": rank1 / 3, "queries": queries, "unmatched": 0}


def record(title: str, rank1: float, *, seed: int = 0, queries: int = 100) -> Record:
    scores = {
        protocol: {"overall": part(rank1, queries), "per_rate": {"2.0": part(rank1), "4.0": part(rank1 / 2)}}
        for protocol in ("multi_shot", "single_shot")
    }
    tests = {"protocol": scores} | {
        f"rate {rate}": {"multi_shot": {"overall": part(rank1 / rate), "per_rate": {}}} for rate in (1, 4)
    }
    origin = {"commit": "abc" * 10, "dirty": True, "device": "cpu", "started": "2026-01-01T00:00"}
    origin["training_seconds"] = 90
    run = {"seed": seed, "weights": "random"}
    return Record(digest=f"{title}{seed}", title=title, run=run, measured={"scores": tests}, provenance=origin)


@pytest.fixture
def records():
    shares = dict(zip(ROWS, (0.5, 0.4, 0.42, 0.7), strict=True))
    return {row: [record(row, share, seed=seed) for seed in (0, 1)] for row, share in shares.items()}


def test_mean_and_deviation():
    assert mean_and_deviation([57.14]) == "57.1"
    assert mean_and_deviation([56.0, 58.0]) == "57.0 ± 1.4"
    assert mean_and_deviation([]) == "-"
    assert mean_and_deviation([np.nan, 3.0]) == "3.0"


def test_tidy_scores_hold_every_number_once(records):
    tidy = tidy_scores(records)
    key = ["row", "seed", "test", "protocol", "rate", "metric"]
    assert not tidy.duplicated(key).any()
    chosen = tidy.set_index(key)["value"]
    assert chosen["SR+ID", 1, "protocol", "multi_shot", "all", "rank1"] == pytest.approx(42)
    assert chosen["SR+ID", 1, "protocol", "multi_shot", "4", "rank1"] == pytest.approx(21)
    assert chosen["ID", 0, "rate 4", "multi_shot", "all", "map_hit"] == pytest.approx(5)


def test_scores_table_keeps_the_order_of_rows(records):
    table = scores_table(tidy_scores(records))
    assert table.index.tolist() == list(ROWS)
    assert table.columns.tolist() == ["rank-1", "rank-5", "rank-10", "mAP (at hits)", "mAP (trapezoid)"]
    assert table.loc["SR+ID+PS", "rank-1"] == "70.0 ± 0.0"
    assert rank1_per_rate(tidy_scores(records)).columns.tolist() == ["rank-1 at rate 2", "rank-1 at rate 4"]


def test_published_numbers_stand_beside_and_a_gap_is_a_dash(records):
    published = published_numbers(table="II")
    table = beside_published(scores_table(tidy_scores(records)), published)
    assert table.columns[:3].tolist() == ["published rank-1", "published rank-5", "published rank-10"]
    assert table.loc["SR+ID+PS", "published rank-1"] == "91.5"
    assert table.loc["HRNet-ReID-H alone", "published rank-1"] == "-"
    measured_only = beside_published(scores_table(tidy_scores(records)), published.iloc[:0])
    assert measured_only.columns[0] == "rank-1"


def test_published_numbers_are_the_papers():
    numbers = published_numbers(table="I")
    assert len(numbers["method"].unique()) == 25
    chosen = numbers[(numbers["method"] == "PS-HRNet") & (numbers["dataset"] == "MLR-Market-1501")]
    assert chosen["value"].tolist() == [91.5, 96.7, 97.9]
    suspect = numbers[(numbers["method"] == "ResNet-50") & (numbers["dataset"] == "MLR-Market-1501")]
    assert "another data set" in suspect["note"].iloc[0]
    assert published_dataset("mlr-viper") == "MLR-VIPeR"
    assert published_dataset("mlr-synthetic") is None
    with pytest.raises(InputError, match="no published numbers of 'ps-hrnet-2021', table 'XX'"):
        published_numbers(table="XX")


def test_published_table_has_a_row_a_method():
    shown = published_table(published_numbers(table="II"), published_numbers(source="ps-hrnet-release", table="II"))
    assert shown.loc["ID", "MLR-Market-1501"] == "84.7 / 92.0 / 94.6"
    assert shown.loc["SR+ID+PS", "CAVIAR"] == "-"


def test_provenance_names_commit_and_changes(records):
    table = provenance_table(records)
    assert len(table) == 8
    assert table["commit"][0] == "abcabcabca + changes"
    assert table["training minutes"][0] == "1.5"


def test_ablation_conclusion_weighs_differences_by_the_noise(records):
    single = {row: of_row[:1] for row, of_row in records.items()}
    text = ablation_conclusion(single)
    assert "SR adds **+2.0** points of rank-1 (ID 40.0, SR+ID 42.0): within the noise." in text
    assert "PS adds **+28.0** points" in text
    assert "more than the noise" in text
    assert "single seed" in text
    assert "from 2 seeds" in ablation_conclusion(records)


def test_resolution_conclusion_says_the_loss(records):
    text = resolution_conclusion(records["HRNet-ReID-H alone"], chance=1.0)
    assert "**50.0 %** of sharp queries" in text
    assert "costs **37.5 points**" in text
    assert "far above chance" in text


def test_chance_is_that_of_a_random_order(table, tmp_path):
    built = mlr(table, MLRSettings(cameras=(2,)))
    query, gallery = built.with_role("query"), built.with_role("gallery")
    pixels = PixelCache(built, tmp_path)
    data = PreparedData(
        name="noise", digest="", train=built.with_role("train"), query=query, gallery=gallery, pixels=pixels
    )
    generator = np.random.default_rng(0)
    hits = []
    for identity in query.rows["identity"]:
        order = generator.integers(0, len(gallery), 4000)
        hits.append((gallery.rows["identity"].to_numpy()[order] == identity).mean())
    assert chance_rank1(data) == pytest.approx(100 * np.mean(hits), abs=1.0)


def test_restoration_conclusion_compares_errors():
    low, restored, high = (np.full((4, 2, 3), value, dtype=np.uint8) for value in (90, 95, 100))
    text = restoration_conclusion([RestoredImage(rate=2, low=low, restored=restored, high=high)])
    assert "**10.0** grey levels before restoration and **5.0** after it (-50 %): clearly nearer" in text
    worse = restoration_conclusion([RestoredImage(rate=2, low=restored, restored=low, high=high)])
    assert "(+100 %): no nearer to the original than the enlarged image" in worse
    nothing = RestoredImage(rate=2, low=low, restored=None, high=high)
    assert restoration_conclusion([nothing]) == "This method restores nothing."
