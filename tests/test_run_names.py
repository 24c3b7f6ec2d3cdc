import hashlib
import json
from collections.abc import Iterator
from dataclasses import field, make_dataclass, replace
from typing import Any

import pytest

from crreid import settings as plain_settings
from crreid.data.augmentation import Augmentation
from crreid.data.degradation import Degradation
from crreid.data.mlr import MLRSettings
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
    DataSettings: "128a2a92d6911ff7",
    Degradation: "a3997c24908c73e7",
    EvaluationSettings: "2755487501d2bce1",
    HRNetReIDHighSettings: "251995695a3c9aee",
    HRNetReIDSettings: "a841aca6447b3b9a",
    IdentityLoss: "92a75864ff5188e5",
    MLRSettings: "bb4cdbeb47584ee4",
    PSHRNetSettings: "83ff16456c8e2d11",
    Schedule: "04761a590f205662",
    VDSRSettings: "9b5fb49d314a91f0",
    Run: "499e17f101e01bea",
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


def other_values() -> dict[str, Any]:
    """For every setting of DEFAULT, a value that is not its default."""
    identity = {
        "cross_entropy_weight": 1.0,
        "triplet_weight": 0.3,
        "margin": 0.1,
        "smoothing": 0.2,
    }
    network = {
        "backbone": "hrnet_w18",
        "backbone_options": (("stem_width", 32),),
        "pooling": "average",
        "grids": (2, 4, 2, 1),
        "maximum_weights": (1.0, 1.0, 1.0, 1.0),
        "feature_length": 256,
        "dropout": 0.0,
    }
    return {
        "data.dataset": "viper",
        "data.split": 1,
        "data.mlr.cameras": (1,),
        "data.mlr.rates": (2, 3),
        "data.mlr.train_rates": (1, 2, 3, 4),
        "data.mlr.per": "camera",
        "data.mlr.train": "none",
        "data.mlr.official_queries": False,
        "data.mlr.distractors": True,
        "data.mlr.degradation.shrink": "bilinear",
        "data.mlr.degradation.enlarge": "bicubic",
        "data.mlr.degradation.antialias": False,
        "data.mlr.degradation.jpeg_quality": 90,
        "data.mlr.seed": 1,
        "data.train_identities": 5,
        "data.test_identities": 5,
        "data.version": "2",
        **{f"method.network.{name}": value for name, value in network.items()},
        "method.restoration.depth": 10,
        "method.restoration.width": 32,
        "method.restoration.attention_channels": None,
        "method.restoration.initialisation": "identity",
        **{f"method.identity.{name}": value for name, value in identity.items()},
        "method.restoration_weight": 1.0,
        "method.pseudo_siamese_weight": 0,
        "method.members": ("seq5", "logits"),
        "method.restoration_learning_rate_scale": 0.1,
        "schedule.epochs": 70,
        "schedule.identities_per_batch": 4,
        "schedule.images_per_identity": 6,
        "schedule.learning_rate": 0.01,
        "schedule.warmup_epochs": 0,
        "schedule.warmup_learning_rate": 1e-4,
        "schedule.ramp": True,
        "schedule.decay": "cosine",
        "schedule.milestones": (),
        "schedule.decay_factor": 0.5,
        "schedule.momentum": 0.8,
        "schedule.nesterov": False,
        "schedule.weight_decay": 0.0,
        "schedule.precision": "fp32",
        "evaluation.flip": False,
        "evaluation.draws": 10,
        "evaluation.query_rates": (2,),
        "evaluation.restoration_rates": (2,),
        "evaluation.perceptual_weights": "file 0",
        "evaluation.part": "f",
        "evaluation.rate_error": 1,
        "size": (384, 128),
        "augmentation.mirror": 0.0,
        "augmentation.padding": 0,
        "weights": "timm",
        "teacher": None,
        "seed": 1,
    }


def changed(settings: Any, name: str, value: Any) -> Any:
    """Settings with the value at a dotted name; a check that two settings must fit together is none of ours here."""
    first, _, rest = name.partition(".")
    value = changed(getattr(settings, first), rest, value) if rest else value
    copy = object.__new__(type(settings))
    copy.__dict__.update(vars(settings) | {first: value})
    return copy


def names(described: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in described.items():
        if isinstance(value, dict) and name != "teacher":
            yield from names(value, f"{prefix}{name}.")
        elif name != "type":
            yield f"{prefix}{name}"


def test_every_setting_is_part_of_the_name() -> None:
    values = other_values()
    assert set(values) == set(names(plain_settings.described(DEFAULT)))  # whoever adds a setting adds it above
    digests = {name: changed(DEFAULT, name, value).digest for name, value in values.items()}
    digests["unchanged"] = DEFAULT.digest
    digests["teacher.seed"] = changed(DEFAULT, "teacher.seed", 4).digest
    assert len(set(digests.values())) == len(digests)
    assert all(len(digest) == 16 and set(digest) <= set("0123456789abcdef") for digest in digests.values())


def test_the_test_has_no_part_in_the_name_of_the_training() -> None:
    for name, value in other_values().items():
        same = changed(DEFAULT, name, value).training_digest == DEFAULT.training_digest
        assert same == name.startswith("evaluation."), name


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


def test_description_is_plain_json_and_complete() -> None:
    described = plain_settings.described(DEFAULT)
    assert json.loads(json.dumps(described)) == described
    assert described["type"] == "Run"
    assert described["method"]["restoration"]["depth"] == 20
    assert described["method"]["members"] == ["seq1", "seq4", "seq5", "logits"]
    assert described["teacher"]["method"]["type"] == "HRNetReIDHigh"
    assert described["schedule"]["momentum"] == 0.9  # also what is at its default
