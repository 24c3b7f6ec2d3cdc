"""What restoration modules cost: as run here, and as published at the paper's size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pandas as pd
import torch

from crreid.evaluation.cost import cost, multiply_adds
from crreid.models.rcan import RCANSettings
from crreid.models.restoration import RestorationSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.models.vdsr import VDSRSettings
from crreid.records import Record

__all__ = ["costs_beside_rank1", "module_costs", "published_size_costs", "shown_costs"]

PUBLISHED_SIZE: dict[str, RestorationSettings] = {
    "SRCNN": SRCNNSettings(),
    "VDSR": VDSRSettings(attention_channels=None),
    "RCAN (full size)": RCANSettings(),
    "RCAN (packed by 4)": RCANSettings(scale=4),
    "VDSR-CA": VDSRSettings(),
}


def module_costs(
    modules: Mapping[str, RestorationSettings], size: tuple[int, int], device: torch.device
) -> pd.DataFrame:
    """Measures modules, one image at a time.

    Args:
        modules: Settings by the module's name.
        size: (height, width) of the image.
        device: Where to measure.

    Returns:
        Columns module, parameters, multiply_adds, latency_milliseconds, peak_bytes.
    """
    costs = {name: cost(settings.build(), size=size, device=device) for name, settings in modules.items()}
    return pd.DataFrame([{"module": name} | dataclasses.asdict(measured) for name, measured in costs.items()])


def costs_beside_rank1(costs: pd.DataFrame, records: dict[str, list[Record]], published: pd.DataFrame) -> pd.DataFrame:
    """Costs with rank-1, one line a record, as `crreid.figures.module_cost` draws them.

    Args:
        costs: What `module_costs` returned, its modules named as the rows.
        records: Of every row.
        published: Rows of `published_numbers` of one data set, perhaps none.
    """
    chosen = published[published["metric"] == "rank1"].set_index("method")["value"]
    lines = [
        {"row": row, "rank1": record.score("rank1"), "published_rank1": chosen.get(row, float("nan"))}
        for row, of_row in records.items()
        for record in of_row
    ]
    joined = pd.DataFrame(lines).merge(costs, left_on="row", right_on="module").drop(columns="row")
    return joined.assign(module=joined["module"].str.partition("+")[0])


def published_size_costs(size: tuple[int, int] = (256, 128)) -> pd.DataFrame:
    """Parameters and multiply-adds of the modules as published, counted without computing: columns as above."""
    lines = []
    for name, settings in PUBLISHED_SIZE.items():
        with torch.device("meta"):
            module, images = settings.build(), torch.empty(1, 3, *size)
            count = multiply_adds(module, images)
        parameters = sum(parameter.numel() for parameter in module.parameters())
        lines.append({"module": name, "parameters": parameters, "multiply_adds": count})
    return pd.DataFrame(lines)


def shown_costs(costs: pd.DataFrame) -> pd.DataFrame:
    """The same in units that a reader sees: thousands, 10^9, ms, MiB; latency and memory only where measured."""
    shown = pd.DataFrame({"module": costs["module"], "parameters": costs["parameters"].map("{:,}".format)})
    shown["multiply-adds (10^9)"] = (costs["multiply_adds"] / 1e9).map("{:.3f}".format)
    if "latency_milliseconds" in costs:
        shown["latency (ms)"] = costs["latency_milliseconds"].map("{:.1f}".format)
        shown["peak memory (MiB)"] = (costs["peak_bytes"] / 2**20).map("{:.1f}".format)
    return shown
