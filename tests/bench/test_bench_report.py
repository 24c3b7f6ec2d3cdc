"""The table, the CSV and the command."""

import subprocess
from typing import get_args

import pandas as pd
import pytest
import torch

import crreid.bench.command
from crreid.bench.command import bench
from crreid.bench.images import Epochs, evaluation_table, pair_dataset, sampler_of, training_table, write_images
from crreid.bench.jobs import Job, Measurement, Recipe, Section, jobs_of, measured
from crreid.bench.machine import EMBEDDING, TRAINING, arithmetic, peak_case, peak_memory
from crreid.bench.measurements import measure
from crreid.bench.report import COLUMNS, bench_frame, medians, shown_bench, write_bench
from crreid.bench.resizing import grey_level_differences
from crreid.bench.sizes import bench_size
from crreid.errors import InputError

CPU = torch.device("cpu")
ORIGIN = {"repeats": 1, "torch": "2", "commit": "c", "dirty": False, "date": "2026-01-01T00:00:00+00:00"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the images of the tiny size."""
    folder = tmp_path_factory.mktemp("images")
    write_images(bench_size("tiny", CPU), folder)
    return folder


def results_of(sections=("arithmetic", "step", "ranking")):
    """Invented numbers: each recipe of a section is as fast as its place."""
    results = []
    for section in sections:
        for place, job in enumerate(jobs_of(section, "cpu", size="tiny"), start=1):
            if section == "arithmetic":
                found = [
                    Measurement(case=peak_case(name), per_second=peak) for name, peak in (("fp32", 100), ("bf16", 200))
                ]
                found += [Measurement(case=case, details={"gflop": 5.0}) for case in (TRAINING, EMBEDDING)]
            else:
                details = {"rank1": 0.5, "map_hit": 0.4, "map_trapezoid": 0.3} if section == "ranking" else {}
                found = [Measurement(case=section, unit="pairs", per_second=float(place), details=details)]
            results.append((job, found))
    return results


def test_ratios_and_fractions_of_the_floor() -> None:
    frame = bench_frame(results_of(), ORIGIN)
    assert tuple(frame.columns) == COLUMNS
    steps = frame[frame["section"] == "step"].set_index("recipe")
    assert steps["ratio"].tolist() == [1, 2, 3]
    # 5 GFLOP a pair at 1 pair a second, of 100 GFLOP a second; then 2 and 3 pairs a second of 200
    assert steps["floor_fraction"].tolist() == pytest.approx([0.05, 0.05, 0.075])
    assert frame.loc[frame["section"] != "step", "floor_fraction"].isna().all()
    assert frame.loc[frame["section"] == "arithmetic", "ratio"].isna().all()
    without = bench_frame(results_of(("step",)), ORIGIN)
    assert without["floor_fraction"].isna().all()
    text = shown_bench(frame)
    assert "plain autocast" in text
    assert "7.5 %" in text
    assert "nan" not in text


def test_medians_are_of_the_repeats_and_results_must_agree() -> None:
    repeats = [[Measurement(case="a", per_second=speed, peak_bytes=int(speed))] for speed in (1.0, 9.0, 3.0)]
    found = medians(repeats)[0]
    assert (found.per_second, found.milliseconds, found.peak_bytes) == (3.0, None, 9)
    with pytest.raises(InputError, match="disagree"):
        medians([[Measurement(case="a", details={"rank1": rank})] for rank in (0.1, 0.2)])


def test_different_scores_are_an_error() -> None:
    results = results_of(("ranking",))
    results[1][1][0].details["map_hit"] += 1e-6
    with pytest.raises(InputError, match="disagree on map_hit"):
        bench_frame(results, ORIGIN)


def test_a_csv_keeps_the_sections_that_were_not_measured(tmp_path) -> None:
    file = tmp_path / "bench" / "a.csv"
    write_bench(bench_frame(results_of(), ORIGIN), file)
    write_bench(bench_frame(results_of(("step",)), ORIGIN | {"date": "later"}), file)
    frame = pd.read_csv(file)
    assert tuple(frame.columns) == COLUMNS
    dates = frame.groupby("section", sort=False)["date"].unique()
    assert list(dates.index) == ["arithmetic", "step", "ranking"]
    assert dates["step"].tolist() == ["later"]
    assert dates["ranking"].tolist() == [ORIGIN["date"]]
    file.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"a\.csv: not a benchmark"):
        write_bench(frame, file)


def test_jobs_survive_the_way_to_another_process() -> None:
    for section in get_args(Section):
        for device in ("cpu", "cuda"):
            jobs = jobs_of(section, device, size="paper", workers=3, folder="f")
            assert jobs
            assert [Job.from_json(job.to_json()) for job in jobs] == jobs
    assert "fast, no graph" in [job.recipe.name for job in jobs_of("step", "cuda", size="paper")]
    assert "fast, no graph" not in [job.recipe.name for job in jobs_of("step", "cpu", size="paper")]


def test_sizes() -> None:
    assert bench_size("paper", CPU).batch == (3, 4)
    assert bench_size("paper", torch.device("cuda")).batch == bench_size("paper", CPU).whole_batch == (6, 4)
    assert bench_size("paper", CPU, 6).batch == (6, 4)
    assert bench_size("paper", CPU, 6).train_identities >= 6
    with pytest.raises(InputError, match="at least 2 identities, not 1"):
        bench_size("quick", CPU, 1)
    with pytest.raises(InputError, match="unknown size 'huge'"):
        bench_size("huge", CPU)


def test_long_epochs_go_on_with_the_next_epoch(folder) -> None:
    size = bench_size("tiny", CPU)
    dataset = pair_dataset(size, training_table(size, folder), folder)
    sampler = sampler_of(size, dataset)
    keys = list(Epochs(sampler, len(sampler) + 2))
    assert [key[0] for batch in keys for key in batch[:1]] == [0] * len(sampler) + [1, 1]
    sampler.set_epoch(1)
    assert keys[len(sampler) :] == list(sampler)[:2]


def test_arithmetic_of_the_tiny_size() -> None:
    found = {measurement.case: measurement for measurement in arithmetic(bench_size("tiny", CPU), CPU)}
    training, embedding = (found[case].details["gflop"] for case in (TRAINING, EMBEDDING))
    # forward and backward of the student, forward of the teacher; an image twice through the student
    assert 1.5 < training / embedding < 2.5
    assert found[peak_case("fp32")].per_second > 1
    assert peak_memory(CPU) > 100 * 2**20


def test_tensors_are_resized_as_pil_does_but_for_rounding(folder) -> None:
    size = bench_size("tiny", CPU)
    found = grey_level_differences(evaluation_table(size, folder), size.size, CPU)
    largest = {measurement.case: measurement.details["largest_difference"] for measurement in found}
    assert largest["uint8 tensors (torchvision)"] <= 1
    assert all(0 < value <= 6 for value in largest.values())


@pytest.mark.parametrize("section", ["step", "epoch", "embedding", "query", "data", "models"])
def test_every_section_measures_the_same_by_its_first_and_last_recipe(folder, section) -> None:
    jobs = jobs_of(section, "cpu", size="tiny", folder=str(folder))
    first, last = (measure(job)[0] for job in (jobs[0], jobs[-1]))
    assert first.case == last.case
    assert first.unit == last.unit
    assert first.per_second > 0
    assert last.per_second > 0
    assert 0 < first.peak_bytes <= last.peak_bytes


def test_the_command(tmp_path, capsys, monkeypatch) -> None:
    """Only the last recipe in a process of its own, since each takes seconds to start."""

    def measured_or_here(job: Job) -> list[Measurement]:
        return measured(job) if job.recipe.name == "fast" else measure(job)

    monkeypatch.setattr(crreid.bench.command, "measured", measured_or_here)
    bench(size="tiny", only=("ranking",), device="cpu", repeats=1, results_dir=str(tmp_path))
    file = next((tmp_path / "bench").glob("*-tiny.csv"))
    frame = pd.read_csv(file)
    assert frame["recipe"].tolist() == ["plain", "fast"]
    assert frame.loc[0, "ratio"] == 1
    assert frame["peak_mebibytes"].gt(50).all()
    output = capsys.readouterr().out
    assert str(file) in output
    assert "batches of 2 x 2 pairs (the schedule's: 3 x 4)" in output


def test_a_process_that_fails_is_named(monkeypatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\ncrreid.errors.InputError: no space\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: failed)
    job = Job(section="models", recipe=Recipe(name="fast"), size="tiny", device="cpu", model="PCB")
    with pytest.raises(InputError, match=r"the benchmark of models PCB by fast failed: .*no space"):
        measured(job)


def test_no_repeats_are_refused() -> None:
    with pytest.raises(InputError, match="repeats must be at least 1, not 0"):
        bench(size="tiny", repeats=0)
