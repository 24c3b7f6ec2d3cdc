"""One results folder for the notebooks of a test run, so that a run which several of them show is trained once."""

from collections.abc import Callable
from typing import Any

import pytest
from notebook_runner import run_cells


@pytest.fixture(scope="session")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Runs a notebook at smoke size and returns its variables."""
    results = tmp_path_factory.mktemp("study") / "results"

    def run(name: str, **parameters: Any) -> dict[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CRREID_RESULTS", str(results))
            return run_cells(name, **{"profile": "smoke"} | parameters)

    return run
