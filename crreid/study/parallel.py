"""Several trainings at a time on the cores of one machine, none waiting for another where that can be helped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from crreid.data.prepare import prepare
from crreid.records import Record
from crreid.runs import Run, Workspace, find_record, measure, missing_trainings, with_teachers
from crreid.study.progress import ProgressTail, append_line

__all__ = ["in_turn", "measure_all", "share_of_threads"]

MOST_AT_ONCE = 4  # each training holds its own networks, batches and checkpoints in memory
PROGRESS_SECONDS = 0.5

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_turn(
    tasks: Sequence[Task],
    start: Callable[[Task], Future[Result]],
    needed: Callable[[Task], set[str]],
    *,
    at_once: int,
    meanwhile: Callable[[], None],
) -> Iterator[tuple[Task, Future[Result]]]:
    """Starts tasks, `at_once` at a time, and yields each with its future as it ends.

    The next one to start shares the fewest trainings with those under way, since two that need the same one wait for
    each other; of several, that which needs most, so that no long one is left to the end.

    Args:
        tasks: What is to be done; the order decides between equals.
        start: Begins one.
        needed: The digests of the trainings that a task lacks; asked anew whenever one is to start.
        at_once: How many may be under way.
        meanwhile: Called every half second, and whenever one ends.
    """
    waiting, running = list(tasks), dict[Future[Result], Task]()
    while waiting or running:
        while waiting and len(running) < at_once:
            lacking = [needed(task) for task in waiting]
            busy = set[str]().union(*map(needed, running.values()))
            place = min(range(len(waiting)), key=lambda place: (len(lacking[place] & busy), -len(lacking[place])))
            task = waiting.pop(place)
            running[start(task)] = task
        ended, _ = wait(running, timeout=PROGRESS_SECONDS, return_when=FIRST_COMPLETED)
        meanwhile()
        for future in ended:
            yield running.pop(future), future


def measure_all(runs: Iterable[Run], workspace: Workspace) -> dict[str, Record]:
    """The records of runs, by their digests; what is missing is trained and tested.

    On a processor trainings that do not need each other run side by side, as many as there are threads, and at most
    four: small networks gain little from a second thread.

    Raises:
        InputError: Of the first run that fails. Those under way end; they go on from their last epoch when asked again.
    """
    wanted = {run.digest: run for run in runs}
    on_record = {digest: None if workspace.force else find_record(run, workspace) for digest, run in wanted.items()}
    records = {digest: record for digest, record in on_record.items() if record is not None}
    missing = [run for digest, run in wanted.items() if digest not in records]
    at_once = min(_places(workspace), _independent(missing))
    with share_of_threads(workspace):
        if at_once > 1:
            return records | _measure_side_by_side(missing, workspace, at_once)
        return records | {run.digest: measure(run, workspace) for run in missing}


@contextmanager
def share_of_threads(workspace: Workspace) -> Iterator[None]:
    """Leaves torch, on a processor, the threads that one of several trainings has, even where only one runs.

    The last bits of a training depend on the number of its threads, which its record tells; so that number must not
    depend on what else is missing.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(threads // _places(workspace))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _places(workspace: Workspace) -> int:
    """How many trainings there is room for at a time."""
    return min(torch.get_num_threads(), MOST_AT_ONCE) if workspace.torch_device().type == "cpu" else 1


def _independent(missing: list[Run]) -> int:
    """How many trainings there are that no other one needs."""
    of_teachers = {teacher.training_digest for run in missing for teacher in with_teachers([run])[:-1]}
    return len({run.training_digest for run in missing} - of_teachers)


def _measure_side_by_side(missing: list[Run], workspace: Workspace, at_once: int) -> dict[str, Record]:
    """Each with as many threads as torch has here."""
    from loky import ProcessPoolExecutor  # here: machines with a GPU measure one run after the other

    def needed(run: Run) -> set[str]:
        lacking = {each.training_digest for each in missing_trainings(run, workspace)}
        return lacking | {run.training_digest} if workspace.force else lacking

    for data in {each.data for each in with_teachers(missing)}:
        # a worker of the pool could not start processes of its own to decode many images
        prepare(data, workspace.data_root, workspace.runs_dir / "pixels")
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines"
        tail = ProgressTail(lines)
        workplace = replace(workspace, report=partial(_report, lines, os.getpid()))

        def report() -> None:
            for line in tail.lines():
                workspace.report(line)

        pool = ProcessPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),))
        try:
            # tables begin with the simplest system: from their end, the longest trainings come first
            turns = in_turn(
                missing[::-1],
                lambda run: pool.submit(measure, run, workplace),
                needed,
                at_once=at_once,
                meanwhile=report,
            )
            return {run.digest: future.result() for run, future in turns}
        finally:
            pool.shutdown(wait=True, kill_workers=True)


def _report(lines: Path, parent: int, line: str) -> None:
    """Passes on a line of a training; ends the training where the process that wants it was killed."""
    if os.getppid() != parent:
        os._exit(1)
    append_line(lines, line)
