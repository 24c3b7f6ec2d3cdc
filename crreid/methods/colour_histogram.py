"""Colour histograms: the yardstick of a description that nobody trains and that no resolution hides.

Source: none of the compared papers; the classical description of clothes before networks, e.g. of SDALF (Farenzena et
al., CVPR 2010), in the plainest form: a joint HSV histogram of each of six stripes from head to foot.
Bins are compared by the roots of their shares (Hellinger), which one dominant colour does not rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from crreid.data.pairs import PairBatch, denormalise
from crreid.errors import InputError
from crreid.methods.method import Method, MethodSettings, ParameterGroup


@dataclass(frozen=True, kw_only=True)
class ColourHistogramSettings(MethodSettings):
    """How finely image and colours are cut.

    Attributes:
        stripes: Equal parts of the image from head to foot.
        bins: Equal parts of hue, saturation and value; not tuned.
    """

    tag: ClassVar[str] = "ColourHistogram"
    stripes: int = 6
    bins: tuple[int, int, int] = (8, 8, 8)

    def __post_init__(self) -> None:
        if min(self.stripes, *self.bins) < 1:
            raise InputError(f"stripes and bins must be at least 1, not {self.stripes} and {self.bins}")

    @property
    def title(self) -> str:
        """Return `HSV histograms`."""
        return "HSV histograms"

    @property
    def runs_on(self) -> str:
        """Return e.g. `6 stripes, 8 x 8 x 8 bins`."""
        return f"{self.stripes} stripes, {' x '.join(map(str, self.bins))} bins"

    def build(self, identities: int, teacher: Method | None = None) -> ColourHistogram:
        """Return the method; it has no weights."""
        return ColourHistogram(self)


class ColourHistogram(Method):
    """Images to histograms. There is nothing to learn: its runs have 0 epochs.

    Example:
        >>> method = ColourHistogramSettings(stripes=2, bins=(2, 1, 2)).build(0)
        >>> method.embed(normalise(torch.zeros(1, 4, 4, 3)), torch.ones(1))  # all black
        tensor([[1., 0., 0., 0., 1., 0., 0., 0.]])
    """

    def __init__(self, settings: ColourHistogramSettings) -> None:
        super().__init__()
        self.settings = settings

    def players(self) -> dict[str, list[ParameterGroup]]:
        """Return one player without parameters."""
        return {"network": []}

    def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
        """Return nothing to minimise."""
        return {}

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return the roots of the bins' shares in each stripe: (N, stripes * bins), whatever the rate."""
        stripes, bins = self.settings.stripes, self.settings.bins
        pixels = (255 * denormalise(images)).round()  # else a grey, a little off, has a hue
        places = torch.zeros_like(pixels[:, 0], dtype=torch.int64)
        for channel, count in zip(hue_saturation_value(pixels), bins, strict=True):
            places = places * count + (channel * count).long().clamp(max=count - 1)
        size = bins[0] * bins[1] * bins[2]
        height = images.shape[2]
        stripe = torch.arange(height, device=images.device) * stripes // height
        places = (places + size * stripe[:, None]).flatten(start_dim=1)
        counts = torch.zeros(len(images), stripes * size, device=images.device)
        counts.scatter_add_(1, places, torch.ones_like(places, dtype=counts.dtype))
        shares = counts.view(len(images), stripes, size)
        return (shares / shares.sum(dim=2, keepdim=True)).sqrt().flatten(start_dim=1)


def hue_saturation_value(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue (0 of greys), saturation and value, (N, H, W) in [0, 1], of RGB pixels (N, 3, H, W) in [0, 255]."""
    red, green, blue = pixels.unbind(1)
    value, least = pixels.amax(dim=1), pixels.amin(dim=1)
    spread = value - least
    divisor = torch.where(spread > 0, spread, 1)
    sixths = torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4)
    sixths = torch.where(value == red, ((green - blue) / divisor) % 6, sixths)
    return sixths / 6, spread / torch.where(value > 0, value, 1), value / 255
