"""Notebooks that are run, published, and fail, on small ones written here."""

import os
import re
import signal
import subprocess
import sys

import nbformat
import pytest

from crreid.errors import InputError
from crreid.rows import ITEMS
from crreid.study import runner
from crreid.study.runner import listing, named_runs, run_study, studies, time_left

NETWORK = "small ResNet-18: HR only"
PARAMETERS = 'profile = "smoke"\nrows = []\nseeds = []\n'
OPEN = """
from crreid.rows import loss_ablation_rows, pooling_rows
from crreid.study.session import open_study
from crreid.study.tables import provenance, scores, wide
"""
USUAL = f"""{OPEN}
import matplotlib.pyplot as plt
study = open_study("table2_loss_ablation", profile=profile, rows=rows, seeds=seeds)
records = study.measure(study.runs(loss_ablation_rows))
figure, axes = plt.subplots()
axes.plot(wide(scores(records))["rank-1"].astype(float))
print(study.folder)
display(study.figure(figure, "table2_curve", "A curve"), study.table(provenance(records, study), digits=4))
study.table(wide(scores(records)), "table2_scores", "Scores")
"""


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("CRREID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CRREID_DEVICE", "cpu")
    return tmp_path / "results"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a notebook of the study into a folder of its own."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(runner, "notebooks_dir", lambda: folder)

    def write(name, *sources):
        cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, *sources)]
        cells[0].metadata["tags"] = ["parameters"]
        cells.append(nbformat.v4.new_markdown_cell("It *works*.", metadata={"tags": ["conclusion"]}))
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / f"{name}.ipynb")

    return write


def content(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and "runs" not in file.parts}


def test_a_study_measures_publishes_and_changes_nothing_when_run_again(results, write, capsys, monkeypatch, pixels):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (results / "runs").mkdir(parents=True)
    (results / "runs" / "pixels").symlink_to(pixels)
    write("table2_loss_ablation", USUAL)
    write(
        "table5_pooling", "import os\nprint(os.listdir(), os.environ['OMP_NUM_THREADS'])\nraise RuntimeError('narrow')"
    )
    names = ["table2_loss_ablation", "table5_pooling"]
    opened = studies(names, [NETWORK, "AAP"], profile="smoke")
    work, problems, left_out = run_study(opened, {"profile": "smoke"}, jobs=2)
    assert len(work.measured) == 2
    assert left_out == []
    assert problems["table2_loss_ablation"] == ""
    assert problems["table5_pooling"].startswith("failed, RuntimeError: narrow (see ")
    failed = nbformat.read(results / "runs" / "failed" / "table5_pooling.ipynb", as_version=4)
    printed = [output.text for cell in failed.cells for output in cell.get("outputs", []) if "text" in output]
    assert printed == ["[] 1\n"]  # an empty folder, and one thread
    folder = results / "smoke" / "mlr-synthetic"
    assert sorted(file.name for file in folder.iterdir()) == [
        *("table2_curve.png", "table2_loss_ablation.csv", "table2_loss_ablation.ipynb", "table2_scores.csv")
    ]
    text = (folder / "table2_loss_ablation.ipynb").read_text()
    assert str(results) not in text
    assert "results/smoke/mlr-synthetic" in text
    assert "image/png" not in text
    page = (results / "index.html").read_text()
    assert all(word in page for word in ("Table II: the losses", "A curve", "It <em>works</em>.", NETWORK))
    output = capsys.readouterr().out
    assert "runs to come" in output
    assert "2 of 2 notebooks" in output

    before = content(results)
    one = studies(names[:1], [NETWORK], profile="smoke")
    work, problems, _ = run_study(one, {"profile": "smoke"})
    assert problems == {"table2_loss_ablation": ""}
    assert work.measured == []
    assert content(results) == before
    assert re.search(r"1 of 1 notebooks, 0 min left", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (["tabel2"], [], "there is no table 'tabel2'; expected one of 00_start_here.*; did you mean 'table2_loss_abl"),
        (["table5_pooling"], ["AP"], "there is no row 'AP'; expected one of AAP, AMP.*; did you mean 'A[AM]P'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(names, rows, message):
    with pytest.raises(InputError, match=message):
        studies(names, rows, profile="smoke")


def test_rows_choose_the_notebooks_that_have_them():
    opened = studies([], ["SR+ID", "AAP"], profile="smoke")
    assert {study.item: study.rows for study in opened} == {
        "table2_loss_ablation": ("SR+ID",),
        "table3_restoration_quality": ("SR+ID",),
        "table5_pooling": ("AAP",),
        "figure5_restored_images": ("SR+ID",),
    }
    assert [study.item for study in studies([], [], profile="smoke")] == list(ITEMS)
    wanted_first = ["table5_pooling", "table2_loss_ablation"]
    assert [study.item for study in studies(wanted_first, [], profile="smoke")] == wanted_first


def test_parameters_that_a_notebook_lacks_are_refused_before_anything_starts(write, monkeypatch):
    write("table5_pooling", "1")
    monkeypatch.setattr(runner, "measure_all", lambda *_: pytest.fail("measured"))
    with pytest.raises(InputError, match="no parameter 'profil'; expected one of profile, rows, seeds; did you"):
        run_study(studies(["table5_pooling"], [], profile="smoke"), {"profil": "quick"})


def test_force_drops_what_is_recorded_before_anything_is_measured(write, monkeypatch):
    write("table5_pooling", "1")
    forgotten = []
    monkeypatch.setattr(runner, "forget", lambda runs, workspace: forgotten.extend(runs))
    monkeypatch.setattr(runner, "measure_all", stop)
    with pytest.raises(InterruptedError):
        run_study(studies(["table5_pooling"], [], profile="smoke", force=True), {})
    assert len(forgotten) == 3


def stop(*_, **__):
    raise InterruptedError


def test_the_listing_tells_what_is_recorded_and_how_long_it_took(results, record_of):
    opened = studies(["table5_pooling", "table6_backbones"], [], profile="smoke", seeds=[0, 1])
    named = named_runs(opened)
    record_of(named[0][2], seconds=110.0, workspace=opened[0].workspace)
    lines = listing(opened).splitlines()
    assert lines[0] == "table5_pooling: Table V: pooling"
    assert re.fullmatch(r"  AAP +seed 0  [0-9a-f]{16}  recorded, 2.0 min", lines[1])
    assert re.fullmatch(r"  AAP +seed 1  [0-9a-f]{16}  missing, about 2.0 min", lines[2])
    assert re.fullmatch(r"  ResNet-50 +seed 0  [0-9a-f]{16}  missing", lines[9])
    assert lines[-1] == "14 runs, 1 recorded, 13 missing"
    assert sorted(file.name for file in results.iterdir()) == ["records"]


def test_time_left():
    assert time_left(None) == ""
    assert time_left(100) == ", 2 min left"
    assert time_left(3 * 3600) == ", 3.0 h left"


@pytest.mark.slow
def test_kernels_end_with_the_study(tmp_path, write, is_running, wait_until):
    marker = tmp_path / "pid"
    write("table5_pooling", f"import os, time\nopen({str(marker)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    code = f"""
from pathlib import Path
from crreid.study import runner
from crreid.study.measure import Work
if __name__ == "__main__":
    runner.notebooks_dir = lambda: Path({str(tmp_path / "notebooks")!r})
    runner.measure_all = lambda *_, **__: Work()
    runner.run_study(runner.studies(["table5_pooling"], [], profile="smoke"), {{}})
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script)], env=os.environ)
    wait_until(lambda: marker.exists() and marker.read_text(), 120)
    process.send_signal(signal.SIGTERM)
    process.wait()
    wait_until(lambda: not is_running(int(marker.read_text())), 15)
