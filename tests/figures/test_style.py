"""The style leaves the user's settings alone, and its colours can be told apart and read."""

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from crreid.figures.charts import bars
from crreid.figures.style import COLOURS, INKS, broken, looks, png, study_style, text_width


def test_style_is_left_behind_and_ignores_the_users_own() -> None:
    frame = pd.DataFrame({"row": ["a", "b"], "metric": "rank1", "value": [10.0, 20.0]})
    plain = png(bars(frame))
    with mpl.rc_context({"font.size": 30, "savefig.dpi": 30, "axes.facecolor": "black"}):
        assert png(bars(frame)) == plain
        assert mpl.rcParams["font.size"] == 30
        with study_style():
            assert mpl.rcParams["font.size"] == 11


def test_looks_follow_the_place_in_the_list_and_differ() -> None:
    names = [f"row {number}" for number in range(36)]
    found = looks([*names, *names])
    assert len({(look.colour, look.marker) for look in found.values()}) == 36
    assert [look.colour for look in list(found.values())[:6]] == list(COLOURS)
    assert len({look.marker for look in list(found.values())[:6]}) == 6


@pytest.mark.parametrize("ink", INKS)
def test_inks_can_be_read_on_white(ink: str) -> None:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(ink)]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    assert 4.5 <= 1.05 / (luminance + 0.05) < 6


def test_long_names_break_at_spaces() -> None:
    name = "LRAR, told one level too coarse"
    lines = broken(name, 1.3).split("\n")
    assert " ".join(lines) == name
    assert all(text_width(line) <= 1.3 for line in lines)
    assert broken("HRNet-ReID-H", 0.1) == "HRNet-ReID-H"
