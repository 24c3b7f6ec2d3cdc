import math

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from crreid.errors import InputError
from crreid.figures.rank1_by_year import FAMILY_STYLES, rank1_by_year
from crreid.figures.style import MEASURED
from crreid.study.published import published_rank1

DATASETS = ("MLR-Market-1501", "MLR-CUHK03", "MLR-VIPeR", "MLR-DukeMTMC-reID", "CAVIAR")
HERE = pd.DataFrame(
    [("PCB", 2018, 76.0), ("HRNet-W32-C", 2020, 44.0), ("HRNet-ReID-H alone", 2021, 24.0), ("PS-HRNet", 2021, 52.0)],
    columns=["method", "year", "rank1"],
).assign(family="here", measured=True)


def points(figure, *, measured):
    (axes,) = figure.axes
    marked = [line for line in axes.lines if line.get_marker() not in ("None", "", None)]
    return [line for line in marked if (line.get_marker() == "*") == measured]


@pytest.mark.parametrize("dataset", DATASETS)
def test_names_can_be_read_on_every_data_set(dataset, texts, assert_readable):
    published = published_rank1(dataset)
    figure = rank1_by_year(pd.concat([published, HERE]), published_name=f"published, {dataset}")
    found = [text.removesuffix(" ?").replace("\n", " ") for text in texts(figure)]
    for method in [*published["method"], *HERE["method"]]:
        assert method in found
    assert f"published, {dataset}" in found
    assert_readable(figure)


def test_points_are_at_their_values():
    published = published_rank1("CAVIAR")
    figure = rank1_by_year(pd.concat([published, HERE]))
    heights = sorted(float(line.get_ydata()[0]) for line in points(figure, measured=False))
    assert heights == sorted(published["rank1"])
    assert sorted(float(line.get_ydata()[0]) for line in points(figure, measured=True)) == [24, 44, 52, 76]


def test_years_are_columns_in_order():
    (axes,) = rank1_by_year(published_rank1("CAVIAR")).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(year) for year in range(2015, 2022)]
    assert list(axes.get_xticks()) == sorted(axes.get_xticks())


def test_measured_stand_apart_without_colour():
    figure = rank1_by_year(pd.concat([published_rank1("CAVIAR"), HERE]))
    for line in points(figure, measured=True):
        assert to_hex(line.get_markerfacecolor()).upper() == MEASURED
    for line in points(figure, measured=False):
        assert line.get_markerfacecolor() == "white"
    bold = {text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold"}
    assert bold == {"PCB", "HRNet-W32-C", "HRNet-ReID-H\nalone", "PS-HRNet"}
    assert len({marker for _, marker in FAMILY_STYLES.values()}) == len(FAMILY_STYLES)
    assert MEASURED not in {colour for colour, _ in FAMILY_STYLES.values()}


def test_doubtful_numbers_have_a_question_mark(texts):
    found = texts(rank1_by_year(published_rank1("MLR-Market-1501")))
    assert {"ResNet-50 ?", "FFSR ?", "PCB"} <= set(found)


def test_a_family_looks_alike_on_all_data_sets():
    looks = set()
    for dataset in DATASETS:
        legend = rank1_by_year(published_rank1(dataset)).axes[0].get_legend()
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            looks.add((text.get_text(), handle.get_color(), handle.get_marker()))
    assert len(looks) == len(FAMILY_STYLES)


def test_measured_alone(assert_readable):
    assert_readable(rank1_by_year(HERE))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (HERE.iloc[:0], "methods is empty"),
        (HERE.drop(columns="year"), "lacks the column 'year'"),
        (HERE.assign(rank1=math.nan), "method PCB: rank1 is nan"),
        (HERE.assign(rank1=101.0), "method PCB: rank1 is 101"),
        (pd.concat([HERE, HERE]), "methods has PCB twice"),
        (
            pd.DataFrame(
                {"method": list("abcde"), "year": 2000, "family": list("abcde"), "rank1": 1, "measured": False}
            ),
            "5 families besides the known",
        ),
    ],
)
def test_bad_input(methods, message):
    with pytest.raises(InputError, match=message):
        rank1_by_year(methods)


def test_svg_is_deterministic(svg):
    methods = published_rank1("CAVIAR")
    assert svg(rank1_by_year(methods)) == svg(rank1_by_year(methods))
