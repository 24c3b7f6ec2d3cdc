"""Timings that are recorded once and shown from then on."""

import json

import pytest
import torch

from crreid.bench.timings import timing
from crreid.errors import InputError
from crreid.provenance import device_name

CPU = torch.device("cpu")
WHAT = {"what": "a test", "size": (64, 32)}


def measured(results_dir, **options):
    """Times a counter: the n-th measurement says n, and on how many threads it ran."""

    def measure():
        measured.times += 1
        return {"milliseconds": float(measured.times), "threads_inside": torch.get_num_threads()}

    return timing(WHAT, results_dir, measure, device=CPU, **options)


@pytest.fixture(autouse=True)
def _fresh():
    measured.times = 0


def test_a_recorded_timing_is_shown_and_not_measured_again(tmp_path):
    first = measured(tmp_path)
    file = next((tmp_path / "timings").glob("*.json"))
    written = file.read_bytes()
    assert measured(tmp_path) == first
    assert (measured.times, file.read_bytes()) == (1, written)
    assert first["values"]["milliseconds"] == 1
    assert first["device"] == device_name(CPU)
    assert json.loads(written)["machine"]["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert measured(tmp_path, force=True)["values"]["milliseconds"] == 2


def test_one_thread_measures_and_the_others_come_back(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = measured(tmp_path)
        assert (found["values"]["threads_inside"], found["threads"], torch.get_num_threads()) == (1, 1, 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("damage", [lambda text: text.replace("1.0", "0.5"), lambda text: text[:50], lambda text: "[]"])
def test_a_changed_or_damaged_timing_is_refused(tmp_path, damage):
    measured(tmp_path)
    file = next((tmp_path / "timings").glob("*.json"))
    file.write_text(damage(file.read_text()))
    with pytest.raises(InputError, match=r"\.json: not a timing of crreid .* delete it"):
        measured(tmp_path)


def test_what_is_timed_names_the_record(tmp_path):
    measured(tmp_path)
    timing(WHAT | {"size": (128, 64)}, tmp_path, lambda: {}, device=CPU)
    assert len(list((tmp_path / "timings").glob("*.json"))) == 2
