"""One visual language for all figures: colours and markers of rows, type sizes, and PNG files that stay small.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision tell apart.
Nothing is said by colour alone: rows also have markers, correct and false matches marks, published numbers are hollow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INKS = ("#006fad", "#c25600", "#008460", "#a05f83", "#9b6b00", "#3c7da2")
"""The same, as dark as text takes to have a contrast of 4.5 on white (level AA of WCAG 2.1)."""
MARKERS = ("o", "s", "^", "D", "v", "P")
MEASURED, CORRECT, FALSE = COLOURS[0], COLOURS[2], COLOURS[1]
INK, MUTED = "#222222", "#5A5A5A"

WIDTH = 7.2
"""Inches of a figure as wide as a notebook's column; its type can still be read at half of that width."""
DPI = 120
SMALL = 10
"""Points of ticks, labels in a chart and captions; everything else has 11."""

_FEW_COLOURS_ABOVE = 150_000  # bytes; charts lie far below, pictures of people above

_SETTINGS: dict[Any, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that lines break alike everywhere
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "text.parse_math": False,  # a dollar sign in a caption is a dollar sign
    "axes.edgecolor": "#8A8A8A",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "axes.prop_cycle": cycler(color=COLOURS),
    "lines.linewidth": 1.8,
}

P = ParamSpec("P")


@contextmanager
def study_style() -> Iterator[None]:
    """Draw in the study's style inside the block; settings outside it stay as they are."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's own matplotlibrc must not change a result
        mpl.rcParams.update(_SETTINGS)
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a function that returns a figure draw in the study's style, ticks included, which matplotlib makes late."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with study_style():
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()
        return figure

    return drawn


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file of 120 dpi, the same bytes each time; pictures of people get 256 colours."""
    with study_style():
        file = BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
    if file.tell() <= _FEW_COLOURS_ABOVE:
        return file.getvalue()
    picture = Image.open(file).convert("RGB")
    some = np.asarray(picture).reshape(1, -1, 3)[:, ::31]  # colours of so many pixels stand for all, in no time
    palette = Image.fromarray(np.ascontiguousarray(some)).quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2)
    file = BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)
    return file.getvalue()


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one row is drawn: colour, marker, and the colour of text about it."""

    colour: str
    marker: str
    ink: str


def looks(rows: Sequence[str]) -> dict[str, Look]:
    """Return a look for each row by its place in the list: 36 differ, the first six both in colour and in marker."""
    places = enumerate(dict.fromkeys(rows))
    return {
        row: Look(colour=COLOURS[at % 6], marker=MARKERS[(at + at // 6) % 6], ink=INKS[at % 6]) for at, row in places
    }


def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Return the inches that the widest line of a text takes at a size in points."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    return max(text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.split("\n")) / 72


def broken(text: str, width: float, weight: str = "normal") -> str:
    """Return small text in lines of at most a width in inches, broken at spaces; a word that is longer stays whole."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and text_width(f"{lines[-1]} {word}", weight=weight) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
