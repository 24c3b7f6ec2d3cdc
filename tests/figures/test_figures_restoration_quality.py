import numpy as np
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.figures.restoration_quality import restoration_quality

RATES = (2.0, 3.0, 4.0, 8.0)
LEVELS = {"bicubic": (24.0, 0.80), "solo SR": (26.0, 0.86), "SR+ID": (25.1, 0.83), "SR+ID+PS": (25.05, 0.83)}


def scores(seeds=1):
    return pd.DataFrame(
        [
            {"row": row, "rate": rate, "psnr": psnr - rate + seed, "ssim": ssim - rate / 20 + seed / 100}
            for seed in range(seeds)
            for row, (psnr, ssim) in LEVELS.items()
            for rate in RATES
        ]
    )


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_lines_of_both_panels(texts, assert_readable):
    figure = restoration_quality(scores(), unseen=8)
    for axes, level in zip(figure.axes, (0, 1), strict=True):
        assert list(lines(axes)) == list(LEVELS)
        for row, line in lines(axes).items():
            step = 1 if level == 0 else 1 / 20
            assert np.allclose(line.get_ydata(), [LEVELS[row][level] - step * rate for rate in RATES])
        assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3", "4", "8"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["PSNR (dB)", "SSIM"]
    found = texts(figure)
    assert all(found.count(row) == 2 for row in LEVELS)
    assert found.count("not trained on") == 2
    assert_readable(figure)


def test_long_names_are_broken(texts, assert_readable):
    table = scores().replace({"row": {"bicubic": "Input (as enlarged for the network)"}})
    figure = restoration_quality(table)
    assert "Input (as enlarged for the network)" in [text.replace("\n", " ") for text in texts(figure)]
    assert_readable(figure)


def test_seeds_become_mean_and_band():
    psnr = restoration_quality(scores(3)).axes[0]
    assert np.allclose(lines(psnr)["bicubic"].get_ydata(), [23, 22, 21, 17])
    corners = psnr.collections[0].get_paths()[0].vertices
    at_first = corners[corners[:, 0] == 0, 1]
    assert (at_first.min(), at_first.max()) == pytest.approx((22, 24))  # the seeds deviate by 1
    assert not restoration_quality(scores()).axes[0].collections


def test_nothing_leaves_the_axes():
    for axes in restoration_quality(scores(3)).axes:
        low, high = axes.get_ylim()
        for band in axes.collections:
            heights = band.get_paths()[0].vertices[:, 1]
            assert low < heights.min()
            assert heights.max() < high


def test_no_shade_without_unseen_rates(texts):
    assert "not trained on" not in texts(restoration_quality(scores()))
    assert "not trained on" not in texts(restoration_quality(scores(), unseen=16))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (scores().iloc[:0], "scores is empty"),
        (scores().drop(columns="ssim"), "lacks the column 'ssim'"),
        (scores().assign(psnr=np.inf), "bicubic at rate 2: psnr is inf; expected a finite number"),
        (scores().assign(ssim=1.2), r"ssim is 1.2; expected a number of at most 1"),
        (scores().iloc[:-1], r"no line of SR\+ID\+PS at rate 8"),
        (scores().assign(row="a_name_that_is_much_too_long_for_this"), "too long a word"),
    ],
)
def test_bad_input(changed, message):
    with pytest.raises(InputError, match=message):
        restoration_quality(changed)


def test_svg_is_deterministic(svg):
    assert svg(restoration_quality(scores(2))) == svg(restoration_quality(scores(2)))
