"""Works through a study's missing runs without its notebooks: on a machine that has none, or for so many minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from crreid.runs import Run, measure, missing_trainings
from crreid.study.plan import StudyPlan

__all__ = ["WorkDone", "work_through"]


@dataclass(frozen=True, kw_only=True)
class WorkDone:
    """What became of the missing runs, each by its row's name and seed.

    Attributes:
        measured: Now on record.
        failed: With the error.
        left: Would not have ended in time.
    """

    measured: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One sentence."""
        parts = [f"{len(self.measured)} runs measured", f"{len(self.failed)} failed", f"{len(self.left)} left"]
        names = "; left: " + ", ".join(self.left) if self.left else ""
        return ", ".join(parts) + names


def work_through(
    plan: StudyPlan, *, minutes: float = math.inf, clock: Callable[[], float] = time.monotonic
) -> WorkDone:
    """Trains and tests what is missing, in the plan's order; a record is written as each run ends.

    A run that fails is reported and does not keep the next from its turn; nor does one that, by the plan's estimate,
    would not end in time.

    Args:
        plan: Names the runs, the most wanted first, and estimates their cost.
        minutes: No run is begun that would take longer than what is left of these.
        clock: Seconds.
    """
    workspace, done, start = plan.session.workspace, WorkDone(), clock()
    trainings = _training_seconds(plan)
    missing = {entry.run.digest: entry for entry in plan.named if entry.run.digest in plan.missing}
    for number, entry in enumerate(missing.values(), start=1):
        name, needed = f"{entry.row} (seed {entry.run.seed})", _seconds(plan, trainings, entry.run)
        left = 60 * minutes - (clock() - start)
        if needed > left:
            workspace.say(f"{name}: left out, needs about {needed / 60:.1f} min of {max(0.0, left) / 60:.1f}")
            done.left.append(name)
            continue
        workspace.say(f"run {number} of {len(missing)}: {name} for {entry.item.name}")
        try:
            record = measure(entry.run, workspace)
        except Exception as error:  # whatever it is, the minutes that are left are the other runs'
            workspace.say(f"{name}: failed, {type(error).__name__}: {error}")
            done.failed[name] = str(error)
            continue
        done.measured.append(name)
        workspace.say(f"{name}: rank-1 {record.score('rank1'):.1f} %, {(clock() - start) / 60:.1f} min in all")
    return done


def _training_seconds(plan: StudyPlan) -> dict[str, float]:
    """By training digest; the plan counts a training that several runs share at one of them, whichever comes first."""
    seconds = {digest: cost.training for digest, (_, cost) in plan.teachers.items() if cost}
    for entry in plan.named:
        cost = plan.missing.get(entry.run.digest)
        if cost is not None:
            digest = entry.run.training_digest
            seconds[digest] = max(cost.training, seconds.get(digest, 0.0))
    return seconds


def _seconds(plan: StudyPlan, trainings: dict[str, float], run: Run) -> float:
    """Of the trainings that this run still needs, its teachers' too, and of its test; 0 where nothing is known."""
    own, needed = plan.missing[run.digest], missing_trainings(run, plan.session.workspace)
    test = 0.0 if own is None else own.evaluation
    return test + sum(trainings.get(each.training_digest, 0.0) for each in needed)
