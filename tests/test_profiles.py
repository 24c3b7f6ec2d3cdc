from dataclasses import replace
from typing import Any

import pytest

from crreid.data.pairs import Augmentation
from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings
from crreid.losses.pseudo_siamese import RELEASE_MEMBERS
from crreid.methods.ps_hrnet import PSHRNetSettings
from crreid.models.weights import StartingWeights
from crreid.profiles import PROFILE_NAMES, RESTORATION_RATES, Profile, RestorationModules, profile_settings
from crreid.rows import loss_ablation_rows
from crreid.runs import Run
from crreid.settings import described, leaves
from crreid.training.schedule import Schedule

DATASETS = ("mlr-synthetic", "synthetic", "mlr-market-1501", "caviar", "mlr-viper")


def full_run(profile: str = "paper", dataset: str = "mlr-market-1501") -> Run:
    settings = replace(profile_settings(profile, dataset), seed=3, weights=StartingWeights(default="timm"))
    return loss_ablation_rows(settings)["SR+ID+PS"]


def changes(before: Run, after: Run) -> dict[str, Any]:
    """Settings of `after` that are not those of `before`, by dotted name."""
    old, new = leaves(described(before)), leaves(described(after))
    assert old.keys() == new.keys()
    return {name: new[name] for name in new if new[name] != old[name]}


@pytest.mark.parametrize("dataset", DATASETS)
def test_paper_has_the_defaults_of_every_setting(dataset: str) -> None:
    profile = profile_settings("paper", dataset)
    run = full_run(dataset=dataset)
    assert run.method == PSHRNetSettings()
    assert (run.schedule, run.size, run.augmentation) == (Schedule(), (256, 128), Augmentation())
    assert (profile.data.train_identities, profile.data.test_identities) == (None, None)
    # more tests than the paper's change no number of its own test
    assert replace(profile.evaluation, query_rates=()) == EvaluationSettings()


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_a_profile_is_called_by_its_name_and_its_runs_share_its_settings(name: str) -> None:
    profile = profile_settings(name, "mlr-synthetic")
    assert isinstance(profile, Profile)
    assert profile.name == name
    run = replace(profile, seed=7, weights=StartingWeights(default="timm")).run(profile.lrar)
    for field in ("data", "schedule", "evaluation", "size", "augmentation"):
        assert getattr(run, field) == getattr(profile, field)
    assert (run.seed, run.weights, run.teacher) == (7, "timm", None)
    tests = replace(profile.evaluation, restoration_rates=RESTORATION_RATES)
    assert profile.run(profile.ps_hrnet).evaluation == tests
    assert profile.run(profile.lrar, size=(8, 4)).size == (8, 4)


def test_printed_changes_what_the_paper_prints_otherwise_and_nothing_else() -> None:
    of_both = {
        "schedule.epochs": 70,
        "schedule.identities_per_batch": 4,
        "schedule.images_per_identity": 6,
        "schedule.warmup_epochs": 0,
        "evaluation.flip": False,
        "method.identity.margin": 0.1,
    }
    of_the_student = {"method.restoration.attention_channels": 16, "method.restoration_learning_rate_scale": 0.1}
    expected = of_both | {f"teacher.{name}": value for name, value in of_both.items()} | of_the_student
    assert changes(full_run(), full_run("printed")) == expected
    profile = profile_settings("printed", "mlr-market-1501")
    assert profile.plain_schedule == profile.schedule
    assert profile.modules == replace(RestorationModules(), vdsr_ca=profile.ps_hrnet.restoration)


def test_released_changes_what_the_release_does_otherwise_and_nothing_else() -> None:
    low_resolution = {"data.mlr.train": "cameras", "teacher.data.mlr.train": "cameras"}
    assert changes(full_run(), full_run("released")) == low_resolution | {"method.members": list(RELEASE_MEMBERS)}


@pytest.mark.parametrize("dataset", ["synthetic", "caviar"])
def test_the_release_needs_a_low_resolution_camera(dataset: str) -> None:
    with pytest.raises(InputError, match=f"{dataset} has no low-resolution camera to train on"):
        profile_settings("released", dataset)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown profile 'huge'; expected one of smoke, .*paper, printed, released"):
        profile_settings("huge", "mlr-synthetic")
    for dataset in ("market1501", "mlr-market1501"):
        with pytest.raises(InputError, match=rf"no data set '{dataset}'; .* did you mean 'market-1501'"):
            profile_settings("quick", dataset)
