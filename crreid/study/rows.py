"""Rows of the study's tables as runs: what is trained for each name that a table prints."""

from __future__ import annotations

from typing import Protocol

from crreid.methods.ps_hrnet import HRNetReIDHigh, PSHRNet
from crreid.profiles import Profile
from crreid.runs import Run

__all__ = ["Rows", "loss_ablation_rows", "start_here_rows", "teacher_run"]


class Rows(Protocol):
    """A table's rows for one seed: the run behind each name, in the table's order."""

    def __call__(self, profile: Profile, *, seed: int, weights: str) -> dict[str, Run]:
        """Runs by the rows' names."""
        ...


def teacher_run(profile: Profile, *, seed: int, weights: str) -> Run:
    """HRNet-ReID-H, phase 1 of PS-HRNet."""
    return profile.run(HRNetReIDHigh(network=profile.network), seed=seed, weights=weights)


def loss_ablation_rows(profile: Profile, *, seed: int, weights: str) -> dict[str, Run]:
    """Table II: the teacher tested alone, then ID, SR+ID and SR+ID+PS; the last is the whole PS-HRNet."""
    teacher = teacher_run(profile, seed=seed, weights=weights)
    methods = (
        PSHRNet(network=profile.network, restoration=None, pseudo_siamese_weight=0),
        PSHRNet(network=profile.network, restoration=profile.restoration, pseudo_siamese_weight=0),
        PSHRNet(network=profile.network, restoration=profile.restoration),
    )
    runs = [
        profile.run(method, seed=seed, weights=weights, teacher=teacher if method.needs_teacher else None)
        for method in methods
    ]
    return {run.method.title: run for run in (teacher, *runs)}


def start_here_rows(profile: Profile, *, seed: int, weights: str) -> dict[str, Run]:
    """The teacher, whose curve shows the problem, and the whole PS-HRNet."""
    rows = loss_ablation_rows(profile, seed=seed, weights=weights)
    return {row: rows[row] for row in ("HRNet-ReID-H alone", "SR+ID+PS")}
