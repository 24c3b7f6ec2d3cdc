"""`python -m crreid.bench` is the command `crreid bench`."""

from __future__ import annotations

import sys

import tyro

from crreid.bench.command import bench
from crreid.errors import InputError

if __name__ == "__main__":
    try:
        tyro.cli(bench, prog="python -m crreid.bench")
    except InputError as error:
        print(f"crreid: {error}", file=sys.stderr)
        raise SystemExit(2) from error
