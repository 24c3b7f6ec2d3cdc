"""Measure many runs: side by side on a CPU, one after the other on a GPU; a run that fails does not stop the others."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from loky import ProcessPoolExecutor, cpu_count
from tqdm.auto import tqdm

from crreid.data.prepare import prepare
from crreid.distributed import of_first, processes
from crreid.errors import InputError, without_interrupts
from crreid.numerics import one_thread
from crreid.provenance import device_name
from crreid.records import Record, read_record
from crreid.runs import Busy, Run, Workspace, find_record, measure, missing_trainings, with_teachers
from crreid.settings import described, leaves
from crreid.study.execute import end_with_parent

MOST_AT_ONCE = 8  # each training holds its own networks, batches and checkpoints in memory
POLL_SECONDS = 0.5

Tell = Callable[[Run, Record | Exception, int, float | None], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What became of the runs that were asked for.

    Attributes:
        records: Records that exist now, by digest.
        measured: Runs that were measured here and now.
        failed: What the others raised, by digest.
        left: Runs that would not have ended in time.
        elsewhere: Runs that another process is working on.
    """

    records: dict[str, Record] = field(default_factory=dict)
    measured: list[Run] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    left: list[Run] = field(default_factory=list)
    elsewhere: list[Run] = field(default_factory=list)


def measure_all(
    runs: Iterable[Run],
    workspace: Workspace,
    *,
    minutes: float = math.inf,
    wait_for_others: bool = True,
    tell: Tell | None = None,
) -> Work:
    """Measure the runs that are not recorded, in their order; a record is written as each ends.

    On a CPU as many trainings run side by side as it has cores, each with one thread: see `one_thread`. Runs that need
    the same training wait for each other. Data sets are decoded first: workers start no processes. Under torchrun all
    processes call this together, and the first error ends it.

    Args:
        runs: The most wanted first.
        workspace: Folders and device.
        minutes: No run is started that would take longer than what is left of these, by the most similar recorded run.
        wait_for_others: Whether to wait, in the end, for runs that another process is working on.
        tell: Called when a run ends, with its record or error, the number of runs still to come, and the seconds that
            they may take (None where no record tells).
    """
    wanted = {run.digest: run for run in runs}
    work, end = Work(), time.monotonic() + 60 * minutes
    waiting = [run for run in wanted.values() if not _is_recorded(run, workspace, work)]
    if not waiting:
        return work
    durations, at_once = Durations(workspace), min(_places(workspace), len(waiting))
    for settings in {run.data: None for run in with_teachers(waiting)}:
        prepare(settings, workspace.data_root, workspace.runs_dir / "pixels")
    running: dict[Future[Record], Run] = {}
    with _bar(waiting, workspace), _workers(at_once) as start:
        while waiting or running:
            while len(running) < at_once and (run := _next_free(waiting, running.values(), workspace)):
                seconds = durations.seconds(run) or 0
                if of_first(lambda: seconds > end - time.monotonic()):  # noqa: B023
                    work.left.append(run)
                elif not _is_recorded(run, workspace, work):  # by another process, meanwhile
                    running[start(run, replace(workspace, wait=False))] = run
            wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in [each for each in running if each.done()]:
                run = running.pop(future)
                ahead = [*waiting, *running.values()]
                _keep(run, future, work, tell, len(ahead), durations.total(ahead, at_once))
        for run in list(work.elsewhere) if wait_for_others else ():
            work.elsewhere.remove(run)
            if not _is_recorded(run, workspace, work):
                _keep(run, start(run, replace(workspace, wait=True)), work, tell, len(work.elsewhere), None)
    return work


class Durations:
    """How long runs take on this machine, by the records of the most similar ones."""

    def __init__(self, workspace: Workspace) -> None:
        """Read the records of this machine's device, the last one first; damaged ones tell nothing."""
        self._workspace, device = workspace, device_name(workspace.torch_device())
        self._recorded: list[tuple[dict[str, Any], Record]] = []
        for file in sorted((workspace.results_dir / "records").glob("*.json")):
            try:
                record = read_record(file, file.stem)
            except InputError:
                continue
            if record.provenance["evaluation"]["device"] == device:
                self._recorded.append((leaves(record.settings), record))
        self._recorded.sort(key=lambda entry: str(entry[1].provenance["evaluation"]["started"]), reverse=True)

    def recorded(self, digest: str) -> float | None:
        """Return the seconds that a recorded run took, training and evaluation; None if on another device."""
        found = [record for _, record in self._recorded if record.digest == digest]
        return found[0].training_seconds + float(found[0].provenance["evaluation"]["seconds"]) if found else None

    def seconds(self, run: Run) -> float | None:
        """Return the seconds of a run's evaluation and of what is still to be trained for it; None if unknown."""
        nearest = self._nearest(run)
        if nearest is None:
            return None
        seconds = float(nearest.provenance["evaluation"]["seconds"])
        for each in missing_trainings(run, self._workspace):
            alike = self._nearest(each)
            if alike is not None and len(alike.epochs):
                seconds += alike.training_seconds / len(alike.epochs) * each.schedule.epochs
        return seconds

    def total(self, runs: Iterable[Run], at_once: int) -> float | None:
        """Return the seconds of several runs, so many at once; None if nothing is known of one of them."""
        each = [self.seconds(run) for run in runs]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) / at_once if len(known) == len(each) else None

    def _nearest(self, run: Run) -> Record | None:
        """Return the record of the same method and image size that shares most settings, of several the last one."""
        mine = leaves(described(run))
        alike = [
            (sum(theirs.get(name) == value for name, value in mine.items()), record)
            for theirs, record in self._recorded
            if all(theirs.get(name) == mine[name] for name in ("method", "size"))
        ]
        return max(alike, key=lambda entry: entry[0])[1] if alike else None


def _places(workspace: Workspace) -> int:
    if workspace.torch_device().type != "cpu" or processes().count > 1:
        return 1
    with one_thread():
        return int(min(max(1, cpu_count() // torch.get_num_threads()), MOST_AT_ONCE))


def _is_recorded(run: Run, workspace: Workspace, work: Work) -> bool:
    record = of_first(lambda: find_record(run, workspace))
    if record is not None:
        work.records[run.digest] = record
    return record is not None


def _next_free(waiting: list[Run], running: Iterable[Run], workspace: Workspace) -> Run | None:
    """Take the first waiting run that shares no training with those under way."""

    def trainings(run: Run) -> set[str]:
        # its own even where only its evaluation is missing: that is done under the same lock
        return {each.training_digest for each in (run, *missing_trainings(run, workspace))}

    busy = set[str]().union(*map(trainings, running))
    free = next((place for place, run in enumerate(waiting) if not trainings(run) & busy), None)
    return None if free is None else waiting.pop(free)


def _keep(run: Run, future: Future[Record], work: Work, tell: Tell | None, ahead: int, seconds: float | None) -> None:
    """Note how a run ended, and tell it."""
    error = future.exception()
    if isinstance(error, Busy):
        work.elsewhere.append(run)
        return
    if error is None:
        work.records[run.digest] = future.result()
        work.measured.append(run)
    elif isinstance(error, Exception) and processes().count == 1:
        work.failed[run.digest] = error
    else:
        raise error
    if tell is not None and processes().rank == 0:
        tell(run, work.records[run.digest] if error is None else work.failed[run.digest], ahead, seconds)


@contextmanager
def _workers(at_once: int) -> Iterator[Callable[[Run, Workspace], Future[Record]]]:
    """Give a function that starts a run: in one of several processes, or here and now."""
    if at_once == 1:
        yield _here
        return

    def pool() -> Any:  # loky pickles classes that were written in a notebook's cell
        return ProcessPoolExecutor(at_once, initializer=end_with_parent, initargs=(os.getpid(),))

    def start(run: Run, workspace: Workspace) -> Future[Record]:
        with without_interrupts():
            try:
                future: Future[Record] = pools[-1].submit(measure, run, workspace)
            except BrokenExecutor:  # a worker was killed, as for want of memory: not the fault of the runs to come
                pools.append(pool())
                future = pools[-1].submit(measure, run, workspace)
        return future

    pools = [pool()]
    try:
        yield start
    finally:
        for each in pools:
            each.shutdown(wait=True, kill_workers=True)


def _here(run: Run, workspace: Workspace) -> Future[Record]:
    future: Future[Record] = Future()
    try:
        future.set_result(measure(run, workspace))
    except Exception as error:
        future.set_exception(error)
    return future


@contextmanager
def _bar(runs: Sequence[Run], workspace: Workspace) -> Iterator[None]:
    """Show one bar over the epochs that are still to train, in a notebook or a terminal, while the block runs."""
    trainings = {each.training_digest: each for run in runs for each in missing_trainings(run, workspace)}
    is_seen = "ipykernel" in sys.modules or sys.stderr.isatty()
    if not trainings or not is_seen or processes().rank > 0:
        yield
        return

    def done() -> int:
        """Return how many epochs have ended, by the logs of the trainings."""
        logs = [workspace.folder(run) / "epochs.csv" for run in trainings.values()]
        return sum(len(log.read_text().splitlines()) - 1 for log in logs if log.exists())

    def follow() -> None:
        while not ended.wait(POLL_SECONDS):
            bar.update(done() - bar.n)

    ended, open_bar = threading.Event(), cast(Any, tqdm)  # it has no types
    total = sum(run.schedule.epochs for run in trainings.values())
    words = f"training {len(trainings)} network{'s' * (len(trainings) > 1)}"
    with open_bar(total=total, initial=done(), unit="epoch", desc=words, leave=False) as bar:
        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()
