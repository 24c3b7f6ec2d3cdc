import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from crreid.figures.style import (
    METHOD_COLOURS,
    WIDTH,
    StudyFigure,
    method_styles,
    new_figure,
    place,
    readable,
    style,
    styled,
    text_width,
    write,
)


def test_style_ends_with_the_block():
    with mpl.rc_context({"font.size": 7, "axes.grid": False, "svg.hashsalt": None}):
        with style():
            assert mpl.rcParams["font.size"] == 10
            assert mpl.rcParams["axes.grid"]
            assert not mpl.rcParams["axes.spines.top"]
            assert mpl.rcParams["svg.hashsalt"] == "crreid"
        assert mpl.rcParams["font.size"] == 7
        assert not mpl.rcParams["axes.grid"]


def test_style_forgets_the_settings_of_the_user():
    with mpl.rc_context({"lines.linestyle": ":"}), style():
        assert mpl.rcParams["lines.linestyle"] == "-"


@styled
def curve(values: list[float]) -> Figure:
    """Draws."""
    figure = new_figure(3, 2, layout="constrained")
    figure.add_subplot().plot(values)
    return figure


def test_styled_keeps_name_and_ticks():
    assert curve.__name__ == "curve"
    assert curve.__doc__ == "Draws."
    ticks = curve([1, 2, 3]).axes[0].get_xticklabels()
    assert {tick.get_fontsize() for tick in ticks} == {9.0}


@pytest.mark.parametrize("settings", [{}, {"svg.hashsalt": None, "svg.fonttype": "none", "font.size": 20}])
def test_svg_bytes_depend_on_the_data_alone(settings, svg):
    first = svg(curve([1, 2, 3]))
    with mpl.rc_context(settings):
        second = svg(curve([1, 2, 3]))
    assert first == second
    assert b"dc:date" not in first
    assert first != svg(curve([1, 2, 4]))


def test_metadata_can_still_be_given():
    stream = io.BytesIO()
    curve([1, 2]).savefig(stream, format="svg", metadata={"Title": "a title of its own"})
    assert b"a title of its own" in stream.getvalue()
    assert b"dc:date" not in stream.getvalue()


def test_new_figure_has_its_size():
    figure = new_figure(WIDTH, 2)
    assert isinstance(figure, StudyFigure)
    assert tuple(figure.get_size_inches()) == (WIDTH, 2)


def test_place_and_write_count_from_the_upper_left():
    figure = new_figure(4, 2)
    box = place(figure, 1, 0.5, 2, 1).get_position().bounds
    assert np.allclose(box, (0.25, 0.25, 0.5, 0.5))
    write(figure, 1, 0.5, "here")
    assert np.allclose(figure.texts[0].get_position(), (0.25, 0.75))
    assert (figure.texts[0].get_ha(), figure.texts[0].get_va()) == ("left", "top")


def test_eighteen_methods_differ():
    styles = method_styles([f"method {number}" for number in range(18)])
    looks = {(line.colour, line.marker, line.dashes) for line in styles.values()}
    assert len(looks) == 18
    without_colour = [(line.marker, line.dashes) for line in styles.values()]
    assert len(set(without_colour)) == 18


def test_a_style_goes_by_the_place_of_a_name():
    assert list(method_styles(["ID", "SR+ID", "ID"])) == ["ID", "SR+ID"]
    assert method_styles(["ID", "SR+ID"])["SR+ID"].colour == METHOD_COLOURS[1]


@pytest.mark.parametrize("colour", [*METHOD_COLOURS, "#F0E442", "#000000"])
def test_text_colours_can_be_read_on_white(colour):
    channels = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(readable(colour))
    ]
    luminance = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    assert 1.05 / (luminance + 0.05) > 4.4


def test_text_width_agrees_with_the_renderer():
    with style():
        figure = new_figure(4, 2)
        text = figure.text(0, 0, "SR+ID+PS $5", size=9)
        drawn = text.get_window_extent().width / figure.dpi
    assert text_width("SR+ID+PS $5", 9) == pytest.approx(drawn, rel=0.05)
    assert text_width("a\nlonger", 9) == text_width("longer", 9)
    assert text_width("name", 9, "bold") > text_width("name", 9)
