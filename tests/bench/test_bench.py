"""The benchmark's sections, ratios and CSV."""

from pathlib import Path

import pandas as pd
import pytest

from crreid.bench import bench as bench_module
from crreid.bench import cost
from crreid.bench.bench import COLUMNS, COUNTED, PEAKS, RECIPES, _summary, bench
from crreid.errors import InputError

RESULTS = Path(__file__).resolve().parents[2] / "results" / "bench"


def rows_of(rank1: float = 0.5) -> pd.DataFrame:
    """Invented numbers: each recipe of a section is as fast as its place; three processes each, one of them slow."""
    facts = [{"case": PEAKS["fp32"], "per_second": 100}, {"case": PEAKS["bf16"], "per_second": 200}]
    facts += [{"case": case, "gflop": 5.0} for case in sorted(set(COUNTED.values()))]
    rows = [{"section": "arithmetic", "recipe": ""} | fact for fact in facts]
    for section in ("step", "ranking"):
        for slow in (False, True, False):
            for place, recipe in enumerate(RECIPES[section], start=1):
                row = {"section": section, "case": section, "recipe": recipe, "per_second": 0.1 if slow else place}
                rows.append(row | ({"rank1": rank1 if place == 2 else 0.5} if section == "ranking" else {}))
    return pd.DataFrame(rows).reindex(columns=COLUMNS).assign(unit="")


def test_medians_ratios_and_shares_of_the_arithmetic() -> None:
    frame = _summary(rows_of())
    steps = frame[frame["section"] == "step"].set_index("recipe")
    assert steps["per_second"].tolist() == steps["ratio"].tolist() == [1, 2, 3]
    # 5 GFLOP a pair at 1 pair a second, of 100 GFLOP a second; then 2 and 3 pairs a second of 200
    assert steps["floor_fraction"].tolist() == pytest.approx([0.05, 0.05, 0.075])
    assert frame.loc[frame["section"] != "step", "floor_fraction"].isna().all()
    assert frame.loc[frame["section"] == "arithmetic", "ratio"].isna().all()


def test_recipes_with_other_scores_are_refused() -> None:
    with pytest.raises(InputError, match=r"disagree on rank1: 0\.5, 0\.6"):
        _summary(rows_of(rank1=0.6))


def test_every_section_is_measured_by_every_recipe(tmp_path, monkeypatch) -> None:
    """The ranking in processes of its own, each of which takes seconds to start; the others in this one."""
    in_process = bench_module._in_process

    def sometimes_here(measure, job):
        if job.recipe == "fast" and job.section == "ranking":
            return in_process(measure, job)
        return [{"section": job.section, "recipe": job.recipe} | row for row in measure(job)]

    monkeypatch.setattr(bench_module, "_in_process", sometimes_here)
    monkeypatch.setattr(cost, "LEAST_SECONDS", 0)
    frame = pd.read_csv(bench(size="smoke", device="cpu", repeats=1, out=str(tmp_path)), dtype={"recipe": str})
    measured = frame[frame["section"] != "arithmetic"]
    assert {section: tuple(each["recipe"]) for section, each in measured.groupby("section")} == RECIPES
    assert measured.groupby("section")["case"].nunique().eq(1).all()
    assert (measured[["per_second", "milliseconds", "ratio"]] > 0).all(axis=None)
    assert measured["peak_mebibytes"].gt(50).all()
    assert frame["threads"].eq(1).all()
    counts = frame.set_index("case")["gflop"]
    # forward and backward of the student, forward of the teacher; an image twice through the student
    assert 1.5 < counts[COUNTED["step"]] / counts[COUNTED["embedding"]] < 2.5


@pytest.mark.slow
def test_a_training_keeps_its_speed_beside_a_busy_process(tmp_path, monkeypatch) -> None:
    recipes = {section: RECIPES[section] for section in ("ranking", "busy neighbour")}
    monkeypatch.setattr(bench_module, "RECIPES", recipes)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    frame = pd.read_csv(bench(size="quick", device="cpu", repeats=3, out=str(tmp_path)))
    assert frame.set_index("recipe")["ratio"]["beside a busy process"] >= 0.4


def test_recorded_benchmarks_have_the_same_columns() -> None:
    frames = [pd.read_csv(file) for file in RESULTS.glob("*.csv")]
    assert len(frames) >= 2
    for frame in frames:
        assert {*COLUMNS, "size", "batch", "repeats", "device", "threads", "torch", "commit"} <= {*frame.columns}
        assert (frame["section"] == "epoch").sum() == 3


@pytest.mark.parametrize("options", [{"size": "huge"}, {"repeats": 0}, {"threads": 0}])
def test_impossible_options_are_refused(options) -> None:
    with pytest.raises(InputError, match="a size of smoke, quick, paper, and repeats and threads of at least 1"):
        bench(**options)
