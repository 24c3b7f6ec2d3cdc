"""Which runs each table names, which of them are shared, and that a new method is one file and one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crreid.errors import InputError
from crreid.losses.pseudo_siamese import RELEASE_MEMBERS
from crreid.methods.cad_net import CADNetSettings
from crreid.methods.ps_hrnet import PSHRNetSettings
from crreid.methods.solo_restoration import SoloRestorationSettings
from crreid.models.common import InterpolationSettings
from crreid.models.weights import RANDOM_WEIGHTS, StartingWeights
from crreid.profiles import PROFILE_NAMES, RESTORATION_RATES, profile_settings
from crreid.rows import (
    ITEMS,
    UNSEEN_RATES,
    Rows,
    all_cad_net_rows,
    all_restoration_rows,
    all_sequence_rows,
    backbone_rows,
    cad_net_rows,
    changed,
    differences,
    loss_ablation_rows,
    lrar_rows,
    module_rows,
    pooling_rows,
    reductions,
    restoration_rows,
    sequence_rows,
    set_title,
    start_here_rows,
    state_of_the_art_rows,
    super_resolution_rows,
    teacher_run,
    trained_rows,
    unseen_resolution_rows,
    upsampled_by,
)
from crreid.runs import Workspace, find_record, with_teachers
from crreid.settings import canonical, described, leaves, with_value
from crreid.study.published import published_numbers

RECORDS = Path(__file__).parents[1] / "results" / "records"


TABLES: dict[str, tuple[Rows, str]] = {
    "II": (loss_ablation_rows, "HRNet-ReID-H alone*, ID, SR+ID, SR+ID+PS"),
    "III": (restoration_rows, "Bicubic*, Solo SR, SR+ID, SR+ID+PS"),
    "V": (pooling_rows, "AAP, AMP, AAP+AMP"),
    "VI": (backbone_rows, "ResNet-50*, PCB, DenseNet-121, HRNet-W32-C, HRNet-ReID"),
    "VII": (sequence_rows, "{Seq5, logits}; {Seq1, Seq2, Seq3, Seq4, Seq5, logits}; {Seq1, Seq4, Seq5, logits}"),
}
"""First rows of each table in order; * marks those that the paper's table does not have."""


@pytest.fixture(params=PROFILE_NAMES)
def profile(request):
    return profile_settings(request.param, "mlr-market-1501")


def rows_of(rows, profile, seed=0, weights=RANDOM_WEIGHTS):
    return rows(replace(profile, seed=seed, weights=weights))


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_in_order_and_named_as_the_paper_prints_them(table, profile):
    rows, text = TABLES[table]
    names = text.split("; " if ";" in text else ", ")
    found, published = list(rows_of(rows, profile)), set(published_numbers(table=table)["method"])
    assert found[: len(names)] == [name.removesuffix("*") for name in names]
    assert set(found) & published == {name for name in names if not name.endswith("*")}


def test_tables_1_and_4_bear_the_papers_names_on_its_networks_and_others_on_others():
    table1, table4 = (
        {name: list(rows_of(rows, profile_settings(name, "mlr-market-1501"))) for name in ("paper", "quick")}
        for rows in (state_of_the_art_rows, super_resolution_rows)
    )
    published = {table: {*published_numbers(table=table)["method"]} for table in ("I", "IV")}
    assert {"ResNet-50", "SE-ResNet-50", "DenseNet-121", "PCB", "RAIN", "CAD-Net", "PS-HRNet"} <= published["I"] & {
        *table1["paper"]
    }
    assert table1["quick"] == [
        *("HSV histograms", "OSNet x0.25: HR only", "OSNet x0.25", "RAIN", "CAD-Net", "LRAR", "OSNet x0.25: SR+ID+PS"),
        *("HRNet-ReID-H alone", "HRNet-ReID", "PS-HRNet"),
    ]
    assert table4["paper"][1:] == [f"{name}+ResNet-50" for name in ("Bicubic", "SRCNN", "VDSR", "RCAN", "VDSR-CA")]
    assert {*table4["paper"]} - published["IV"] == {"Bilinear+ResNet-50"}
    assert not {*table4["quick"]} & published["IV"]


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_a_run_of_its_own_with_the_seed_and_the_size_of_the_profile(table, profile):
    rows = TABLES[table][0]
    runs = rows_of(rows, profile, seed=3)
    assert {run.seed for run in runs.values()} == {3}
    assert {run.size for run in runs.values()} == {profile.size}
    assert {run.teacher.seed for run in runs.values() if run.teacher is not None} <= {3}
    assert len({run.digest for run in runs.values()}) == len(runs)
    assert not {run.digest for run in runs.values()} & {run.digest for run in rows_of(rows, profile, seed=4).values()}


def test_tables_share_their_runs(profile):
    table1, table2, table3, table4 = (
        rows_of(rows, profile)
        for rows in (state_of_the_art_rows, loss_ablation_rows, all_restoration_rows, super_resolution_rows)
    )
    plain = profile.plain.network.title
    assert table1["PS-HRNet"] == table2["SR+ID+PS"] == table3["SR+ID+PS"]
    assert table1["HRNet-ReID-H alone"] == table2["HRNet-ReID-H alone"] == rows_of(teacher_run, profile)
    assert table1["HRNet-ReID"] == table2["ID"]
    assert table1[plain] == table2[f"{plain}: ID"] == table4[f"Bilinear+{plain}"]
    assert table2[f"{plain}: SR+ID"] == table3["VDSR-CA: SR+ID"] == table4[f"VDSR-CA+{plain}"]
    start = rows_of(start_here_rows, profile)
    assert start.items() <= table2.items()
    assert list(table1)[1:] == list(rows_of(trained_rows, profile))
    assert table1["HSV histograms"].schedule.epochs == 0


def test_teachers_saw_sharp_images_only_and_modules_start_from_what_they_learnt_alone(profile):
    table2, plain = rows_of(loss_ablation_rows, profile), profile.plain.network.title
    twin = table2[f"{plain}: HR only"]
    assert twin.data.mlr.train == "none"
    assert replace(twin, data=profile.data) == table2[f"{plain}: ID"]
    assert table2[f"{plain}: ID+PS"].teacher == twin
    for module in (profile.modules.srcnn, profile.modules.rcan):
        rows = module_rows(profile, module)
        alone = profile.solo_schedule is not None
        assert rows["Solo SR"].teacher == twin
        assert rows["Solo SR"].schedule == (profile.solo_schedule or profile.plain_schedule)
        assert rows["SR+ID"].teacher == (rows["Solo SR"] if alone else None)
        assert rows["SR+ID+PS"].teacher == (rows["Solo SR"] if alone else twin)
    teacher = table2["SR+ID+PS"].teacher
    assert table2["HRNet-ReID-H alone"] in (teacher, teacher.teacher)


def test_restored_images_are_measured_wherever_a_row_restores(profile):
    for item in ITEMS.values():
        for row, run in rows_of(item.rows, profile).items():
            restores = getattr(run.method, "restoration", None) is not None or isinstance(run.method, CADNetSettings)
            expected = RESTORATION_RATES if restores and not run.evaluation.part else ()
            if item.name != "unseen_resolution":
                assert run.evaluation.restoration_rates == expected, row


def test_the_profiles_set_of_table_7_is_the_full_row_of_table_2(profile):
    full = rows_of(loss_ablation_rows, profile)["SR+ID+PS"]
    runs = rows_of(sequence_rows, profile)
    assert runs[set_title(profile.ps_hrnet.members)] == full
    assert {run.teacher for run in runs.values()} == {full.teacher}
    for run in runs.values():
        assert replace(run, method=replace(run.method, members=profile.ps_hrnet.members)) == full


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
    assert run.schedule.epochs == 0
    assert run.data.mlr.degradation.enlarge == "bicubic"
    assert run.teacher.data == profile.data
    assert profile.data.mlr.degradation.enlarge == "bilinear"


def test_restoration_is_measured_by_lpips_where_its_weights_are_given(profile):
    given = StartingWeights(perceptual="file 12")
    for rows in (restoration_rows, cad_net_rows):
        for row, run in rows_of(rows, profile, weights=given).items():
            without = rows_of(rows, profile)[row]
            assert run.evaluation == replace(without.evaluation, perceptual_weights=run.evaluation.perceptual_weights)
            assert run.evaluation.perceptual_weights == ("file 12" if run.evaluation.restoration_rates else "")
            assert run.training_digest == without.training_digest


def test_modules_of_table_4_stand_before_one_network(profile):
    runs = rows_of(super_resolution_rows, profile)
    modules, plain = profile.modules, profile.plain
    expected = [None, InterpolationSettings(), modules.srcnn, modules.vdsr, modules.rcan, modules.vdsr_ca]
    for (row, run), module in zip(runs.items(), expected, strict=True):
        scale = plain.restoration_learning_rate_scale
        if plain.restoration_optimizer == "sgd":
            scale = {modules.srcnn: 0.01, modules.rcan: 0.1}.get(module, scale)
        assert run.method == replace(plain, restoration=module, restoration_learning_rate_scale=scale)
        assert run.schedule == profile.plain_schedule
        filter_name = "bicubic" if row.startswith("Bicubic") else "bilinear"
        assert run.data.mlr.degradation.enlarge == filter_name
        assert upsampled_by(run, "bilinear").data == profile.data


@pytest.mark.parametrize("rows", [pooling_rows, backbone_rows])
def test_tables_5_and_6_are_on_sharp_images(rows, profile):
    for run in rows_of(rows, profile).values():
        assert run.data == replace(profile.data, mlr=None)
        assert run.evaluation.query_rates == ()
        assert run.schedule == profile.schedule
        assert run.teacher is None


def test_weights_go_to_the_backbones_that_they_name(profile):
    backbone = profile.plain.network.backbone
    weights = StartingWeights(of_backbone=((backbone, "timm"),))
    table1, table4 = (
        rows_of(rows, profile, weights=weights) for rows in (state_of_the_art_rows, super_resolution_rows)
    )
    assert table1[profile.plain.network.title].weights == "timm"
    assert table1["HSV histograms"].weights == table1["PS-HRNet"].weights == "random"
    assert {run.weights for run in table4.values()} == {"timm"}
    all_timm = rows_of(restoration_rows, profile, weights=StartingWeights(default="timm"))
    assert all_timm["Solo SR"].weights == "random"  # it has no backbone
    assert isinstance(all_timm["SR+ID+PS"].method, PSHRNetSettings)
    chain = with_teachers([all_timm["SR+ID+PS"]])
    assert [run.weights for run in chain if run.method.backbone_name] == ["timm", "timm"]


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


def test_parts_of_cad_net_share_its_training_and_other_rows_are_those_of_tables(profile):
    rows, table3 = rows_of(cad_net_rows, profile), rows_of(restoration_rows, profile)
    for part in ("f", "g"):
        run = rows[f"CAD-Net, {part} alone"]
        assert run.training_digest == rows["CAD-Net"].training_digest
        assert run.evaluation.part == part
    plain, table2 = profile.plain.network.title, rows_of(loss_ablation_rows, profile)
    assert all(rows[row] == table2[row] for row in (f"{plain}: ID", f"{plain}: SR+ID+PS"))
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


QUICK, PAPER = profile_settings("quick", "mlr-synthetic"), profile_settings("paper", "mlr-market-1501")


def test_differences_are_the_settings_that_are_not_the_same_in_all_rows():
    rows = rows_of(loss_ablation_rows, PAPER)
    found = differences({row: rows[row] for row in ("HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS")})
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


@pytest.mark.parametrize("name", ["smoke", "quick", "native"])
@pytest.mark.parametrize("dataset", ["mlr-synthetic", "mlr-market-1501", "caviar"])
def test_reductions_are_all_that_differs_from_the_paper(name, dataset):
    here, paper = (rows_of(start_here_rows, profile_settings(profile, dataset)) for profile in (name, "paper"))
    here, paper = ({row: rows[row] for row in ("HRNet-ReID-H alone", "SR+ID+PS")} for rows in (here, paper))
    table = reductions(here, paper)
    listed = {line.setting: (line.paper, line.here) for line in table.itertuples()}
    assert len(listed) == len(table) > 5
    assert listed["method.network.backbone"] == ("hrnet_w32", "hrnet_w18_small")
    whole = replace(paper["SR+ID+PS"], teacher=None)
    for setting in listed.keys() - {"teacher"}:
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
    seeds = {record["settings"]["seed"] for record in recorded.values()}
    weights = StartingWeights.parse("packaged")
    rows = [*(item.rows for item in ITEMS.values()), all_sequence_rows, all_cad_net_rows]
    profiles = QUICK, profile_settings("native", "mlr-market-1501")
    runs = [
        run
        for profile in profiles
        for seed in seeds
        for table in rows
        for run in rows_of(table, profile, seed=seed, weights=weights).values()
    ]
    assert recorded.keys() <= {run.digest for run in with_teachers(runs)}
    workspace = Workspace(results_dir=RECORDS.parent, runs_dir=RECORDS)
    for run in runs:
        if run.digest in recorded:
            assert find_record(run, workspace).run == canonical(run)  # refused if the images were others
