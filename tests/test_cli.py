"""The commands of the README and what they say to bad input."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from crreid import cli
from crreid.cli import main
from crreid.data.datasets import DATASETS
from crreid.profiles import PROFILE_NAMES
from crreid.rows import ITEMS

NETWORK = "small ResNet-18: HR only"
MLR = ["data", "mlr", "market-1501", "--root", "ROOT", "--out", "OUT"]
FOLDERS = {"bounding_box_train": (2, 7, 10), "bounding_box_test": (1, 3, 4), "query": (1, 3, 4)}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The command line sets these for its notebooks."""
    monkeypatch.setenv("CRREID_DEVICE", "cpu")
    monkeypatch.setenv("CRREID_RESULTS", "")


@pytest.fixture
def market(tmp_path):
    """A Market-1501 of three persons to train on and three to test."""
    generator = np.random.default_rng(0)
    for folder, identities in FOLDERS.items():
        (tmp_path / folder).mkdir()
        for identity in identities:
            for camera in (1, 2, 3):
                for box in (1,) if folder == "query" else (1, 2):
                    name = f"{identity:04d}_c{camera}s1_{box * 25:06d}_0{box}.jpg"
                    pixels = generator.integers(0, 256, (128, 64, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(tmp_path / folder / name)
    return tmp_path


def test_describe_and_mlr_of_market(market, tmp_path, capsys):
    main(["data", "describe", "market-1501", "--root", str(market)])
    assert "bounding" not in capsys.readouterr().out
    digests = []
    for name in ("a.csv", "b.csv"):
        options = ["--root", str(market), "--camera", "3", "--out", str(tmp_path / name)]
        main(["data", "mlr", "market-1501", *options])
        output = capsys.readouterr().out
        assert "6 queries, 12 gallery images" in output
        digests.append(output.rsplit(" ", 1)[1])
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["studdy"],
            "there is no command 'studdy'; expected one of data describe, data mlr, run, study, bench; did you",
        ),
        (["data", "describ", "synthetic"], "did you mean 'data describe'?"),
        (["data", "describe", "marker-1501"], "did you mean 'market-1501'?"),
        (["data", "describe", "market-1501", "--root", "nowhere"], "nowhere"),
        ([*MLR, "--camera", "9"], "no camera 9; its cameras are 1, 2, 3"),
        ([*MLR, "--rates", "0"], "rates must be numbers of at least 1"),
        (
            ["run", "table2_loss_ablation", "--rows", "PS"],
            "there is no row 'PS'; expected one of HRNet-ReID-H alone, ID",
        ),
        (["run", "--dataset", "mlr-nothing"], "there is no data set 'mlr-nothing'; expected one of synthetic"),
        (["run", "--weights", "nowhere.pth"], "nowhere.pth"),
        (["run", "--seeds", "-1"], "seeds must be whole numbers of at least 0"),
        (["run", "table99"], "there is no table 'table99'; expected one of 00_start_here"),
        (["study", "--jobs", "0"], "jobs must be at least 1, not 0"),
        (["study", "tabel2"], "did you mean 'table2_loss_ablation'?"),
        (["study", "table5_pooling", "--rows", "aap"], "there is no row 'aap'; expected one of AAP, AMP, AAP+AMP; did"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message, market, tmp_path, capsys):
    out = tmp_path / "out.csv"
    given = [{"ROOT": str(market), "OUT": str(out)}.get(argument, argument) for argument in arguments]
    with pytest.raises(SystemExit) as stopped:
        main(given)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_help_names_commands_tables_profiles_and_data_sets(capsys):
    for arguments in ([], ["--help"], ["-h"], ["data", "--help"]):
        main(arguments)
        text = capsys.readouterr().out
        for name in (*cli.COMMANDS, *ITEMS, *PROFILE_NAMES, *DATASETS):
            assert name in text
    assert "Train and evaluate rows of tables" in text


def test_names_that_help_knows_by_heart_are_those_that_there_are():
    assert get_args(cli.PROFILES) == PROFILE_NAMES
    assert tuple(DATASETS) == cli.DATASETS
    assert set(cli._notebooks()) == set(ITEMS)


def test_help_and_typos_import_nothing_heavy():
    code = """
import sys
from crreid.cli import main
for arguments in (["--help"], ["run", "--help"], ["stdy"], ["study", "tabel2"], ["run", "--sed"]):
    try:
        main(arguments)
    except SystemExit:
        pass
print("heavy:", *{"torch", "numpy", "pandas", "timm", "matplotlib", "papermill"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1].strip() == "heavy:"


def test_interruption_is_one_line():
    code = "from crreid import cli\ndef stop(*_): raise KeyboardInterrupt\ncli._open = stop\ncli.main(['run'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "crreid: interrupted; the next call continues where this one stopped\n"


def test_run_leaves_records_and_counts_what_it_did(tmp_path, capsys, pixels):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "pixels").symlink_to(pixels)
    options = ["--profile", "smoke", "--results-dir", str(tmp_path), "--device", "cpu"]
    main(["run", "table2_loss_ablation", "--rows", NETWORK, *options])
    output = capsys.readouterr().out
    assert f"{NETWORK} (seed 0): rank-1 " in output
    assert "1 runs measured, 0 runs failed, 0 runs left for want of time" in output
    (record,) = (tmp_path / "records").iterdir()
    main(["run", "table2_loss_ablation", "--rows", NETWORK, *options])
    assert "0 runs measured" in (output := capsys.readouterr().out)
    assert "1 recorded before" in output
    before = json.loads(record.read_text())
    time.sleep(1)  # its provenance counts seconds
    main(["run", "table2_loss_ablation", "--rows", NETWORK, "--force", *options])
    after = json.loads(record.read_text())
    assert after["provenance"]["evaluation"]["started"] > before["provenance"]["evaluation"]["started"]
    assert after["scores"] == before["scores"]


def test_paths_become_absolute_for_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def weights(text):
        return cli._parameters(cli.Choice(weights=text))["weights"]

    assert weights("random") == "random"
    assert weights("packaged") == "packaged"
    assert weights("a=b.pth") == str(tmp_path / "a=b.pth")
    assert weights("resnet50=w.pth, timm") == f"resnet50={tmp_path / 'w.pth'},timm"
    assert weights("lpips=a.pth") == f"lpips={tmp_path / 'a.pth'}"
    assert cli._parameters(cli.Choice(data_root="set.zip"))["data_root"] == str(Path(tmp_path) / "set.zip")


def test_training_and_benchmark_need_no_packages_of_notebooks():
    """A machine that only trains, such as one with a GPU, may have none of them."""
    code = """
import sys

ABSENT = ("IPython", "papermill", "nbconvert", "nbclient", "nbformat", "jupyterlab", "mistune")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import crreid.bench.bench, crreid.cli
crreid.cli.main(["run", "table2_loss_ablation", "--rows", "none"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "there is no row 'none'; expected one of HRNet-ReID-H alone, ID, SR+ID" in done.stderr


def test_version_and_the_list_of_a_table(tmp_path, capsys):
    main(["--version"])
    main(["run", "table2_loss_ablation", "--list", "--profile", "smoke", "--results-dir", str(tmp_path)])
    version, *lines = capsys.readouterr().out.splitlines()
    assert version.startswith("crreid 0.")
    assert [line.split()[-1] for line in lines if "seed 0" in line] == ["missing"] * 9
    assert "9 runs, 0 recorded, 9 missing" in lines[-1]
