"""A trained method's scores on prepared data, under every protocol at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crreid.data.prepare import PreparedData
from crreid.data.table import ImageTable
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
    """

    flip: bool = True
    draws: int = 100
    query_rates: tuple[float, ...] = ()
    restoration_rates: tuple[float, ...] = ()


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

    def embed(table: ImageTable) -> Tensor:
        return embed_table(method, table, data.pixels, size, flip=settings.flip, device=device, precision=precision)

    gallery = embed(data.gallery)
    tests = {"protocol": data.query}
    tests |= {f"rate {rate:g}": data.query.with_rates(rate) for rate in settings.query_rates}
    scores = {}
    for name, query in tests.items():
        rates = torch.tensor(query.rows["rate"].to_numpy(), dtype=torch.float32)
        distances = method.distances(embed(query), gallery, rates).numpy()
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
    *,
    size: tuple[int, int],
    device: torch.device,
    flip: bool = True,
    precision: str = "bf16",
) -> np.ndarray:
    """Distances (queries, gallery) float32 for figures of ranked lists; `query` may be a few rows of `data.query`."""
    features = [
        embed_table(method, table, data.pixels, size, flip=flip, device=device, precision=precision)
        for table in (query, data.gallery)
    ]
    rates = torch.tensor(query.rows["rate"].to_numpy(), dtype=torch.float32)
    distances: np.ndarray = method.distances(features[0], features[1], rates).numpy()
    return distances
