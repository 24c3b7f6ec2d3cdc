"""What a run measured and where: a small JSON file, committed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crreid.errors import InputError
from crreid.files import write_atomically

__all__ = ["Record", "read_record"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run measured.

    Attributes:
        digest: Of the run.
        title: As tables call it.
        run: Every setting, as plain JSON.
        measured: `scores` (see `evaluate`), `parameters`, `epochs` (mean losses of every epoch), and `restoration` (see
            `restoration_quality`) where the run asks for it.
        provenance: Commit, versions, device, start of the training and the weights that it started from (where they
            were not random); data digest; seconds; `processes` where several trained together. `evaluation` has commit,
            dirty, device and start of the test, where that was done at another commit or on another device than the
            training.
    """

    digest: str
    title: str
    run: dict[str, Any]
    measured: dict[str, Any]
    provenance: dict[str, Any]

    def score(self, metric: str, *, test: str = "protocol", protocol: str = "multi_shot") -> float:
        """One score in per cent: `rank1`, `rank5`, `rank10`, `map_hit` or `map_trapezoid`; NaN where no query counted.

        Raises:
            InputError: The record has no such test, protocol or metric; names those that it has.
        """
        protocols = self._entry("test", self.measured["scores"], test)
        scores = self._entry("protocol", protocols, protocol)["overall"]
        metrics = {f"rank{rank}": value for rank, value in scores["ranks"].items()}
        metrics |= {name: scores[name] for name in ("map_hit", "map_trapezoid") if name in scores}
        value = self._entry("metric", metrics, metric)
        return math.nan if value is None else 100 * float(value)

    def write(self, file: Path) -> None:
        """Writes the record as JSON, whole or not at all. Raises InputError where that fails."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        write_atomically(file, (text + "\n").encode())

    def _entry(self, kind: str, entries: Mapping[str, Any], name: str) -> Any:
        if name not in entries:
            raise InputError(f"record {self.digest} has no {kind} {name!r}; it has {', '.join(entries)}")
        return entries[name]


def read_record(file: Path, digest: str) -> Record:
    """Reads the record of the run that has a digest.

    Raises:
        InputError: The file is damaged or holds the record of another run.
    """
    try:
        record = Record(**json.loads(file.read_text(encoding="utf8")))
    except (TypeError, ValueError) as error:
        raise InputError(f"{file}: not a record of crreid ({error}); delete it to measure the run again") from error
    if record.digest != digest:
        raise InputError(f"{file}: the record of another run, {record.digest}; delete it to measure the run again")
    return record
