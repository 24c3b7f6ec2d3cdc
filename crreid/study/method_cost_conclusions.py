"""Sentences about what methods cost, computed from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from crreid.figures.method_cost import pareto_front
from crreid.study.training_speed import PAPER_PAIRS

__all__ = ["method_cost_conclusion"]

OURS = "PS-HRNet"


def method_cost_conclusion(costs: pd.DataFrame, plain: pd.DataFrame) -> str:
    """Which methods no other beats at less cost, and what PS-HRNet's restoration module is of its cost.

    Args:
        costs: What `crreid.study.method_costs.method_costs` returned.
        plain: What `crreid.study.training_speed.plain_recipe` returned.
    """
    known = costs.set_index("row")
    cheap = pareto_front(known["multiply_adds"], known["rank1"])
    lines = [f"- No other row has fewer multiply-adds and a rank-1 as high: **{', '.join(cheap)}**."]
    if len(set(known["trained_on"])) == 1:
        fast = pareto_front(1 / known["pairs_per_second"], known["rank1"])
        lines.append(f"- No other row trains faster and has a rank-1 as high: **{', '.join(fast)}**.")
    else:
        lines.append("- The rows were trained on different devices, so that their speeds cannot be ordered.")
    if OURS in known.index:
        lines += _of_ours(costs[costs["row"] == OURS].to_dict("records")[0], costs[costs["row"] != OURS])
    if len(plain):
        first, *others = plain.to_dict("records")
        fastest = max([first, *others], key=lambda line: float(line["pairs_per_second"]))
        lines.append(
            f"- By the benchmark of this device, the recipe *{first['recipe']}* trains PS-HRNet at "
            f"{first['pairs_per_second']:,.1f} pairs/s; the fastest, *{fastest['recipe']}*, at "
            f"{fastest['pairs_per_second']:,.1f}, **{fastest['pairs_per_second'] / first['pairs_per_second']:.2f}** "
            "times that."
        )
    return "\n".join(lines)


def _of_ours(ours: Mapping[Any, Any], others: pd.DataFrame) -> list[str]:
    module, whole = ours["restoration_multiply_adds"], ours["multiply_adds"]
    share, times = module / whole, module / (whole - module)
    verdict = "most of" if share > 0.5 else "the smaller part of"
    lines = [
        f"- PS-HRNet's restoration module takes **{100 * share:.0f} %** of its multiply-adds, {times:.1f} times what "
        f"the network behind it takes: {verdict} its cost."
    ]
    if len(others):
        ratio = whole / float(others["multiply_adds"].median())
        lines.append(f"- An image costs PS-HRNet {ratio:.1f} times the multiply-adds of the other rows' median.")
    lines.append(
        f"- At the speed of these networks and images ({ours['pairs_per_second']:,.1f} pairs/s, {ours['trained_on']}) "
        f"the {PAPER_PAIRS:,} pairs of the paper's phase 2 would take **{ours['paper_minutes']:,.0f} minutes**."
    )
    return lines
