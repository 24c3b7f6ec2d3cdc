"""Rows of the notebooks about other systems: what each trains, what they share, how they are tested."""

from dataclasses import replace

import pytest

from crreid.methods.cad_net import CADNetSettings
from crreid.methods.lrar import LRARSettings
from crreid.profiles import PROFILE_NAMES, profile_settings
from crreid.starting_weights import RANDOM_WEIGHTS
from crreid.study.rows import RESTORATION_RATES, restoration_rows, state_of_the_art_rows
from crreid.study.system_rows import (
    UNSEEN_RATES,
    all_cad_net_rows,
    cad_net_rows,
    lrar_rows,
    unseen_resolution_rows,
)


@pytest.fixture(params=PROFILE_NAMES)
def profile(request):
    return profile_settings(request.param, "mlr-market-1501")


def rows_of(rows, profile):
    return rows(profile, seed=2, weights=RANDOM_WEIGHTS)


def test_each_ablation_of_cad_net_leaves_out_one_term(profile):
    rows = rows_of(cad_net_rows, profile)
    whole = rows["CAD-Net"].method
    assert isinstance(whole, CADNetSettings)
    left_out = {
        "CAD-Net without D_I": "image_adversary_weight",
        "CAD-Net without D_F": "feature_adversary_weight",
        "CAD-Net without L_rec": "restoration_weight",
        "CAD-Net without L_cls": "classification_weight",
    }
    for row, weight in left_out.items():
        assert rows[row].method == replace(whole, **{weight: 0.0})
        assert rows[row].method.title == row
        assert replace(rows[row], method=whole) == rows["CAD-Net"]


def test_parts_of_cad_net_share_its_training_and_two_rows_are_table_3s(profile):
    rows, table3 = rows_of(cad_net_rows, profile), rows_of(restoration_rows, profile)
    for part in ("f", "g"):
        run = rows[f"CAD-Net, {part} alone"]
        assert run.training_digest == rows["CAD-Net"].training_digest
        assert run.evaluation.part == part
    assert rows["PS-HRNet"] == table3["SR+ID+PS"]
    assert rows["Bicubic"] == table3["Bicubic"]
    assert rows["CAD-Net"].evaluation.restoration_rates == RESTORATION_RATES


def test_what_its_authors_did_before_and_after_stands_on_the_same_networks(profile):
    rows = rows_of(all_cad_net_rows, profile)
    assert list(rows)[:9] == list(rows_of(cad_net_rows, profile))
    assert list(rows)[9:] == ["RAIN", "CAD-Net++", "CAD-Net, half of the labels"]
    for row in list(rows)[9:]:
        assert rows[row].method.encoder == profile.cad_net.encoder
        assert rows[row].method.margin == profile.cad_net.margin
    assert not rows["RAIN"].method.recovery
    assert rows["CAD-Net++"].method.consistency_weight > 0
    assert rows["CAD-Net, half of the labels"].method.labelled_fraction == 0.5
    assert rows["RAIN"].method.title == "RAIN"
    assert rows["CAD-Net++"].method.title == "CAD-Net++"


def test_lrar_adds_one_mechanism_a_row(profile):
    rows = rows_of(lrar_rows, profile)
    methods = [run.method for row, run in rows.items() if not row.startswith("LRAR")]
    found = [
        (each.varying_length, each.masks is not None, each.verification_weight > 0, each.progressive)
        for each in methods
    ]
    one_more = [tuple(number < added for number in range(4)) for added in range(5)]
    assert found == one_more
    assert methods[-1] == profile.lrar
    assert isinstance(profile.lrar, LRARSettings)


def test_a_wrong_level_is_told_of_the_same_training(profile):
    rows = rows_of(lrar_rows, profile)
    whole = rows["+ progressive = LRAR"]
    errors = {"LRAR, told one level too sharp": -1, "LRAR, told one level too coarse": 1}
    for row, error in errors.items():
        assert rows[row] == replace(whole, evaluation=replace(whole.evaluation, rate_error=error))
    assert whole.evaluation.query_rates == (1, 2, 3, 4, 8)


def test_all_systems_are_tested_at_unseen_rates_with_table_1s_weights(profile):
    rows, table1 = rows_of(unseen_resolution_rows, profile), rows_of(state_of_the_art_rows, profile)
    assert list(rows) == list(table1)
    for row, run in rows.items():
        assert run.training_digest == table1[row].training_digest
        assert run.evaluation.query_rates == UNSEEN_RATES
    assert table1["CAD-Net"].training_digest == rows_of(cad_net_rows, profile)["CAD-Net"].training_digest
    assert table1["LRAR"].training_digest == rows_of(lrar_rows, profile)["+ progressive = LRAR"].training_digest
