"""Precision by the processor, and the threads of whatever computes."""

import os
import subprocess
import sys

import pytest
import torch

from crreid import numerics
from crreid.numerics import effective_precision, one_thread

CPU = torch.device("cpu")


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("machine", "instructions", "precision"),
    [
        ("x86_64", (), "fp32"),  # where oneDNN would emulate it
        ("x86_64", ("_is_avx512_bf16_supported",), "bf16"),
        ("AMD64", ("_is_amx_tile_supported",), "bf16"),
        ("aarch64", (), "bf16"),
    ],
)
def test_bf16_is_computed_where_the_processor_has_instructions(monkeypatch, machine, instructions, precision):
    monkeypatch.setattr(numerics.platform, "machine", lambda: machine)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in instructions)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert effective_precision("bf16", CPU) == precision
    assert effective_precision("fp32", CPU) == "fp32"


def test_a_gpu_is_asked_without_its_emulation(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert effective_precision("bf16", torch.device("cuda")) == "fp32"


def test_one_thread_computes_and_the_others_come_back(two_threads):
    assert one_thread()(torch.get_num_threads)() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(IndexError), one_thread():
        [].pop()
    assert torch.get_num_threads() == 2


def test_who_sets_threads_has_them(two_threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with one_thread():
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_do_not_spin_unless_they_are_told_to(given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    code = "import crreid, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{expected} False\n"
