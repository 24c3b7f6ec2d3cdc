"""Which runs each table names, which of them are shared, and that a new method is one file and one line."""

import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crreid.errors import InputError
from crreid.losses.pseudo_siamese import RELEASE_MEMBERS
from crreid.methods.cad_net import CADNetSettings
from crreid.methods.ps_hrnet import PSHRNetSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.methods.solo_restoration import SoloRestorationSettings
from crreid.models.common import InterpolationSettings
from crreid.models.weights import RANDOM_WEIGHTS, StartingWeights
from crreid.profiles import PROFILE_NAMES, profile_settings
from crreid.rows import (
    CONVENTIONAL,
    ITEMS,
    RESTORATION_RATES,
    UNSEEN_RATES,
    Rows,
    all_cad_net_rows,
    all_sequence_rows,
    backbone_rows,
    cad_net_rows,
    changed,
    differences,
    loss_ablation_rows,
    lrar_rows,
    pooling_rows,
    reductions,
    restoration_rows,
    sequence_rows,
    set_title,
    start_here_rows,
    state_of_the_art_rows,
    super_resolution_rows,
    teacher_run,
    unseen_resolution_rows,
    upsampled_by,
)
from crreid.runs import Workspace, find_record, measure, with_teachers
from crreid.settings import canonical, described, leaves, with_value
from crreid.study.published import published_numbers

RECORDS = Path(__file__).parents[1] / "results" / "records"


TABLES: dict[str, tuple[Rows, str]] = {
    "I": (state_of_the_art_rows, ""),
    "II": (loss_ablation_rows, "HRNet-ReID-H alone*, ID, SR+ID, SR+ID+PS"),
    "III": (restoration_rows, "Bicubic*, Solo SR, SR+ID, SR+ID+PS"),
    "IV": (
        super_resolution_rows,
        ", ".join(f"{module}+ResNet-50" for module in ("Bicubic", "SRCNN", "VDSR", "RCAN", "VDSR-CA")),
    ),
    "V": (pooling_rows, "AAP, AMP, AAP+AMP"),
    "VI": (backbone_rows, "ResNet-50*, PCB, DenseNet-121, HRNet-W32-C, HRNet-ReID"),
    "VII": (sequence_rows, "{Seq5, logits}; {Seq1, Seq2, Seq3, Seq4, Seq5, logits}; {Seq1, Seq4, Seq5, logits}"),
}
"""Rows of each table in order; * marks those that the paper's table does not have."""


@pytest.fixture(params=PROFILE_NAMES)
def profile(request):
    return profile_settings(request.param, "mlr-market-1501")


def rows_of(rows, profile, seed=0, weights=RANDOM_WEIGHTS):
    return rows(profile, seed=seed, weights=weights)


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_in_order_and_named_as_the_paper_prints_them(table, profile):
    rows, text = TABLES[table]
    found, published = list(rows_of(rows, profile)), set(published_numbers(table=table)["method"])
    if table == "I":  # which takes new rows
        assert found[: len(CONVENTIONAL)] == list(CONVENTIONAL)
        assert found[len(CONVENTIONAL) :] == ["RAIN", "CAD-Net", "LRAR", "HRNet-ReID-H alone", "PS-HRNet"]
        assert {"ResNet-50", "SE-ResNet-50", "DenseNet-121", "PCB", "RAIN", "CAD-Net", "PS-HRNet"} <= published & {
            *found
        }
    else:
        names = text.split("; " if ";" in text else ", ")
        assert found == [name.removesuffix("*") for name in names]
        assert set(found) - published == {name.removesuffix("*") for name in names if name.endswith("*")}


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_a_run_of_its_own_with_the_seed_and_the_size_of_the_profile(table, profile):
    rows = TABLES[table][0]
    runs = rows_of(rows, profile, seed=3)
    assert {run.seed for run in runs.values()} == {3}
    assert {run.size for run in runs.values()} == {profile.size}
    assert {run.teacher.seed for run in runs.values() if run.teacher is not None} <= {3}
    assert len({run.digest for run in runs.values()}) == len(runs)
    assert not {run.digest for run in runs.values()} & {run.digest for run in rows_of(rows, profile, seed=4).values()}


def test_ps_hrnet_and_its_teacher_are_those_of_table_2(profile):
    table1, table2 = (rows_of(rows, profile) for rows in (state_of_the_art_rows, loss_ablation_rows))
    assert table1["PS-HRNet"] == table2["SR+ID+PS"]
    assert table1["HRNet-ReID-H alone"] == table2["HRNet-ReID-H alone"] == table2["SR+ID+PS"].teacher
    assert rows_of(teacher_run, profile) == table2["HRNet-ReID-H alone"]
    start = rows_of(start_here_rows, profile)
    assert start == {row: table2[row] for row in ("HRNet-ReID-H alone", "SR+ID+PS")}


def test_table_3_tests_the_weights_of_table_2(profile):
    table2, table3 = (rows_of(rows, profile) for rows in (loss_ablation_rows, restoration_rows))
    for row in ("SR+ID", "SR+ID+PS"):
        assert table3[row].training_digest == table2[row].training_digest
        assert table3[row].digest != table2[row].digest
    for row in ("Bicubic", "Solo SR"):
        assert table3[row].teacher.training_digest == table2["HRNet-ReID-H alone"].training_digest
    for run in table3.values():
        assert run.evaluation.query_rates == run.evaluation.restoration_rates == RESTORATION_RATES == (2, 3, 4, 8)


def test_the_profiles_set_of_table_7_is_the_full_row_of_table_2(profile):
    full = rows_of(loss_ablation_rows, profile)["SR+ID+PS"]
    runs = rows_of(sequence_rows, profile)
    assert runs[set_title(profile.members)] == full
    assert {run.teacher for run in runs.values()} == {full.teacher}
    for run in runs.values():
        assert replace(run, method=replace(run.method, members=profile.members)) == full


def test_all_63_sets_are_tried_once(profile):
    runs = rows_of(all_sequence_rows, profile)
    assert len(runs) == 63
    assert len({frozenset(run.method.members) for run in runs.values()}) == 63
    assert len({run.digest for run in runs.values()}) == 63
    assert all(row == set_title(run.method.members) for row, run in runs.items())
    assert rows_of(sequence_rows, profile).items() <= runs.items()
    assert runs[set_title(RELEASE_MEMBERS)].method.members == RELEASE_MEMBERS


def test_bicubic_of_table_3_learns_nothing_from_data_that_bicubic_enlarged(profile):
    run = rows_of(restoration_rows, profile)["Bicubic"]
    assert run.method == SoloRestorationSettings(restoration=InterpolationSettings(filter="bicubic"))
    assert run.schedule == replace(profile.schedule, epochs=0)
    assert run.data.mlr.degradation.enlarge == "bicubic"
    assert run.teacher.data == profile.data
    assert profile.data.mlr.degradation.enlarge == "bilinear"


def test_restoration_is_measured_by_lpips_where_its_weights_are_given(profile):
    given = StartingWeights(perceptual="file 12")
    for rows in (restoration_rows, cad_net_rows):
        for row, run in rows(profile, seed=0, weights=given).items():
            without = rows(profile, seed=0, weights=StartingWeights())[row]
            assert run.evaluation == replace(without.evaluation, perceptual_weights=run.evaluation.perceptual_weights)
            assert run.evaluation.perceptual_weights == ("file 12" if run.evaluation.restoration_rates else "")
            assert run.training_digest == without.training_digest


def test_modules_of_table_4_stand_before_one_network(profile):
    runs = rows_of(super_resolution_rows, profile)
    modules = profile.modules
    expected = [InterpolationSettings(), modules.srcnn, modules.vdsr, modules.rcan, modules.vdsr_ca]
    for run, module in zip(runs.values(), expected, strict=True):
        scale = {modules.srcnn: 0.01, modules.rcan: 0.1}.get(module, profile.restoration_learning_rate_scale)
        assert run.method == RestoreAndIdentifySettings(
            network=profile.conventional.resnet, restoration=module, restoration_learning_rate_scale=scale
        )
        assert run.evaluation == replace(profile.evaluation, query_rates=())
        assert run.schedule == profile.comparison_schedule
    for row, run in runs.items():
        assert run.method.restoration.title == row.partition("+")[0]
        filter_name = "bicubic" if row.startswith("Bicubic") else "bilinear"
        assert run.data.mlr.degradation.enlarge == filter_name
        assert upsampled_by(run, "bilinear").data == profile.data


@pytest.mark.parametrize("rows", [pooling_rows, backbone_rows])
def test_tables_5_and_6_are_on_sharp_images(rows, profile):
    for run in rows_of(rows, profile).values():
        assert run.data == replace(profile.data, mlr=None)
        assert run.evaluation.query_rates == ()
        assert run.schedule == profile.comparison_schedule
        assert run.teacher is None


def test_weights_go_to_the_backbones_that_they_name(profile):
    backbone = profile.conventional.resnet.backbone
    weights = StartingWeights(of_backbone=((backbone, "timm"),))
    table1, table4 = (
        rows_of(rows, profile, weights=weights) for rows in (state_of_the_art_rows, super_resolution_rows)
    )
    assert table1["ResNet-50"].weights == "timm"
    assert table1["DenseNet-121"].weights == table1["PS-HRNet"].weights == "random"
    assert {run.weights for run in table4.values()} == {"timm"}
    all_timm = rows_of(restoration_rows, profile, weights=StartingWeights(default="timm"))
    assert all_timm["Solo SR"].weights == "random"  # it has no backbone
    assert isinstance(all_timm["SR+ID+PS"].method, PSHRNetSettings)
    assert all_timm["SR+ID+PS"].weights == all_timm["SR+ID+PS"].teacher.weights == "timm"


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
    for row, error in {"LRAR, told one level too sharp": -1, "LRAR, told one level too coarse": 1}.items():
        whole = rows["+ progressive = LRAR"]
        assert rows[row] == replace(whole, evaluation=replace(whole.evaluation, rate_error=error))


def test_all_systems_are_tested_at_unseen_rates_with_table_1s_weights(profile):
    rows, table1 = rows_of(unseen_resolution_rows, profile), rows_of(state_of_the_art_rows, profile)
    assert list(rows) == list(table1)
    for row, run in rows.items():
        assert run.training_digest == table1[row].training_digest
        assert run.evaluation.query_rates == UNSEEN_RATES
    assert table1["CAD-Net"].training_digest == rows_of(cad_net_rows, profile)["CAD-Net"].training_digest
    assert table1["LRAR"].training_digest == rows_of(lrar_rows, profile)["+ progressive = LRAR"].training_digest


QUICK = profile_settings("quick", "mlr-synthetic")


def test_differences_are_the_settings_that_are_not_the_same_in_all_rows():
    found = differences(rows_of(loss_ablation_rows, QUICK))
    assert found.index.tolist() == ["HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS"]
    assert found["method"].tolist() == ["HRNetReIDHigh", "PSHRNet", "PSHRNet", "PSHRNet"]
    assert found["method.restoration"].tolist() == ["", "none", "VDSRSettings", "VDSRSettings"]
    assert found["method.pseudo_siamese_weight"].tolist() == ["", "0", "0", "0.5"]
    assert found["teacher"].tolist() == ["none", "none", "none", "HRNetReIDHigh"]
    assert "schedule.epochs" not in found
    assert "method.restoration.depth" not in found  # the same wherever there is one
    of_seeds = {row: [run, replace(run, seed=1)] for row, run in rows_of(pooling_rows, QUICK).items()}
    poolings = differences(of_seeds)
    assert poolings.to_dict("list") == {"method.network.pooling": ["average", "maximum", "both"]}


@pytest.mark.parametrize("name", ["smoke", "quick", "reduced"])
@pytest.mark.parametrize("dataset", ["mlr-synthetic", "mlr-market-1501", "caviar"])
def test_reductions_are_all_that_differs_from_the_paper(name, dataset):
    here, paper = (rows_of(start_here_rows, profile_settings(profile, dataset)) for profile in (name, "paper"))
    table = reductions(here, paper)
    listed = {line.setting: (line.paper, line.here) for line in table.itertuples()}
    assert len(listed) == len(table) > 5
    assert listed["method.network.backbone"] == ("hrnet_w32", "hrnet_w18_small")
    whole = replace(paper["SR+ID+PS"], teacher=None)
    for setting in listed:
        value = leaves(described(replace(here["SR+ID+PS"], teacher=None)))[setting]
        whole = with_value(whole, setting, value)
    assert whole == replace(here["SR+ID+PS"], teacher=None)
    assert reductions(paper, paper).empty


def test_changes_reach_a_run_and_its_teacher_where_they_have_the_setting():
    run = rows_of(loss_ablation_rows, QUICK)["SR+ID+PS"]
    changes = {"method.restoration_weight": 1, "schedule.epochs": 4, "data.mlr.cameras": [2], "method.masks": None}
    found = changed(run, changes)
    assert found.method == replace(run.method, restoration_weight=1.0)
    for each, before in ((found, run), (found.teacher, run.teacher)):
        assert (each.schedule, each.data.mlr.cameras) == (replace(before.schedule, epochs=4), (2,))
    assert found.teacher.method == run.teacher.method
    assert changed(run, {}) == run
    assert changed(run, {"method.restoration": None}).method.restoration is None


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("method.restoration_wieght", 1, "no row .* has a setting .*; did you mean method.restoration_w"),
        ("xyz", 1, r"no row of the study has a setting 'xyz'; e\.g\. schedule\.epochs"),
        ("schedule.epochs", "4", "schedule.epochs must be int, not '4'"),
        ("schedule.epochs", -1, "epochs must be 0 or more, not -1"),
        ("schedule.decay", "x", r"schedule.decay must be Literal\['steps', 'cosine'\], not 'x'"),
        ("data.mlr.cameras", 2, r"data.mlr.cameras must be tuple\[int, ...\], not 2"),
        ("method.network", 3, "method.network must be HRNetReIDSettings, not 3"),
    ],
)
def test_changes_that_cannot_be_made_are_refused_in_one_sentence(name, value, problem):
    with pytest.raises(InputError, match=problem):
        changed(rows_of(loss_ablation_rows, QUICK)["ID"], {name: value})


def test_every_committed_record_is_the_record_of_a_row():
    recorded = {file.stem: json.loads(file.read_text()) for file in RECORDS.glob("*.json")}
    of_file = {record["settings"]["weights"] for record in recorded.values()} - {"random"}
    starts = [RANDOM_WEIGHTS, *(StartingWeights(of_backbone=(("resnet50", each),)) for each in of_file)]
    rows = [*(item.rows for item in ITEMS.values()), all_sequence_rows, all_cad_net_rows]
    profiles = (QUICK, profile_settings("reduced", "mlr-market-1501"))
    runs = [run for p in profiles for w in starts for table in rows for run in rows_of(table, p, weights=w).values()]
    assert recorded.keys() <= {run.digest for run in with_teachers(runs)}
    workspace = Workspace(results_dir=RECORDS.parent, runs_dir=RECORDS)
    for run in runs:
        if run.digest in recorded:
            assert find_record(run, workspace).run == canonical(run)  # refused if the images were others


MEAN_COLOUR = '''
"""Mean colour: the colours of horizontal stripes through a linear layer."""

from dataclasses import dataclass

from torch import nn
from torch.nn import functional

from crreid.methods.method import Method, Player, parameter_group


@dataclass(frozen=True, kw_only=True)
class MeanColour:
    stripes: int = 6
    title: str = "Mean colour"
    backbone_name: str = ""

    def build(self, identities, teacher=None):
        return StripeColours(self, identities)


class StripeColours(Method):
    def __init__(self, settings, identities):
        super().__init__()
        self.stripes = settings.stripes
        self.classify = nn.Linear(3 * settings.stripes, identities)

    def players(self):
        return {"network": Player(groups=[parameter_group(self.classify)])}

    def losses(self, batch, player):
        return {"ce": functional.cross_entropy(self.classify(self.embed(batch.low, batch.rates)), batch.labels)}

    def embed(self, images, rates):
        return functional.adaptive_avg_pool2d(images, (self.stripes, 1)).flatten(1)
'''


def test_a_new_method_is_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(MEAN_COLOUR.strip().splitlines()) < 40
    file = tmp_path / "mean_colour.py"
    file.write_text(MEAN_COLOUR)
    specification = importlib.util.spec_from_file_location("mean_colour", file)
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "mean_colour", module)
    specification.loader.exec_module(module)
    smoke = profile_settings("smoke", "mlr-synthetic")
    before = rows_of(state_of_the_art_rows, smoke)

    monkeypatch.setitem(CONVENTIONAL, "Mean colour", lambda profile: module.MeanColour())

    runs = rows_of(state_of_the_art_rows, smoke)
    assert set(runs) - set(before) == {"Mean colour"}
    assert before.items() <= runs.items()
    workspace = Workspace(
        results_dir=tmp_path / "results", runs_dir=tmp_path / "runs", device="cpu", report=lambda line: None
    )
    tests = replace(smoke.evaluation, query_rates=(1, 4))
    record = measure(replace(runs["Mean colour"], evaluation=tests), workspace)
    assert record.title == "Mean colour"
    for metric in ("rank1", "rank5", "map_hit", "map_trapezoid"):
        for options in ({}, {"test": "uniform", "rate": 1}, {"test": "uniform", "rate": 4}):
            assert math.isfinite(record.score(metric, **options))
    assert list(record.epochs) == ["epoch", "learning_rate", "ce", "total"]
    assert record.parameters == 18 * 6 + 6
    # six persons; colours alone tell some of them apart
    assert record.score("rank1", test="uniform", rate=1) > 25
