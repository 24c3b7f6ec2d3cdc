from dataclasses import replace
from typing import Any

import pytest
from crreid.presets import as_printed, as_released

from crreid.data.augmentation import Augmentation
from crreid.data.mlr import MLRSettings
from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings
from crreid.losses.pseudo_siamese import RELEASE_MEMBERS
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, IdentityLoss
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.vdsr import VDSRSettings
from crreid.profiles import PROFILE_NAMES, Profile, profile_settings
from crreid.rows import loss_ablation_rows
from crreid.runs import Run
from crreid.starting_weights import RANDOM_WEIGHTS, StartingWeights
from crreid.training.schedule import Schedule

DATASETS = ("mlr-synthetic", "synthetic", "mlr-market-1501", "caviar", "mlr-viper")


def full_run(profile: str = "paper", dataset: str = "mlr-market-1501") -> Run:
    return loss_ablation_rows(profile_settings(profile, dataset), seed=3, weights=StartingWeights(default="timm"))[
        "SR+ID+PS"
    ]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted names and leaves of nested dictionaries."""
    if not isinstance(value, dict):
        return {prefix: value}
    parts = [flat(inner, f"{prefix}.{name}".lstrip(".")) for name, inner in value.items()]
    return {name: leaf for part in parts for name, leaf in part.items()}


def changes(before: Run, after: Run) -> dict[str, Any]:
    """Settings of `after` that are not those of `before`, by dotted name."""
    old, new = flat(before.describe()), flat(after.describe())
    assert old.keys() == new.keys()
    return {name: new[name] for name in new if new[name] != old[name]}


@pytest.mark.parametrize("dataset", DATASETS)
def test_paper_has_the_defaults_of_every_setting_and_reduces_nothing(dataset: str) -> None:
    profile = profile_settings("paper", dataset)
    assert profile.schedule == Schedule()
    assert profile.size == (256, 128)
    assert profile.augmentation == Augmentation()
    assert profile.network == HRNetReIDSettings()
    assert profile.restoration == VDSRSettings()
    assert (profile.data.train_identities, profile.data.test_identities) == (None, None)
    # more tests than the paper's change no number of its own test
    assert replace(profile.evaluation, query_rates=()) == EvaluationSettings()
    reductions = profile.reductions()
    assert list(reductions) == ["setting", "paper", "here"]
    assert reductions.empty


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", ["smoke", "quick", "reduced"])
def test_reductions_are_all_that_differs_from_the_paper(name: str, dataset: str) -> None:
    profile = profile_settings(name, dataset)
    table = profile.reductions()
    listed = {row.setting: (row.paper, row.here) for row in table.itertuples()}
    assert len(listed) == len(table) > 5
    paper, here = (
        flat(loss_ablation_rows(settings, seed=0, weights=RANDOM_WEIGHTS)["SR+ID"].describe())
        for settings in (profile_settings("paper", dataset), profile)
    )
    different = {name.removeprefix("method.") for name in here if here[name] != paper[name]}
    assert set(listed) - {"seeds"} == different
    assert listed["network.backbone"] == ("hrnet_w32", "hrnet_w18_small")


def test_reductions_of_quick_on_built_in_data() -> None:
    table = profile_settings("quick", "mlr-synthetic").reductions().set_index("setting")
    assert table.loc["size"].tolist() == ["(256, 128)", "(128, 64)"]
    assert table.loc["schedule.epochs"].tolist() == ["71", "8"]
    assert table.loc["evaluation.flip"].tolist() == ["True", "False"]
    assert table.loc["data.train_identities"].tolist() == ["None", "54"]
    assert table.loc["schedule.decay"].tolist() == ["steps", "cosine"]
    assert not {"name", "data.dataset", "data.mlr.cameras", "schedule.weight_decay"} & set(table.index)


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_a_profile_is_called_by_its_name_and_its_runs_share_its_settings(name: str) -> None:
    profile = profile_settings(name, "mlr-synthetic")
    assert isinstance(profile, Profile)
    assert profile.name == name
    run = profile.run(HRNetReIDHighSettings(network=profile.network), seed=7, weights=StartingWeights(default="timm"))
    for field in ("data", "schedule", "evaluation", "size", "augmentation"):
        assert getattr(run, field) == getattr(profile, field)
    assert (run.seed, run.weights, run.teacher) == (7, "timm", None)


def test_rows_of_the_ablation() -> None:
    profile = profile_settings("smoke", "mlr-synthetic")
    rows = loss_ablation_rows(profile, seed=2, weights=StartingWeights(default="timm"))
    assert list(rows) == ["HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS"]
    assert [run.teacher for run in rows.values()] == [None, None, None, rows["HRNet-ReID-H alone"]]
    assert {(run.seed, run.weights) for run in rows.values()} == {(2, "timm")}
    assert len({run.digest for run in rows.values()}) == 4


def test_as_printed_changes_what_the_paper_prints_otherwise_and_nothing_else() -> None:
    run = full_run()
    of_both = {
        "schedule.identities_per_batch": 4,
        "schedule.images_per_identity": 6,
        "schedule.warmup_epochs": 0,
        "evaluation.flip": False,
        "method.identity.margin": 0.1,
    }
    of_the_student = {"method.restoration.attention_channels": 16, "method.restoration_learning_rate_scale": 0.1}
    assert changes(run, as_printed(run)) == of_both | {f"teacher.{k}": v for k, v in of_both.items()} | of_the_student


def test_as_released_changes_what_the_release_does_otherwise_and_nothing_else() -> None:
    run = full_run()
    low_resolution = {"data.mlr.train": "cameras", "teacher.data.mlr.train": "cameras"}
    assert changes(run, as_released(run)) == low_resolution | {"method.members": list(RELEASE_MEMBERS)}


@pytest.mark.parametrize("preset", [as_printed, as_released])
@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_presets_keep_the_teacher_in_step(preset: Any, profile: str) -> None:
    run = preset(full_run(profile))
    teacher, student = run.teacher, run.method
    assert isinstance(teacher.method, HRNetReIDHighSettings)
    assert teacher.method.network == student.network
    assert teacher.method.identity == student.identity
    for field in ("data", "schedule", "evaluation", "size", "augmentation", "weights", "seed"):
        assert getattr(teacher, field) == getattr(run, field), field
    assert teacher.teacher is None


@pytest.mark.parametrize("preset", [as_printed, as_released])
def test_presets_of_rows_without_a_teacher(preset: Any) -> None:
    rows = loss_ablation_rows(profile_settings("quick", "mlr-synthetic"), seed=0, weights=StartingWeights())
    for title in ("ID", "SR+ID"):
        run = preset(rows[title])
        assert run.teacher is None
        assert run.method.title == title
    assert preset(rows["ID"]).method.restoration is None


@pytest.mark.parametrize("preset", [as_printed, as_released])
def test_presets_are_complete_whatever_they_start_from(preset: Any) -> None:
    run = full_run()
    odd = replace(run, method=replace(run.method, members=("seq5", "logits"), identity=IdentityLoss(margin=9)))
    assert preset(odd) == preset(run)
    assert preset(preset(run)) == preset(run)


@pytest.mark.parametrize(("profile", "width", "bottleneck"), [("paper", 64, 16), ("quick", 16, 4), ("smoke", 8, 2)])
def test_the_printed_ratio_of_channel_attention_is_four_at_every_width(
    profile: str, width: int, bottleneck: int
) -> None:
    restoration = as_printed(full_run(profile)).method.restoration
    assert (restoration.width, restoration.attention_channels) == (width, bottleneck)


def test_plain_vdsr_stays_plain_as_printed() -> None:
    run = full_run()
    plain = replace(run, method=replace(run.method, restoration=VDSRSettings(attention_channels=None)))
    assert as_printed(plain).method.restoration == VDSRSettings(attention_channels=None)


def test_presets_are_for_ps_hrnet() -> None:
    teacher = full_run().teacher
    for preset in (as_printed, as_released):
        with pytest.raises(InputError, match="this preset is for PS-HRNet, not for HRNet-ReID-H alone"):
            preset(teacher)


@pytest.mark.parametrize("mlr", [None, MLRSettings()])
def test_the_release_needs_a_low_resolution_camera(mlr: MLRSettings | None) -> None:
    run = full_run("quick", "synthetic")
    with pytest.raises(InputError, match="synthetic has no low-resolution camera to train on"):
        as_released(replace(run, data=replace(run.data, mlr=mlr)))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="unknown profile 'huge'; expected one of smoke, quick, reduced, paper"):
        profile_settings("huge", "mlr-synthetic")
    for dataset in ("market1501", "mlr-market1501"):
        with pytest.raises(InputError, match=r"no data set 'market1501'; .* did you mean 'market-1501'"):
            profile_settings("quick", dataset)
