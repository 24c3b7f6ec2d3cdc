"""Descriptors in a plane, once coloured by who they show and once by the resolution they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from crreid.errors import InputError
from crreid.figures.panels import fit_captions
from crreid.figures.style import MUTED, SMALL, WIDTH, LineStyle, method_styles, new_figure, place, styled, write

__all__ = ["FeaturePoints", "feature_map"]

MARGIN, BETWEEN, HEAD, CAPTION = 0.1, 0.22, 0.5, 0.28
LEGEND_LINE, LEGEND_COLUMNS = 0.19, 5
MOST = 18  # styles that differ
RATE_MARKERS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True, kw_only=True, eq=False)
class FeaturePoints:
    """Places of N descriptors, e.g. of a t-SNE.

    Attributes:
        places: (N, 2).
        identities: Persons, N.
        rates: By which the images were shrunk, N.
    """

    places: NDArray[np.float32]
    identities: Sequence[int]
    rates: Sequence[float]


@styled
def feature_map(panels: Mapping[str, FeaturePoints], *, captions: Mapping[str, str] | None = None) -> Figure:
    """Two panels a row, the same points in both: coloured by identity, coloured by resolution.

    Colours go with markers. Axes have no ticks: the distances of a t-SNE mean nothing.

    Args:
        panels: By the row's name; all of the same persons and rates.
        captions: By the row's name a line below its right panel, e.g. what a probe says; may lack rows.

    Raises:
        InputError: No row, lists whose lengths differ, a place that is not finite, rows of other persons or rates, more
            than 18 persons or 6 rates, or a caption of no row.
    """
    people, rates = _check(panels, captions or {})
    width = (WIDTH - 2 * MARGIN - BETWEEN) / 2
    lines = -(-len(people) // LEGEND_COLUMNS)
    step = HEAD + width + (CAPTION if captions else 0.08)
    bottom = len(panels) * step
    figure = new_figure(WIDTH, bottom + 0.24 + LEGEND_LINE * max(lines, 1))
    persons: dict[float, LineStyle] = dict(zip(people, method_styles(list(map(str, people))).values(), strict=True))
    resolutions = _rate_styles(rates)
    lefts = (MARGIN, MARGIN + width + BETWEEN)
    texts, size = fit_captions([(captions or {}).get(name, "") for name in panels], width)
    for index, ((name, points), text) in enumerate(zip(panels.items(), texts, strict=True)):
        top = index * step
        write(figure, lefts[0], top + 0.08, name, weight="bold")
        for left, title in zip(lefts, ("coloured by identity", "coloured by resolution"), strict=True):
            write(figure, left, top + HEAD - 0.05, title, va="bottom", size=SMALL, color=MUTED)
        _scatter(place(figure, lefts[0], top + HEAD, width, width), points.places, points.identities, persons)
        _scatter(place(figure, lefts[1], top + HEAD, width, width), points.places, points.rates, resolutions)
        if text:
            write(figure, lefts[1] + width / 2, top + HEAD + width + 0.05, text, ha="center", size=size)
    names = {person: str(number) for number, person in enumerate(people, start=1)}
    _legend(figure, lefts[0], bottom, width, "person", [(names[person], persons[person]) for person in people])
    _legend(figure, lefts[1], bottom, width, "rate", [(f"{rate:g}", resolutions[rate]) for rate in rates])
    return figure


def _rate_styles(rates: Sequence[float]) -> dict[float, LineStyle]:
    """From dark, the sharpest, to light: rates have an order."""
    shades = np.linspace(0.0, 0.85, len(rates))
    colours = [to_hex(mpl.colormaps["plasma"](shade)) for shade in shades]
    return {
        rate: LineStyle(colour=colour, marker=marker, dashes="-")
        for rate, colour, marker in zip(rates, colours, RATE_MARKERS, strict=False)
    }


def _scatter(
    axes: Axes, places: NDArray[np.float32], kinds: Sequence[float], styles: Mapping[float, LineStyle]
) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(True)
    for kind, style in styles.items():
        chosen = np.asarray(kinds) == kind
        axes.scatter(
            places[chosen, 0],
            places[chosen, 1],
            s=20,
            color=style.colour,
            marker=style.marker,
            linewidths=0,
            alpha=0.85,
        )
    centre = (places.max(axis=0) + places.min(axis=0)) / 2
    reach = 1.06 * max(float(np.abs(places - centre).max()), 1e-6)
    axes.set_xlim(centre[0] - reach, centre[0] + reach)
    axes.set_ylim(centre[1] - reach, centre[1] + reach)


def _legend(
    figure: Figure, left: float, top: float, width: float, title: str, entries: Sequence[tuple[str, LineStyle]]
) -> None:
    """The title, then markers with their names in columns of one width."""
    write(figure, left, top + 0.08, title, size=SMALL, color=MUTED)
    start = left + 0.55
    column = (width - 0.55) / LEGEND_COLUMNS
    across, down = figure.get_size_inches()
    for index, (name, style) in enumerate(entries):
        x, y = start + index % LEGEND_COLUMNS * column, top + 0.15 + index // LEGEND_COLUMNS * LEGEND_LINE
        mark = Line2D([(x + 0.06) / across], [1 - y / down], color=style.colour, marker=style.marker, linestyle="")
        mark.set(markersize=5, markeredgewidth=0)
        figure.add_artist(mark)
        write(figure, x + 0.15, y, name, va="center", size=SMALL)


def _check(panels: Mapping[str, FeaturePoints], captions: Mapping[str, str]) -> tuple[list[int], list[float]]:
    """Persons and rates of all rows, ascending."""
    if not panels:
        raise InputError("panels is empty; expected the points of at least one row")
    found = {name: (set(points.identities), set(points.rates)) for name, points in panels.items()}
    (first, (people, rates)), *_ = found.items()
    for name, points in panels.items():
        shape = (len(points.identities), 2)
        if points.places.shape != shape or len(points.rates) != shape[0] or not shape[0]:
            raise InputError(
                f"panels[{name!r}] has places of shape {points.places.shape}, {shape[0]} identities and "
                f"{len(points.rates)} rates; expected one of each for every point, at least one"
            )
        if not np.isfinite(points.places).all():
            raise InputError(f"panels[{name!r}] has a place that is not finite; expected finite coordinates")
        if found[name] != (people, rates):
            raise InputError(f"panels[{name!r}] shows other persons or rates than {first!r}; expected the same")
    if len(people) > MOST or len(rates) > len(RATE_MARKERS):
        raise InputError(f"panels show {len(people)} persons at {len(rates)} rates; expected at most {MOST} at 6")
    for name in captions:
        if name not in panels:
            raise InputError(f"captions has the row {name!r}; expected one of {', '.join(panels)}")
    return sorted(people), sorted(rates)
