"""Records made by hand, whose tables can be worked out by heart."""

import os
import time
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pandas as pd
import pytest

from crreid.provenance import device_name
from crreid.records import Record
from crreid.settings import canonical, described

EVALUATION = {"commit": "c" * 40, "dirty": False, "device": "a machine", "started": "2026-01-02T03:04:05+00:00"}


def make_record(row: str, *, seed: int = 0, rank1: float = 0.5, rates: tuple[float, ...] = (2.0, 4.0)) -> Record:
    """A record of 100 queries, one of them unmatched: rank-1 as given, at rate 2 a tenth higher, at 4 a tenth lower."""
    lines = []
    for test in ("drawn", "uniform"):
        for rate in (None, *rates) if test == "drawn" else rates:
            for protocol in ("multi_shot", "single_shot"):
                metrics = ["rank1", "rank5", "rank10"] + ["map_hit", "map_trapezoid"] * (protocol == "multi_shot")
                for place, metric in enumerate(metrics):
                    value = rank1 + {None: 0, 2.0: 0.1, 4.0: -0.1}[rate] + place / 100
                    deviation = 0.01 if protocol == "single_shot" else None
                    lines.append((test, protocol, rate, metric, value, deviation, 100, 1))
    names = ["test", "protocol", "rate", "metric", "value", "deviation", "queries", "unmatched"]
    types = {"rate": float, "deviation": float}
    return Record(
        digest=f"{crc32(repr((row, seed)).encode()):016x}",
        title=row,
        run={},
        settings={"seed": seed, "weights": "random", "method": {}, "teacher": None},
        scores=pd.DataFrame(lines, columns=names).astype(types),
        persons=None,
        restoration=None,
        epochs=pd.DataFrame(),
        parameters=10,
        provenance={
            "data": {"name": "mlr-synthetic", "table": "t", "content": None},
            "start": "random",
            "training": [{"seconds": 90.0}],
            "evaluation": EVALUATION | {"seconds": 30.0},
        },
    )


@pytest.fixture
def records():
    """Rank-1 of ID: 40 and 44; of SR+ID: 60, one seed; of PS: 40.5 and 46.5."""
    shares = {"ID": (0.40, 0.44), "SR+ID": (0.60,), "PS": (0.405, 0.465)}
    return {
        row: [make_record(row, seed=seed, rank1=share) for seed, share in enumerate(of_row)]
        for row, of_row in shares.items()
    }


@pytest.fixture
def record_of():
    """Writes the record of a run that took so many seconds to train, and 10 to evaluate."""

    def write(run, *, seconds, workspace, device=None):
        evaluation = {"commit": "", "dirty": None, "device": device or device_name(workspace.torch_device())}
        stretch = evaluation | {"python": "", "packages": {}, "threads": 1, "processes": 1, "epochs": 1}
        epochs = pd.DataFrame({"epoch": range(run.schedule.epochs), "learning_rate": 0.1, "total": 1.0})
        record = replace(
            make_record(run.method.title, seed=run.seed),
            digest=run.digest,
            run=canonical(run),
            settings=described(run),
            epochs=epochs,
            provenance={
                "data": {"name": "mlr-synthetic", "table": "t", "content": None},
                "start": "random",
                "training": [stretch | {"started": "", "seconds": seconds}],
                "evaluation": evaluation | {"started": "2026-01-02T03:04:05+00:00", "seconds": 10.0},
            },
        )
        record.write(workspace.record_file(run))
        return record

    return write


@pytest.fixture
def is_running():
    """Tells whether a process runs; an orphan may stay as a zombie where nobody waits for it."""

    def tell(pid):
        try:
            os.kill(pid, 0)
            return "\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except (ProcessLookupError, FileNotFoundError):
            return False

    return tell


@pytest.fixture
def wait_until():
    """Waits for a condition, at most so many seconds."""

    def wait(condition, seconds):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s"
            time.sleep(0.1)

    return wait
