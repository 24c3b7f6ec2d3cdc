import hashlib
import json
from dataclasses import field, make_dataclass, replace
from typing import Any

import pytest

from crreid import settings as plain_settings
from crreid.data.degradation import Degradation
from crreid.data.mlr import MLRSettings
from crreid.data.pairs import Augmentation
from crreid.data.prepare import DataSettings
from crreid.evaluation.evaluate import EvaluationSettings
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, IdentityLoss, PSHRNetSettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.vdsr import VDSRSettings
from crreid.runs import Run
from crreid.training.schedule import Schedule

DEFAULT = Run(
    data=DataSettings(mlr=MLRSettings()),
    method=PSHRNetSettings(),
    teacher=Run(data=DataSettings(), method=HRNetReIDHighSettings()),
)

# The name of a run leaves out settings at their defaults. Who changes a default changes what an old name means: records
# on disk would be shown for settings that they were not measured with. So: if this fails because a default was changed,
# take the change back and set the new value where runs are made. If it fails because a setting was added whose default
# does what was done before, write the new digest here; the test of golden names below must pass as it is.
DEFAULTS = {
    Augmentation: "6bc7adcc09d9b08d",
    DataSettings: "f012b75e0bc0c422",
    Degradation: "a3997c24908c73e7",
    EvaluationSettings: "2755487501d2bce1",
    HRNetReIDHighSettings: "0399a8e88b5b7de9",
    HRNetReIDSettings: "2be8e5da46b267e8",
    IdentityLoss: "92a75864ff5188e5",
    MLRSettings: "bb4cdbeb47584ee4",
    PSHRNetSettings: "31309d28ac8d2bb7",
    Schedule: "12e2b0cf560fcecc",
    VDSRSettings: "9b5fb49d314a91f0",
    Run: "2ac513d24afd3e2e",
}


@pytest.mark.parametrize("settings", DEFAULTS, ids=lambda settings: settings.__name__)
def test_defaults_are_what_they_always_were(settings: Any) -> None:
    values = DEFAULT if settings is Run else settings()
    text = json.dumps(plain_settings.described(values), sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DEFAULTS[settings], text


def test_golden_names() -> None:
    """Written down once, so equal in every process, on every machine and in every version of Python."""
    data = DataSettings(dataset="market-1501", mlr=MLRSettings(cameras=(3,), official_queries=False))
    teacher = Run(data=data, method=HRNetReIDHighSettings(), seed=1, weights="timm")
    full = Run(data=data, method=PSHRNetSettings(), teacher=teacher, seed=1, weights="timm")
    assert teacher.digest == "642e9f51ccc849b9"
    assert full.digest == "6edba044afb92180"
    evaluated = replace(teacher, evaluation=EvaluationSettings(flip=False))
    assert (evaluated.digest, evaluated.training_digest) == ("c8cebb3f8a5c4010", teacher.digest)


def other(value: Any) -> Any:
    """A value that a setting does not have."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return (*value, 7)
    return value + 1 if isinstance(value, int | float) else f"{value} 2"


def with_other(settings: Any, name: str) -> Any:
    """Settings with another value at a dotted name; whether settings fit together does not matter."""
    first, _, rest = name.partition(".")
    inner = getattr(settings, first)
    value = with_other(inner, rest) if rest else other(list(inner) if isinstance(inner, tuple) else inner)
    copy = object.__new__(type(settings))
    copy.__dict__.update(vars(settings) | {first: value})
    return copy


LEAVES = plain_settings.leaves(plain_settings.described(DEFAULT))
NESTED = {name.rpartition(".")[0] for name in LEAVES}
SETTINGS = [name for name in LEAVES if name not in NESTED and not name.endswith("teacher")]


def test_every_setting_is_part_of_the_name() -> None:
    assert len(SETTINGS) > 90
    digests = {name: with_other(DEFAULT, name).digest for name in SETTINGS} | {"unchanged": DEFAULT.digest}
    digests["without a teacher"] = replace(DEFAULT, teacher=None).digest
    assert len(set(digests.values())) == len(digests)
    assert all(len(digest) == 16 and set(digest) <= set("0123456789abcdef") for digest in digests.values())


def test_the_evaluation_has_no_part_in_the_name_of_the_training() -> None:
    for name in SETTINGS:
        same = with_other(DEFAULT, name).training_digest == DEFAULT.training_digest
        assert same == ("evaluation." in name), name


def settings_class(**fields: Any) -> Any:
    return make_dataclass("Settings", [(k, type(v), field(default=v)) for k, v in fields.items()], frozen=True)


def test_neither_the_order_of_settings_nor_a_new_one_renames_a_run() -> None:
    old, turned = settings_class(width=1, depth=2), settings_class(depth=2, width=1)
    newer = settings_class(width=1, depth=2, dilation=1)
    name = replace(DEFAULT, method=old(width=5)).digest
    assert replace(DEFAULT, method=turned(width=5)).digest == name
    assert replace(DEFAULT, method=newer(width=5)).digest == name
    assert replace(DEFAULT, method=newer(width=5, dilation=2)).digest != name
    assert replace(DEFAULT, method=old(depth=5)).digest != name
    # both at their defaults: the class still counts
    assert replace(DEFAULT, method=old()).digest != replace(DEFAULT, method=PSHRNetSettings()).digest


def test_a_rate_is_the_same_as_whole_number_and_as_float() -> None:
    with_mlr = [replace(DEFAULT, data=DataSettings(mlr=MLRSettings(rates=rates))) for rates in ((2, 4), (2.0, 4.0))]
    assert with_mlr[0].digest == with_mlr[1].digest
