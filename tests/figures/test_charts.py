"""Charts draw the numbers of their frames, and their names can be read."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from crreid.errors import InputError
from crreid.figures.charts import bars, by_rate, scatter, spread
from crreid.figures.style import COLOURS, MEASURED


def scores(seeds: int = 1) -> pd.DataFrame:
    """Scores of two rows: rank-1 falls with the rate, and by 2 from seed to seed; mAP is half of it."""
    lines = [
        {"row": row, "seed": seed, "test": test, "protocol": protocol, "rate": rate, "metric": metric}
        | {"value": share * (60 + 10 * at - 5 * np.nan_to_num(rate) + 2 * seed - 20 * (protocol == "single_shot"))}
        for at, row in enumerate(("teacher", "PS-HRNet"))
        for seed in range(seeds)
        for protocol in ("multi_shot", "single_shot")
        for test, rate in [("drawn", np.nan), ("drawn", 2.0), *(("uniform", rate) for rate in (1.0, 2.0, 4.0, 8.0))]
        for metric, share in (("rank1", 1.0), ("map_hit", 0.5))
    ]
    return pd.DataFrame(lines)


def line(axes: Axes, colour: str) -> tuple[list[float], list[float]]:
    """Return the curve of a colour that has markers."""
    (found,) = [one for one in axes.lines if one.get_color() == colour and len(one.get_xdata()) > 2]
    return list(found.get_xdata()), list(found.get_ydata())


def boxes(axes: Axes, texts: set[str]) -> list[np.ndarray]:
    found = [text.get_window_extent() for text in axes.texts if text.get_text() in texts]
    assert len(found) >= len(texts)
    return [box.get_points() for box in found]


def overlap(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((np.minimum(one[1], other[1]) - np.maximum(one[0], other[0]) > 1).all())


def test_by_rate_draws_multi_shot_at_single_rates() -> None:
    figure = by_rate(scores(), metrics=("rank1", "map_hit"), seen=(1, 2, 3, 4), chance=1.7)
    first, second = figure.axes
    assert line(first, COLOURS[0]) == ([1, 2, 4, 8], [55, 50, 40, 20])
    assert line(first, COLOURS[1]) == ([1, 2, 4, 8], [65, 60, 50, 30])
    assert line(second, COLOURS[1])[1] == [32.5, 30, 25, 15]
    written = [text.get_text() for text in first.texts]
    assert {"55.0", "65.0", "chance 1.7", "unseen"} <= set(written)
    assert [text.get_text() for text in second.texts][-2:] == ["teacher", "PS-HRNet"]
    (seen,) = [one for one in first.lines if one.get_label() == "_seen"]
    assert list(seen.get_xdata()) == [1, 2, 3, 4]


def test_by_rate_draws_the_mean_and_the_deviation_of_seeds() -> None:
    (axes,) = by_rate(scores(seeds=3)).axes
    assert line(axes, COLOURS[0])[1] == [57, 52, 42, 22]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(20)
    assert band[:, 1].max() == pytest.approx(59)


def test_by_rate_takes_a_protocol_that_stands_alone_and_a_choice_of_rows() -> None:
    frame = scores()
    (axes,) = by_rate(frame[frame["protocol"] == "single_shot"], rows=["PS-HRNet"]).axes
    assert line(axes, COLOURS[0])[1] == [45, 40, 30, 10]


def test_by_rate_draws_restoration_beside_its_input() -> None:
    frame = pd.DataFrame({"rate": [2, 3, 4], "value": [30, 28, 27], "input": [29, 27, 26]})
    frame = frame.assign(row="SR", measure="psnr")
    (axes,) = by_rate(frame, metrics=("psnr",)).axes
    curves = [list(one.get_ydata()) for one in axes.lines if len(one.get_xdata()) == 3]
    assert curves == [[30, 28, 27], [29, 27, 26]]
    assert axes.get_ylim()[0] > 20


def test_names_of_curves_that_end_together_lie_apart() -> None:
    names = [f"system {number}" for number in range(8)]
    parts = [scores().assign(row=name) for name in names]
    figure = by_rate(pd.concat([part.drop_duplicates(["test", "protocol", "rate", "metric"]) for part in parts]))
    found = boxes(figure.axes[0], set(names))
    assert not any(overlap(one, other) for one, other in itertools.combinations(found, 2))
    assert all(box[1, 0] <= figure.bbox.x1 for box in found)


def test_bars_draw_measured_filled_and_published_hollow() -> None:
    published = pd.DataFrame({"row": ["PS-HRNet", "SING"], "metric": "rank1", "value": [91.5, 74.4]})
    figure = bars(scores(), metrics=("rank1", "map_hit"), published=published)
    first, second = figure.axes
    drawn = [
        (bar.get_y() + bar.get_height() / 2, bar.get_width(), to_hex(bar.get_facecolor())) for bar in first.patches
    ]
    assert [(round(place, 1), width) for place, width, _ in drawn] == [(1.2, 91.5), (0.8, 70), (2.2, 74.4), (-0.2, 60)]
    assert [face for *_, face in drawn] == ["#ffffff", MEASURED.lower(), "#ffffff", MEASURED.lower()]
    assert [bar.get_width() for bar in second.patches] == [35, 30]
    assert [label.get_text() for label in first.get_yticklabels()] == ["teacher", "PS-HRNet", "SING"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["measured here", "published"]
    for axes in figure.axes:
        texts = boxes(axes, {text.get_text() for text in axes.texts})
        assert all(box[1, 0] <= axes.bbox.x1 + 1 for box in texts)


def test_bars_of_several_seeds_tell_their_deviation_and_need_no_legend() -> None:
    figure = bars(scores(seeds=3))
    assert [text.get_text() for text in figure.axes[0].texts] == ["72.0 ± 2.0", "62.0 ± 2.0"]
    assert not figure.legends


def test_scatter_joins_what_no_other_row_beats() -> None:
    costs = pd.DataFrame({"row": list("abcd"), "cost": [1.0, 2.0, 2.0, 8.0], "rank1": [30.0, 20.0, 45.0, 50.0]})
    for better, expected in (("low", [1, 2, 8]), ("high", [8])):
        (axes,) = scatter(costs, "cost", log=True, better=better).axes
        (front,) = [one for one in axes.lines if one.get_label() == "_front"]
        assert list(front.get_xdata()) == expected
    points = {one.get_label(): (one.get_xdata()[0], one.get_ydata()[0]) for one in axes.lines}
    assert {row: points[row] for row in "abcd"} == {"a": (1, 30), "b": (2, 20), "c": (2, 45), "d": (8, 50)}


def test_scatter_names_crowded_points_apart_and_published_ones_hollow() -> None:
    names = [f"published {number}" for number in range(9)]
    crowd = pd.DataFrame({"row": names, "year": 2018, "rank1": 70 + np.arange(9) / 2, "source": "published"})
    ours = pd.DataFrame({"row": ["ours"] * 2, "year": 2019, "rank1": [60.0, 64.0], "source": "measured"})
    figure = scatter(pd.concat([crowd, ours]), "year", xlabel="year of publication")
    axes = figure.axes[0]
    found = boxes(axes, {*names, "ours"})
    assert not any(overlap(one, other) for one, other in itertools.combinations(found, 2))
    faces = {str(one.get_label()): one.get_markerfacecolor() for one in axes.lines}
    assert faces["published 0"] == "white"
    assert faces["ours"] == COLOURS[0]
    (mean,) = [one for one in axes.lines if one.get_label() == "ours"]
    assert list(mean.get_ydata()) == [62]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2018", "2019"]


def test_spread_keeps_order_and_gaps_and_moves_nothing_that_has_room() -> None:
    assert spread([1, 5, 9], [1, 1, 1], 0, 10).tolist() == [1, 5, 9]
    assert spread([5, 5, 5], [1, 2, 1], 0, 10) == pytest.approx([3.5, 5, 6.5])
    assert spread([0, 0, 10], [2, 2, 2], 0, 10) == pytest.approx([0, 2, 10])


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: by_rate(scores().drop(columns="rate")), "frame lacks the column 'rate'; it has row"),
        (lambda: by_rate(scores(), metrics=("rank7",)), "frame has no rank7 by rate; expected lines with a rate"),
        (lambda: bars(scores(), metrics=("psnr",)), "scores has no psnr of all queries"),
        (lambda: bars(scores(), published=pd.DataFrame({"method": ["PCB"]})), "frame lacks the column 'row'"),
        (lambda: scatter(scores().assign(cost=0.0), "cost", "value", log=True), "has the cost 0; expected .* above 0"),
    ],
)
def test_bad_frames_are_refused_in_one_sentence(draw, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as refused:
        draw()
    assert "\n" not in str(refused.value)
