"""What every figure is checked for, and closing them."""

import io
from collections.abc import Callable, Iterator
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from crreid.data.sources import UInt8Image


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.fixture
def images() -> Callable[..., list[UInt8Image]]:
    def make(count: int, height: int = 32, width: int = 16) -> list[UInt8Image]:
        return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))

    return make


@pytest.fixture
def texts() -> Callable[[Figure], list[str]]:
    def read(figure: Figure) -> list[str]:
        return [text.get_text() for text in _visible_texts(figure)]

    return read


@pytest.fixture
def assert_readable() -> Callable[[Figure], None]:
    """Every text lies within the figure and covers no other text."""

    def check(figure: Figure) -> None:
        figure.canvas.draw()
        boxes = [(text.get_text(), text.get_window_extent()) for text in _visible_texts(figure)]
        across, down = figure.bbox.width, figure.bbox.height
        for text, box in boxes:
            inside = box.x0 > -1 and box.y0 > -1 and box.x1 < across + 1 and box.y1 < down + 1
            assert inside, f"{text!r} leaves the figure: {box}"
        for (one, first), (other, second) in combinations(boxes, 2):
            shared_x = min(first.x1, second.x1) - max(first.x0, second.x0)
            shared_y = min(first.y1, second.y1) - max(first.y0, second.y0)
            # boxes hold room above and below the letters
            assert shared_x < 1 or shared_y < 6, f"{one!r} and {other!r} overlap"

    return check


@pytest.fixture
def svg() -> Callable[[Figure], bytes]:
    def save(figure: Figure) -> bytes:
        stream = io.BytesIO()
        figure.savefig(stream, format="svg")
        return stream.getvalue()

    return save


def _visible_texts(figure: Figure) -> list[Text]:
    """Texts that are drawn: matplotlib keeps labels of ticks that it no longer needs, or that lie beyond the axes."""
    hidden = set()
    for axes in figure.axes:
        for number, axis in enumerate((axes.xaxis, axes.yaxis)):
            low, high = sorted(axis.get_view_interval())
            drawn = {label for label in axis.get_ticklabels() if low <= label.get_position()[number] <= high}
            hidden |= {tick.label1 for tick in [*axis.majorTicks, *axis.minorTicks]} - drawn
    texts = (text for text in figure.findobj(Text) if text not in hidden)
    return [text for text in texts if text.get_visible() and text.get_text().strip()]
