import numpy as np
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.figures.resolution_curve import resolution_curve, resolution_scores
from crreid.records import Record

RATES = (1.0, 2.0, 3.0, 4.0)
VALUES = {
    "ID": (70.2, 62.1, 49.3, 37.9),
    "SR+ID+PS": (71.2, 68.1, 60.3, 50.9),
    "HRNet-ReID-H alone": (72.4, 41.0, 22.0, 4.1),
}


def frame(methods=("ID",), seeds=1):
    return pd.DataFrame(
        [
            {"method": method, "seed": seed, "rate": rate, "rank1": value + seed, "map_hit": value / 2}
            for method in methods
            for seed in range(seeds)
            for rate, value in zip(RATES, VALUES[method], strict=True)
        ]
    )


def curves(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_one_method_with_chance(texts, assert_readable):
    figure = resolution_curve(frame(), chance=2.1)
    (axes,) = figure.axes
    assert curves(axes)["ID"].get_ydata().tolist() == list(VALUES["ID"])
    assert list(curves(axes)["chance"].get_ydata()) == [2.1, 2.1]
    assert {"70.2", "62.1", "49.3", "37.9", "chance 2.1", "ID", "−32.3 from rate 1"} <= set(texts(figure))
    assert axes.get_ylabel() == "rank-1 (per cent)"
    assert axes.get_ylim()[0] == 0
    assert_readable(figure)


@pytest.mark.parametrize("methods", [("ID", "SR+ID+PS"), tuple(VALUES)])
@pytest.mark.parametrize("metrics", [("rank1",), ("rank1", "map_hit")])
def test_several_methods(methods, metrics, texts, assert_readable):
    figure = resolution_curve(frame(methods), metrics=metrics, chance=1.0)
    assert len(figure.axes) == len(metrics)
    found = texts(figure)
    for method in methods:
        assert found.count(method) == 1  # named once, in the last panel
        for value in VALUES[method]:
            assert f"{value:.1f}" in found
            assert len(metrics) == 1 or f"{value / 2:.1f}" in found
    assert ("chance" in curves(figure.axes[-1])) == (len(metrics) == 1)
    assert_readable(figure)


def test_methods_that_end_together_are_told_apart(assert_readable):
    together = frame(("ID",))
    others = [together.assign(method=f"method {number}", rank1=together["rank1"] + 0.1 * number) for number in range(6)]
    assert_readable(resolution_curve(pd.concat([together, *others])))


def test_low_scores_get_a_shorter_axis(assert_readable):
    scores = frame(("ID", "SR+ID+PS"))
    scores["rank1"] /= 5
    figure = resolution_curve(scores, chance=0.5)
    assert 14 < figure.axes[0].get_ylim()[1] < 30
    assert_readable(figure)


def test_seeds_become_mean_and_band():
    figure = resolution_curve(frame(seeds=3))
    (axes,) = figure.axes
    assert np.allclose(curves(axes)["ID"].get_ydata(), np.array(VALUES["ID"]) + 1)
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    at_first = corners[corners[:, 0] == 0, 1]
    assert (at_first.min(), at_first.max()) == pytest.approx((70.2, 72.2))  # the seeds deviate by 1
    assert not resolution_curve(frame()).axes[0].collections


def test_rates_in_any_order_and_one_alone(texts):
    figure = resolution_curve(frame().iloc[::-1])
    assert curves(figure.axes[0])["ID"].get_ydata().tolist() == list(VALUES["ID"])
    alone = frame()
    assert "37.9" in texts(resolution_curve(alone[alone["rate"] == 4]))


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        (frame().iloc[:0], {}, "scores is empty"),
        (frame().drop(columns="rate"), {}, "lacks the column 'rate'"),
        (frame(), {"metrics": ("map_trapezoid",)}, "lacks the column 'map_trapezoid'"),
        (frame(), {"metrics": ()}, "one or two"),
        (frame().assign(rank1=np.nan), {}, "rank1 nan; expected a finite number"),
        (frame(("ID", "SR+ID+PS")).iloc[:-1], {}, r"no row of SR\+ID\+PS at rate 4"),
    ],
)
def test_bad_input(scores, options, message):
    with pytest.raises(InputError, match=message):
        resolution_curve(scores, **options)


def test_svg_is_deterministic(svg):
    assert svg(resolution_curve(frame(seeds=2))) == svg(resolution_curve(frame(seeds=2)))


def record(tests):
    score = {"ranks": {"1": 0.5}, "map_hit": 0.3, "map_trapezoid": 0.25}
    scores = {name: {"multi_shot": {"overall": score}, "single_shot": {"overall": score}} for name in tests}
    return Record(digest="0" * 16, title="ID", run={}, measured={"scores": scores}, provenance={})


def test_scores_of_records():
    records = {"ID": [record(["protocol", "rate 1", "rate 2.5"])] * 2}
    scores = resolution_scores(records)
    assert scores["rate"].tolist() == [1, 2.5, 1, 2.5]
    assert scores["seed"].tolist() == [0, 0, 1, 1]
    assert scores.iloc[0][["rank1", "map_hit", "map_trapezoid"]].tolist() == [50, 30, 25]
    assert list(resolution_scores(records, protocol="single_shot")) == ["method", "seed", "rate", "rank1"]
    assert len(resolution_curve(scores, metrics=("rank1", "map_trapezoid")).axes) == 2


def test_records_without_single_rates():
    with pytest.raises(InputError, match="no scores by query rate"):
        resolution_scores({"ID": [record(["protocol"])]})
    with pytest.raises(InputError, match="records is empty"):
        resolution_scores({})
