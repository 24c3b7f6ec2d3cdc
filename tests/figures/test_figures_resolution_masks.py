import numpy as np
import pandas as pd
import pytest

from crreid.errors import InputError
from crreid.figures.resolution_masks import resolution_masks


def masks(blocks=2, levels=4, channels=21):
    """Starts from 0.80 to 1.00; the value of level k at depth d is lower by 0.01 k d."""
    start = np.linspace(0.8, 1.0, channels)
    return pd.concat(
        [
            pd.DataFrame({"channel": range(channels), "start": start, "value": start - 0.01 * level * depth}).assign(
                position=f"layer{depth // blocks + 1}.{depth % blocks}",
                depth=depth,
                level=level,
                rate=levels + 1 - level,
            )
            for depth in range(4 * blocks)
            for level in range(1, levels + 1)
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize("blocks", [2, 4])
def test_values_by_level_and_depth(blocks, texts, assert_readable):
    figure = resolution_masks(masks(blocks))
    upper, lower = figure.axes
    found = {line.get_label(): line for line in upper.lines if not line.get_label().startswith("_")}
    assert list(found) == ["rate 1", "rate 2", "rate 3", "rate 4"]
    for rate, line in zip((1, 2, 3, 4), found.values(), strict=True):
        assert np.allclose(line.get_ydata(), [0.9 - 0.01 * (5 - rate) * depth for depth in range(4 * blocks)])
    assert [label.get_text() for label in lower.get_xticklabels()][:3] == [
        "1.0",
        "1.1",
        "2.0" if blocks == 2 else "1.2",
    ]
    assert [label.get_text() for label in lower.get_yticklabels()] == ["rate 1", "rate 2", "rate 3", "rate 4"]
    assert "before training" in texts(figure)
    assert_readable(figure)


def test_movement_is_a_share_of_the_spread_before(texts):
    table = masks()
    spread = table["start"].std(ddof=0)
    lower = resolution_masks(table).axes[1]
    printed = [text.get_text() for text in lower.texts]
    assert printed[0] == "0.0"  # nearest the input nothing moved
    assert printed[7] == f"{100 * 0.01 * 4 * 7 / spread:.0f}"
    assert len(printed) == 8 * 4
    pixels = np.asarray(lower.images[0].get_array())
    assert (pixels[0, 0] == 1).all()
    assert pixels[0, 7, 0] < 0.1


def test_next_to_no_movement_looks_like_it():
    table = masks().assign(value=lambda lines: lines["start"] - 1e-5)
    pixels = np.asarray(resolution_masks(table).axes[1].images[0].get_array())
    assert pixels.min() > 0.98


def test_one_mask_a_stage_and_fewer_levels(assert_readable):
    table = masks(blocks=1, levels=2)
    table["position"] = table["position"].str.partition(".")[0]
    assert_readable(resolution_masks(table))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (masks().iloc[:0], "masks is empty"),
        (masks().drop(columns="start"), "lacks the column 'start'"),
        (masks().assign(value=1.2), "value 1.2; expected a number from 0 to 1"),
        (masks().assign(start=np.nan), "start nan; expected a number from 0 to 1"),
    ],
)
def test_bad_input(changed, message):
    with pytest.raises(InputError, match=message):
        resolution_masks(changed)


def test_svg_is_deterministic(svg):
    assert svg(resolution_masks(masks())) == svg(resolution_masks(masks()))
