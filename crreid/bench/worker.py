"""`python -m crreid.bench.worker JOB` measures one job and prints what it found as one line of JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from crreid.bench.jobs import Job
from crreid.bench.measurements import measure

if __name__ == "__main__":
    print(json.dumps([asdict(measurement) for measurement in measure(Job.from_json(sys.argv[1]))]))
