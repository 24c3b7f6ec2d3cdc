"""Timings as records: measured once, kept with their machine, and shown from then on.

A notebook that measured whenever it is rendered would change its tables each time. So a timing lies in
`results/timings/<digest>.json`, named by what was timed, and is measured again only with `force`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from crreid.errors import InputError
from crreid.files import write_atomically
from crreid.numerics import one_thread
from crreid.provenance import provenance, time_stamp
from crreid.settings import digest_of


def timing(
    what: Mapping[str, Any],
    results_dir: Path,
    measure: Callable[[], Mapping[str, Any]],
    *,
    device: torch.device,
    force: bool = False,
) -> dict[str, Any]:
    """Return a recorded timing, or measure and record it, on one thread: see `one_thread`.

    `what`, plain JSON, names the record, whatever the machine; `measure` computes the numbers by name, plain JSON, on
    `device`. Returns `values` (the numbers), `device` (its name), `threads` and `started` (UTC); None if not recorded.
    """
    what = json.loads(json.dumps(what))
    file = results_dir / "timings" / f"{digest_of(what)}.json"
    if force or not file.exists():
        with one_thread():
            values, machine = dict(measure()), provenance(device) | {"started": time_stamp()}
        content = {"format": 1, "digest": digest_of(what), "what": what, "values": values, "machine": machine}
        # in the order measured, which is that of the tables; `write_sealed` would sort
        write_atomically(file, (json.dumps(content | {"checksum": digest_of(content)}, indent=1) + "\n").encode())
    try:
        found = json.loads(file.read_text(encoding="utf8"))
        if found.pop("checksum") != digest_of(found) or found["what"] != what:
            raise ValueError("its content does not fit its checksum or its name")
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not a timing of crreid ({error}); delete it to measure again") from error
    return {"values": found["values"]} | {name: found["machine"][name] for name in ("device", "threads", "started")}
