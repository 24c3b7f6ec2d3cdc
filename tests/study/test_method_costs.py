"""What methods cost: counted by hand, and measured once on a small network."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.profiles import profile_settings
from crreid.starting_weights import RANDOM_WEIGHTS
from crreid.study.method_cost_conclusions import method_cost_conclusion
from crreid.study.method_costs import counted_cost, measured_cost, shown_counts, shown_method_costs
from crreid.study.rows import state_of_the_art_rows

CPU = torch.device("cpu")
ROWS = state_of_the_art_rows(profile_settings("smoke", "mlr-synthetic"), seed=0, weights=RANDOM_WEIGHTS)
NO_PLAIN = pd.DataFrame(columns=["recipe", "pairs_per_second", "ratio", "threads", "date"])
PLAIN = pd.DataFrame({"recipe": ["plain fp32", "fast"], "pairs_per_second": [10.0, 25.0], "ratio": [1.0, 2.5]})
COSTS = pd.DataFrame(
    {
        "row": ["ResNet-50", "PCB", "PS-HRNet"],
        "rank1": [30.0, 29.0, 40.0],
        "parameters_embedding": [11e6, 12e6, 6e6],
        "parameters_training": [11e6, 13e6, 12e6],
        "multiply_adds": [1e9, 2e9, 4e9],
        "restoration_multiply_adds": [0, 0, 3e9],
        "pairs_per_second": [50.0, 20.0, 25.0],
        "trained_on": "a processor",
        "speed_basis": "from 5 epochs on record, threads: 2",
        "paper_minutes": [306.0, 765.4, 612.3],
        "images_per_second": [100.0, 90.0, 80.0],
        "query_milliseconds": [20.0, 21.0, 30.0],
        "step_peak_bytes": [2**20, 2**21, 2**22],
    }
)


def test_restoration_is_the_module_of_ps_hrnet_alone():
    count = counted_cost(ROWS["PS-HRNet"], 6)
    pixels, width = 64 * 32, 8
    weights = 9 * (3 * width + width * width + width * 3)
    attention = (
        2 * width * ROWS["PS-HRNet"].method.restoration.attention_channels
    )  # two 1 x 1 convolutions of one pixel
    assert count.restoration_multiply_adds == pixels * weights + attention
    alone = counted_cost(ROWS["HRNet-ReID-H alone"], 6)
    assert alone.restoration_multiply_adds == 0
    assert count.multiply_adds - count.restoration_multiply_adds == alone.multiply_adds


def test_classifier_and_teacher_count_in_training_only():
    teacher, few, many = (
        counted_cost(ROWS[row], identities)
        for row, identities in (("HRNet-ReID-H alone", 6), ("PS-HRNet", 6), ("PS-HRNet", 7))
    )
    assert few.parameters_embedding == many.parameters_embedding
    assert few.parameters_training < many.parameters_training
    module = few.parameters_embedding - teacher.parameters_embedding
    assert module > 0
    assert few.parameters_training == 2 * teacher.parameters_training + module


def test_counts_do_not_change_the_generator():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    measured_cost(ROWS["RAIN"], 6, CPU)
    assert torch.equal(torch.get_rng_state(), state)


def test_memory_of_a_step_grows_with_the_batch_and_holds_gradients_and_momenta():
    run = ROWS["ResNet-50"]
    assert isinstance(run.method, RestoreAndIdentifySettings)
    small, large = (
        measured_cost(replace(run, schedule=replace(run.schedule, images_per_identity=images)), 6, CPU)
        for images in (2, 4)
    )
    assert (small.step_pairs, large.step_pairs) == (6, 12)
    least = 2 * 4 * counted_cost(run, 6).parameters_training
    assert least <= small.step_peak_bytes
    assert large.step_peak_bytes > small.step_peak_bytes
    assert large.images_per_second > 0
    assert large.query_milliseconds > 0


def test_shown_counts_have_a_line_a_row():
    shown = shown_counts({row: ROWS[row] for row in ("RAIN", "PS-HRNet")})
    assert shown["row"].tolist() == ["RAIN", "PS-HRNet"]
    assert shown["of these restoration"].tolist() == ["0 %", "9 %"]


def test_plain_recipe_stands_beside_ps_hrnet_where_it_was_measured():
    column = "plain recipe pairs/s"
    assert shown_method_costs(COSTS, PLAIN)[column].tolist() == ["-", "-", "10.0"]
    shown = shown_method_costs(COSTS, NO_PLAIN)
    assert shown[column].tolist() == ["-", "-", "not measured"]
    assert shown["memory of a step (MiB)"].tolist() == ["1", "2", "4"]
    assert shown["speed of training"][0] == "from 5 epochs on record, threads: 2, a processor"


def test_conclusion_names_fronts_and_the_modules_share():
    text = method_cost_conclusion(COSTS, PLAIN)
    assert "fewer multiply-adds and a rank-1 as high: **ResNet-50, PS-HRNet**" in text
    assert "trains faster and has a rank-1 as high: **ResNet-50, PS-HRNet**" in text
    assert "**75 %** of its multiply-adds, 3.0 times what the network behind it takes: most of its cost" in text
    assert "2.7 times the multiply-adds of the other rows' median" in text
    assert "918,456 pairs of the paper's phase 2 would take **612 minutes**" in text
    assert "*fast*, at 25.0, **2.50** times" in text


def test_conclusion_says_less_of_less():
    several = COSTS.assign(trained_on=["one", "other", "other"])
    assert "speeds cannot be ordered" in method_cost_conclusion(several, NO_PLAIN)
    assert "benchmark" not in method_cost_conclusion(COSTS, NO_PLAIN)
    assert "restoration" not in method_cost_conclusion(COSTS.iloc[:2], NO_PLAIN)
    cheap = method_cost_conclusion(COSTS.assign(restoration_multiply_adds=[0, 0, 1e9]), NO_PLAIN)
    assert "the smaller part of its cost" in cheap


@pytest.mark.parametrize("row", ["CAD-Net", "LRAR", "PCB"])
def test_all_that_a_descriptor_needs_is_part_of_training(row):
    count = counted_cost(ROWS[row], 6)
    assert 0 < count.parameters_embedding < count.parameters_training
    assert count.multiply_adds > 0
