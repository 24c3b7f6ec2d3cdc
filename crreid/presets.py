"""PS-HRNet as its paper prints it and as its authors' released code runs: the two differ in many settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crreid.errors import InputError
from crreid.losses.pseudo_siamese import PAPER_MEMBERS, RELEASE_MEMBERS
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, IdentityLoss, PSHRNetSettings
from crreid.runs import Run

__all__ = ["as_printed", "as_released"]


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

    The released code of phase 1 is another repository with another recipe (batches of 8 x 4, colour jitter, a new
    optimiser every epoch); the teacher here is trained by phase 2's.

    Args:
        run: A run of PS-HRNet; its architecture, data set and seed stay. Its teacher becomes one trained the same way.
    """
    if run.data.mlr is None or not run.data.mlr.cameras:
        raise InputError(f"{run.data.dataset} has no low-resolution camera to train on; expected an MLR build, mlr-...")
    changes: dict[str, Any] = {"data": replace(run.data, mlr=replace(run.data.mlr, train="cameras"))}
    return _preset(run, replace(_student(run), members=RELEASE_MEMBERS), IdentityLoss(), changes)


def _student(run: Run) -> PSHRNetSettings:
    if not isinstance(run.method, PSHRNetSettings):
        raise InputError(f"this preset is for PS-HRNet, not for {run.method.title}")
    return run.method


def _preset(run: Run, student: PSHRNetSettings, identity: IdentityLoss, changes: dict[str, Any]) -> Run:
    teacher = None
    if student.needs_teacher:
        high = HRNetReIDHighSettings(network=student.network, identity=identity)
        teacher = replace(run, method=high, teacher=None, **changes)
    return replace(run, method=replace(student, identity=identity), teacher=teacher, **changes)
