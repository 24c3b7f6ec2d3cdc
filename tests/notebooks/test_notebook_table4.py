"""Table IV's notebook: what it says a module costs, against formulas and the recorded timing."""

import json

import pytest

ROWS = ["Bicubic+small ResNet-18", "VDSR-CA+small ResNet-18"]


@pytest.fixture(scope="module")
def variables(notebook):
    return notebook("table4_super_resolution_modules", rows=ROWS)


def test_modules_cost_at_published_size_what_their_layers_say(variables):
    full = variables["full"]
    assert full["parameters"].loc[["Bicubic+ResNet-50", "VDSR-CA+ResNet-50"]].tolist() == [0, 677_448]
    convolutions = 9 * (3 * 64 + 18 * 64 * 64 + 64 * 3) * 256 * 128 / 1e9
    assert full.loc["VDSR-CA+ResNet-50", "multiply-adds (10^9)"] == pytest.approx(convolutions, rel=1e-3)


def test_module_and_network_add_up(variables):
    bicubic, ours = (variables["totals"][row] for row in ROWS)
    alone = variables["costs"].loc[ROWS[1], "multiply_adds"] / 1e9
    assert ours - bicubic == pytest.approx(alone, rel=1e-6)


def test_latencies_are_those_of_the_recorded_timing(variables):
    (file,) = (
        file
        for file in (variables["study"].workspace.results_dir / "timings").glob("*.json")
        if (what := json.loads(file.read_text())["what"])["what"] == "cost of modules" and list(what["modules"]) == ROWS
    )
    recorded = json.loads(file.read_text())["values"]
    assert variables["costs"].T.to_dict() == recorded
    assert recorded[ROWS[1]]["latency_milliseconds"] > recorded[ROWS[0]]["latency_milliseconds"] > 0


def test_points_are_the_records_rank1(variables):
    points = variables["points"].set_index("row")["rank1"]
    expected = {row: variables["records"][row][0].score("rank1") for row in ROWS}
    assert points.to_dict() == pytest.approx(expected, abs=1e-4)
