"""Sizes of the study: `paper` is what the paper did, the others say what they reduce.

A profile is a function of the data set's name that returns settings; `Profile.reductions` lists every setting that
differs from the paper's, and notebooks print that list at the top.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from crreid.data.pairs import Augmentation
from crreid.data.prepare import DataSettings, data_settings
from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings
from crreid.losses.pseudo_siamese import PAPER_MEMBERS, RELEASE_MEMBERS
from crreid.methods.method import MethodSettings
from crreid.methods.ps_hrnet import HRNetReIDHigh, IdentityLoss, PSHRNet
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.vdsr import VDSRSettings
from crreid.runs import Run
from crreid.training.schedule import Schedule

__all__ = ["PROFILE_NAMES", "Profile", "as_printed", "as_released", "profile_settings"]

PROFILE_NAMES = ("smoke", "quick", "reduced", "paper")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Everything that the runs of a study share; the defaults are the paper's.

    Attributes:
        name: One of PROFILE_NAMES.
        data: Images.
        schedule: Of every run.
        evaluation: Of every run.
        size: (height, width) of the networks' input.
        augmentation: Of training pairs.
        network: HRNet-ReID, teacher's and student's.
        restoration: VDSR-CA.
        seeds: How many seeds a table averages over unless told otherwise.
    """

    name: str
    data: DataSettings
    schedule: Schedule = field(default_factory=Schedule)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    size: tuple[int, int] = (256, 128)
    augmentation: Augmentation = field(default_factory=Augmentation)
    network: HRNetReIDSettings = field(default_factory=HRNetReIDSettings)
    restoration: VDSRSettings = field(default_factory=VDSRSettings)
    seeds: int = 1

    def run(self, method: MethodSettings, *, seed: int = 0, weights: str = "random", teacher: Run | None = None) -> Run:
        """A run of this profile."""
        return Run(
            data=self.data,
            method=method,
            schedule=self.schedule,
            evaluation=self.evaluation,
            size=self.size,
            augmentation=self.augmentation,
            weights=weights,
            teacher=teacher,
            seed=seed,
        )

    def reductions(self) -> pd.DataFrame:
        """Settings that differ from the paper's on the same data: columns setting, paper, here."""
        name = f"mlr-{self.data.dataset}" if self.data.mlr is not None else self.data.dataset
        pairs = _differences(profile_settings("paper", name), self, "")
        return pd.DataFrame(
            [(setting, str(paper), str(here)) for setting, paper, here in pairs if setting != "name"],
            columns=["setting", "paper", "here"],
        )


def profile_settings(name: str, dataset: str) -> Profile:
    """The settings of a profile on a data set.

    Args:
        name: `smoke` (seconds, for tests), `quick` (minutes, built-in data), `reduced` (real data on two processor
            cores within an hour) or `paper`.
        dataset: E.g. `mlr-synthetic`, `mlr-market-1501`, `caviar`.

    Raises:
        InputError: An unknown profile or data set.
    """
    data = data_settings(dataset)
    match name:
        case "smoke":
            return _smoke(data)
        case "quick":
            return _quick(data)
        case "reduced":
            return _reduced(data)
        case "paper":
            return Profile(name="paper", data=data, evaluation=EvaluationSettings(query_rates=(1, 2, 3, 4, 8)))
    raise InputError(f"unknown profile {name!r}; expected one of {', '.join(PROFILE_NAMES)}")


def _smoke(data: DataSettings) -> Profile:
    return Profile(
        name="smoke",
        data=replace(data, train_identities=6, test_identities=6),
        schedule=Schedule(
            epochs=2, identities_per_batch=3, images_per_identity=4, warmup_epochs=1, milestones=(), precision="fp32"
        ),
        evaluation=EvaluationSettings(flip=False, draws=5, query_rates=(1, 4)),
        size=(64, 32),
        augmentation=Augmentation(padding=3),
        network=HRNetReIDSettings(backbone="hrnet_w18_small"),
        restoration=VDSRSettings(depth=3, width=8),
    )


def _quick(data: DataSettings) -> Profile:
    schedule = Schedule(
        epochs=12,
        warmup_epochs=1,
        warmup_learning_rate=5e-3,
        ramp=True,
        learning_rate=2e-2,
        decay="cosine",
        milestones=(),
    )
    return Profile(
        name="quick",
        data=replace(data, train_identities=60, test_identities=60),
        schedule=schedule,
        evaluation=EvaluationSettings(query_rates=(1, 2, 3, 4)),
        size=(128, 64),
        augmentation=Augmentation(padding=5),
        # half of the features dropped is too much for so few steps
        network=HRNetReIDSettings(backbone="hrnet_w18_small", dropout=0.2),
        restoration=VDSRSettings(depth=6, width=16),
    )


def _reduced(data: DataSettings) -> Profile:
    return Profile(
        name="reduced",
        data=replace(data, train_identities=300),
        schedule=Schedule(epochs=12, warmup_epochs=1, ramp=True, learning_rate=2e-2, decay="cosine", milestones=()),
        evaluation=EvaluationSettings(query_rates=(1, 2, 3, 4, 8)),
        size=(128, 64),
        augmentation=Augmentation(padding=5),
        network=HRNetReIDSettings(backbone="hrnet_w18_small"),
        restoration=VDSRSettings(depth=6, width=16),
    )


def as_printed(run: Run) -> Run:
    """PS-HRNet with every setting as the paper prints it (the text is silent on warm-up and flip test: neither).

    Args:
        run: A run of PS-HRNet; its architecture, data and seed stay. Its teacher becomes one trained the same way.
    """
    identity = IdentityLoss(margin=0.1)
    schedule = replace(run.schedule, identities_per_batch=4, images_per_identity=6, warmup_epochs=0)
    changes: dict[str, Any] = {"schedule": schedule, "evaluation": replace(run.evaluation, flip=False)}
    method = _student(run)
    restoration = method.restoration
    if restoration is not None and restoration.attention_channels is not None:
        restoration = replace(restoration, attention_channels=max(1, restoration.width // 4))  # "ratio r = 4"
    student = replace(method, restoration=restoration, members=PAPER_MEMBERS, restoration_learning_rate_scale=0.1)
    return _preset(run, student, identity, changes)


def as_released(run: Run) -> Run:
    """PS-HRNet as the authors' released code runs: all six members in L_PS, one camera low resolution in training.

    Args:
        run: A run of PS-HRNet; its architecture, data set and seed stay. Its teacher becomes one trained the same way.
    """
    if run.data.mlr is None or not run.data.mlr.cameras:
        raise InputError(f"{run.data.dataset} has no low-resolution camera to train on; expected an MLR build, mlr-...")
    changes: dict[str, Any] = {"data": replace(run.data, mlr=replace(run.data.mlr, train="cameras"))}
    return _preset(run, replace(_student(run), members=RELEASE_MEMBERS), IdentityLoss(), changes)


def _student(run: Run) -> PSHRNet:
    if not isinstance(run.method, PSHRNet):
        raise InputError(f"this preset is for PS-HRNet, not for {run.method.title}")
    return run.method


def _preset(run: Run, student: PSHRNet, identity: IdentityLoss, changes: dict[str, Any]) -> Run:
    teacher = None
    if student.needs_teacher:
        high = HRNetReIDHigh(network=student.network, identity=identity)
        teacher = replace(run, method=high, teacher=None, **changes)
    return replace(run, method=replace(student, identity=identity), teacher=teacher, **changes)


def _differences(paper: Any, here: Any, prefix: str) -> list[tuple[str, Any, Any]]:
    """(dotted name, value in the paper's profile, value here) of every leaf that differs."""
    if type(paper) is not type(here) or not hasattr(paper, "__dataclass_fields__"):
        return [] if paper == here else [(prefix, paper, here)]
    return [
        difference
        for name in paper.__dataclass_fields__
        for difference in _differences(getattr(paper, name), getattr(here, name), f"{prefix}.{name}".lstrip("."))
    ]
