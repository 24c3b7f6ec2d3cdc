"""One visual language for all figures: colours by role, type sizes, and bytes that do not change from day to day.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision tell apart.
What matters is never said by colour alone: right and wrong have marks, methods markers, published bars are hatched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

__all__ = [
    "EPOCH_LABEL",
    "INK",
    "LEARNING_RATE_LABEL",
    "MAP_LABEL",
    "MEASURED",
    "METHOD_COLOURS",
    "MUTED",
    "PUBLISHED",
    "RANK1_LABEL",
    "RATE_LABEL",
    "RIGHT",
    "SMALL",
    "WIDTH",
    "WRONG",
    "LineStyle",
    "StudyFigure",
    "method_styles",
    "new_figure",
    "place",
    "readable",
    "style",
    "styled",
    "text_width",
    "write",
]

RIGHT = "#009E73"  # bluish green
WRONG = "#D55E00"  # vermilion
PUBLISHED = "#6E6E6E"  # grey
MEASURED = "#0072B2"  # blue
INK = "#222222"
MUTED = "#5A5A5A"
METHOD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

RANK1_LABEL = "rank-1 (per cent)"
MAP_LABEL = "mean average precision (per cent)"
RATE_LABEL = "rate by which queries are shrunk"
EPOCH_LABEL = "epoch"
LEARNING_RATE_LABEL = "learning rate"

WIDTH = 6.4
"""Inches of a full-width figure; with type of 10 points it can be read at half of it."""
SMALL = 8.5
"""Points of captions and values; everything else has 10."""

_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES = ("-", "--", ":")

_SETTINGS: dict[Any, Any] = {
    "figure.dpi": 160,
    "savefig.dpi": "figure",
    "savefig.bbox": "standard",
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that lines break alike everywhere
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a caption is a dollar sign
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8A8A8A",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "axes.prop_cycle": cycler(color=METHOD_COLOURS),
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.8,
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "crreid",
}

P = ParamSpec("P")


@contextmanager
def style() -> Iterator[None]:
    """Draws and saves in the study's style inside the block; settings outside it stay as they are."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's own matplotlibrc must not change a result
        mpl.rcParams.update(_SETTINGS)
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Makes a function that returns a figure draw in the study's style, ticks included, which matplotlib makes late."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()
        return figure

    return drawn


class StudyFigure(Figure):
    """A figure that is also saved in the study's style, without the date: the same figure gives the same SVG bytes."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As `Figure.savefig`."""
        if options.get("format", str(fname).rpartition(".")[2]) == "svg":
            options["metadata"] = {"Date": None} | (options.get("metadata") or {})
        with style():
            super().savefig(fname, **options)


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure of pyplot's, which notebooks display by themselves; whoever asked for it closes it.

    Args:
        width: In inches.
        height: In inches.
        options: For `matplotlib.figure.Figure`.
    """
    return plt.figure(figsize=(width, height), FigureClass=StudyFigure, **options)


@dataclass(frozen=True, kw_only=True)
class LineStyle:
    """How one method is drawn wherever it appears in a figure."""

    colour: str
    marker: str
    dashes: str

    @property
    def ink(self) -> str:
        """The colour for text: as dark as it takes to be read on white."""
        return readable(self.colour)


def method_styles(names: Sequence[str]) -> dict[str, LineStyle]:
    """A style for each method by its place in the list; 18 differ, and any two of them not by colour alone."""
    return {
        name: LineStyle(
            colour=METHOD_COLOURS[place % 6],
            marker=_MARKERS[(place + place // 6) % 6],
            dashes=_DASHES[place // 6 % 3],
        )
        for place, name in enumerate(dict.fromkeys(names))
    }


def readable(colour: str, contrast: float = 4.5) -> str:
    """The colour, darkened until text in it has a contrast on white (WCAG 2.1's ratio; 4.5 is its level AA)."""
    channels = np.array(to_rgb(colour))
    while 1.05 / (_luminance(channels) + 0.05) < contrast:
        channels *= 0.97
    return to_hex(tuple(channels))


def _luminance(channels: np.ndarray) -> float:
    """Relative luminance in [0, 1] of RGB in [0, 1] (WCAG 2.1)."""
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Inches that the widest line of a text takes at a size in points, in the style's font."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return max(text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.split("\n")) / 72


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the figure's upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def write(figure: Figure, left: float, top: float, text: str, **options: Any) -> None:
    """Text at a place in inches from the figure's upper left corner; by default its own upper left corner is there."""
    across, down = figure.get_size_inches()
    figure.text(left / across, 1 - top / down, text, **{"ha": "left", "va": "top", **options})
