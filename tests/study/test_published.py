import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.study.published import published_methods, published_numbers

COUNTS = {"I": 294, "II": 9, "III": 21, "IV": 15, "V": 24, "VI": 28, "VII": 9}
DATASETS = ["MLR-Market-1501", "MLR-CUHK03", "MLR-VIPeR", "MLR-DukeMTMC-reID", "CAVIAR"]


def value(table, method, dataset, metric):
    numbers = published_numbers(table=table)
    chosen = numbers[(numbers["method"] == method) & (numbers["dataset"] == dataset) & (numbers["metric"] == metric)]
    (found,) = chosen.to_dict("records")
    return found["value"]


def notes(table, method, dataset=None, metric=None):
    numbers = published_numbers(table=table)
    chosen = numbers[numbers["method"] == method]
    for column, wanted in (("dataset", dataset), ("metric", metric)):
        chosen = chosen if wanted is None else chosen[chosen[column] == wanted]
    assert len(chosen)
    return set(chosen["note"])


@pytest.mark.parametrize(("table", "count"), COUNTS.items())
def test_numbers_of_each_table(table, count):
    assert len(published_numbers(table=table)) == count


def test_every_number_stands_once_and_is_possible():
    for source in ("ps-hrnet-2021", "ps-hrnet-release", "cad-net-2019", "cad-net-poster-2019"):
        numbers = published_numbers(source=source)
        assert not numbers.duplicated(["table", "method", "dataset", "metric"]).any()
        ranks = numbers[numbers["metric"].isin(["rank1", "rank5", "rank10", "map"])]
        assert ranks["value"].between(0, 100).all()
        assert numbers.loc[numbers["metric"] == "ssim", "value"].between(0, 1).all()


def test_later_ranks_are_no_worse():
    numbers = published_numbers()
    wide = numbers.pivot_table("value", ["table", "method", "dataset"], "metric")
    assert (wide["rank5"].dropna() >= wide["rank1"][wide["rank5"].notna()]).all()
    assert (wide["rank10"].dropna() >= wide["rank5"][wide["rank10"].notna()]).all()


def test_table_1_has_25_methods_on_five_data_sets():
    numbers = published_numbers(table="I")
    per_dataset = numbers[numbers["metric"] == "rank1"].groupby("dataset", sort=False)["method"].count()
    assert per_dataset.to_dict() == dict(zip(DATASETS, (21, 24, 21, 15, 25), strict=True))
    assert len(numbers["method"].unique()) == 25


@pytest.mark.parametrize(
    ("table", "method", "dataset", "metric", "expected"),
    [
        ("I", "PS-HRNet", "MLR-CUHK03", "rank1", 92.6),
        ("I", "PyrNet+PRI", "MLR-DukeMTMC-reID", "rank5", 91.1),
        ("I", "SDF", "MLR-VIPeR", "rank1", 9.3),
        ("II", "SR+ID", "MLR-Market-1501", "rank1", 87.6),
        ("III", "Solo SR", "MLR-CUHK03", "psnr", 27.9),
        ("III", "SR+ID+PS", "MLR-CUHK03", "ssim", 0.91),
        ("IV", "RCAN+ResNet-50", "MLR-Market-1501", "rank1", 73.1),
        ("V", "AAP+AMP", "DukeMTMC-reID", "map", 74.3),
        ("VI", "HRNet-ReID", "Market-1501", "map", 84.1),
        ("VII", "{Seq1, Seq4, Seq5, logits}", "MLR-Market-1501", "rank10", 97.9),
    ],
)
def test_values(table, method, dataset, metric, expected):
    assert value(table, method, dataset, metric) == expected


def test_doubtful_numbers_say_why():
    for method in ("DenseNet-121", "ResNet-50", "SE-ResNet-50", "FFSR", "RIFE", "FFSR+RIFE"):
        assert all("another data set" in note for note in notes("I", method, "MLR-Market-1501"))
        assert notes("I", method, "CAVIAR") == {""}
    assert all("ID+SR" in note or "SR+ID" in note for note in notes("I", "PS-HRNet", "CAVIAR"))
    assert all("multi-shot" in note for note in notes("I", "PS-HRNet", "MLR-Market-1501"))
    for method in ("CycleGAN", "SING", "CSR-GAN", "CAD-Net"):
        assert all("copied" in note for note in notes("III", method))
    assert all("not to be trusted" in note for note in notes("VI", "DenseNet-121", "DukeMTMC-reID"))
    for method in ("DPFL", "PCB", "FD-GAN", "CamStyle", "DenseNet-121"):
        assert all("quoted from elsewhere" in note for note in notes("VI", method))
    assert notes("VI", "HRNet-ReID") == {""}


def test_copied_numbers_of_table_3_are_those_of_cad_net():
    original = published_numbers(source="cad-net-2019", table="2 (r in {2,3,4})")
    keys = ["method", "dataset", "metric"]
    both = published_numbers(table="III").merge(original, on=keys, suffixes=("", "_original"))
    assert len(both) == 12
    assert (both["value"] == both["value_original"]).all()


def test_poster_of_cad_net_repeats_what_papers_print():
    keys, poster = ["method", "dataset", "metric"], published_numbers(source="cad-net-poster-2019")
    assert len(poster) == 86
    assert poster["method"].unique().tolist() == [
        *("JUDEA", "SLD2L", "SDF", "SING", "CSR-GAN", "CamStyle", "FD-GAN"),
        *("CAD-Net (f only)", "CAD-Net (g only)", "CAD-Net"),
    ]
    elsewhere = pd.concat([published_numbers(table="I"), published_numbers(source="cad-net-2019", table="1")])
    both = poster.merge(elsewhere, on=keys, suffixes=("", "_elsewhere"))
    assert len(both) == len(poster)
    assert (both["value"] == both["value_elsewhere"]).all()


def test_methods_are_those_of_table_1():
    methods = published_methods()
    assert methods["method"].tolist() == published_numbers(table="I")["method"].unique().tolist()
    assert methods["year"].between(2015, 2021).all()
    for column in ("venue", "family", "title", "measured_by"):
        assert (methods[column] != "").all()
    filled = methods.loc[methods["arxiv"] != "", "arxiv"]
    assert filled.str.fullmatch(r"\d{4}\.\d{5}").all()
    # a paper is not older than its number
    assert (2000 + filled.str[:2].astype(int) <= methods.loc[filled.index, "year"]).all()
    known = {"JUDEA": 2015, "ResNet-50": 2016, "SING": 2018, "CAD-Net": 2019, "INTACT": 2020, "PS-HRNet": 2021}
    assert methods.set_index("method")["year"][list(known)].to_dict() == known


def test_numbers_of_one_data_set():
    market = published_numbers(table="I", dataset="MLR-Market-1501")
    assert market["dataset"].unique().tolist() == ["MLR-Market-1501"]
    assert len(market[market["metric"] == "rank1"]) == 21
    assert published_numbers(table="I", dataset=None).empty
    with pytest.raises(InputError, match="no published numbers of 'ps-hrnet-2021', table 'VIII'"):
        published_numbers(table="VIII", dataset=None)
