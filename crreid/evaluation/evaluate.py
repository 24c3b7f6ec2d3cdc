"""A trained method's scores on prepared data, under every protocol at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crreid.data.prepare import PreparedData
from crreid.data.table import ImageTable
from crreid.errors import InputError
from crreid.evaluation.embedding import embed_table
from crreid.evaluation.protocols import RetrievalLabels, multi_shot, single_shot
from crreid.methods.method import Method

__all__ = ["EvaluationSettings", "evaluate", "query_distances"]


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How a run is tested.

    Attributes:
        flip: Add the descriptor of the mirror image. The release does, the paper does not mention it.
        draws: Single-shot galleries drawn (SING: 100).
        query_rates: Tests besides the protocol's: all queries from their high-resolution files, shrunk by one rate.
        restoration_rates: Rates at which `restoration_quality` measures the restored queries; none by default.
        perceptual_weights: Of AlexNet, `file <sha256>`: `restoration_quality` measures LPIPS too. Empty for no LPIPS.
        part: Of the descriptor, by its name in `Method.parts`; empty for the whole.
        rate_error: Added to the rates of the queries that the method is told, but not to those that they are shrunk by:
            how a method that adapts to the rate fares when it is told wrong.
    """

    tag: ClassVar[str] = "EvaluationSettings"
    flip: bool = True
    draws: int = 100
    query_rates: tuple[float, ...] = ()
    restoration_rates: tuple[float, ...] = ()
    perceptual_weights: str = ""
    part: str = ""
    rate_error: float = 0.0


@torch.inference_mode()
def evaluate(
    method: Method,
    data: PreparedData,
    settings: EvaluationSettings,
    *,
    size: tuple[int, int],
    device: torch.device,
    precision: str = "bf16",
) -> dict[str, Any]:
    """Scores of a method; the gallery is embedded once.

    Args:
        method: Trained, on `device`.
        data: Queries and gallery.
        settings: Flip test, draws, further query rates.
        size: (height, width) of the network's input.
        device: Where to embed.
        precision: `bf16` or `fp32`.

    Returns:
        `protocol` (queries at the rates of the table) and `rate r` for each further rate, each a dictionary of
        `multi_shot` and `single_shot`, plain numbers that JSON takes, fractions in [0, 1].
    """
    look = _Look(method, data, settings, size=size, device=device, precision=precision)
    gallery = look.describe(data.gallery, look.rates(data.gallery))
    tests = {"protocol": data.query}
    tests |= {f"rate {rate:g}": data.query.with_rates(rate) for rate in settings.query_rates}
    scores = {}
    for name, query in tests.items():
        distances = look.distances(query, gallery)
        labels = RetrievalLabels.from_tables(query, data.gallery)
        scores[name] = {
            "multi_shot": multi_shot(distances, labels).to_dict(),
            "single_shot": single_shot(
                distances, labels, draws=settings.draws, generator=np.random.default_rng(0)
            ).to_dict(),
        }
    return scores


@torch.inference_mode()
def query_distances(
    method: Method,
    data: PreparedData,
    query: ImageTable,
    settings: EvaluationSettings,
    *,
    size: tuple[int, int],
    device: torch.device,
    precision: str = "bf16",
) -> np.ndarray:
    """Distances (queries, gallery) float32 for figures of ranked lists; `query` may be a few rows of `data.query`."""
    look = _Look(method, data, settings, size=size, device=device, precision=precision)
    return look.distances(query, look.describe(data.gallery, look.rates(data.gallery)))


class _Look:
    """How a method sees prepared data under the settings of a test."""

    def __init__(self, method: Method, data: PreparedData, settings: EvaluationSettings, **options: Any) -> None:
        parts = method.parts()
        if settings.part and settings.part not in parts:
            has = f"it has {', '.join(parts)}" if parts else "it has none"
            raise InputError(f"{type(method).__name__} has no part {settings.part!r} of its descriptor; {has}")
        self._part = parts.get(settings.part, slice(None))
        self._method, self._data, self._settings, self._options = method, data, settings, options

    def rates(self, table: ImageTable) -> Tensor:
        return torch.from_numpy(self._data.stated_rates(table))

    def describe(self, table: ImageTable, rates: Tensor) -> Tensor:
        """Descriptors (rows, D) of a table whose rates the method is told."""
        size = self._options["size"]
        options = {name: self._options[name] for name in ("device", "precision")}
        return embed_table(
            self._method, table, self._data.pixels, size, rates=rates, flip=self._settings.flip, **options
        )

    def distances(self, query: ImageTable, gallery: Tensor) -> np.ndarray:
        """Distances (queries, gallery) float32 to a gallery described before."""
        rates = (self.rates(query) + self._settings.rate_error).clamp(min=1)
        device = self._options["device"]
        features, others = (
            descriptors[:, self._part].to(device) for descriptors in (self.describe(query, rates), gallery)
        )
        distances: np.ndarray = self._method.distances(features, others, rates.to(device)).cpu().numpy()
        return distances
