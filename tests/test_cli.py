"""The commands of the README and what they say to bad input."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from crreid.cli import _absolute_weights, main

MLR = ["data", "mlr", "market-1501", "--root", "ROOT", "--out", "OUT"]
FOLDERS = {"bounding_box_train": (2, 7, 10), "bounding_box_test": (1, 3, 4), "query": (1, 3, 4)}


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


def test_describe_built_in_data(capsys):
    main(["data", "describe", "synthetic"])
    assert "train" in capsys.readouterr().out


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
        (["data", "describe", "marker-1501"], "market-1501"),
        (["data", "describe", "market-1501", "--root", "nowhere"], "nowhere"),
        ([*MLR, "--camera", "9"], "no camera 9; its cameras are 1, 2, 3"),
        ([*MLR, "--rates", "0"], "rates must be numbers of at least 1"),
        (["train", "--row", "PS"], "unknown row 'PS'; expected one of HRNet-ReID-H alone, ID"),
        (["train", "--profile", "huge"], "unknown profile 'huge'"),
        (["train", "--dataset", "mlr-nothing"], "unknown data set 'mlr-nothing'"),
        (["train", "--weights", "nowhere.pth"], "nowhere.pth"),
        (["study", "--jobs", "0"], "jobs must be at least 1, not 0"),
        (["study", "--list", "--profile", "huge"], "unknown profile 'huge'"),
        (["study", "--only", "table99"], "no notebook 'table99'"),
        (["study", "--only", "table1_state_of_the_art", "--rows", "PS"], "no row 'PS'; expected some of ResNet-50"),
        (["study", "--only", "table5_pooling", "--rows", "AAP"], "table5_pooling.ipynb has no parameter 'rows'"),
        (["measure", "--only", "table5_pooling", "--rows", "AMP", "aap"], "no row 'aap'; expected some of AAP"),
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


def test_list_says_what_is_missing_and_runs_nothing(tmp_path, capsys):
    only = ["--only", "table2_loss_ablation", "--profile", "smoke"]
    main(["study", "--list", *only, "--results-dir", str(tmp_path), "--device", "cpu"])
    output = capsys.readouterr().out
    assert "the tables name 4 runs, 4 of them distinct; 0 are on record, 4 are missing" in output
    assert output.count(" missing   ") == 4
    assert not (tmp_path / "records").exists()
    assert not (tmp_path / "README.md").exists()


def test_list_names_the_chosen_rows_only(tmp_path, capsys):
    only = ["--only", "table2_loss_ablation", "--rows", "ID", "SR+ID", "--profile", "smoke"]
    main(["study", "--list", *only, "--results-dir", str(tmp_path), "--device", "cpu"])
    assert "the tables name 2 runs" in capsys.readouterr().out


def test_paths_of_weights_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _absolute_weights("random") == "random"
    assert _absolute_weights("a=b.pth") == str(tmp_path / "a=b.pth")
    assert _absolute_weights("resnet50=w.pth, timm") == f"resnet50={tmp_path / 'w.pth'},timm"
    assert _absolute_weights("lpips=a.pth") == f"lpips={tmp_path / 'a.pth'}"


def test_no_arguments_list_the_commands(capsys):
    main([])
    assert "crreid study" in capsys.readouterr().out


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "crreid", "data", "describe", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("crreid: ")


def test_training_and_benchmark_need_no_packages_of_notebooks(tmp_path):
    """A machine that only trains, such as one with a GPU, may have none of them."""
    code = """
import sys
from pathlib import Path

ABSENT = ("IPython", "papermill", "nbconvert", "nbclient", "nbformat", "jupyterlab", "latex2mathml")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import crreid.bench.bench, crreid.cli
from crreid.study.progress import ProgressLine
ProgressLine(Path(sys.argv[1]))("a line of progress")
crreid.cli.main(["train", "--row", "none"])
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "log"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "a line of progress\n"
    assert "unknown row 'none'; expected one of HRNet-ReID-H alone, ID, SR+ID" in done.stderr
