"""Rows of the study's tables as runs: what is trained behind each name that a table prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import combinations
from typing import Any, Protocol

import pandas as pd

from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings
from crreid.losses.pseudo_siamese import PAPER_MEMBERS, RELEASE_MEMBERS
from crreid.methods.cad_net import CADNetSettings, cad_net_plus_plus_settings, rain_settings
from crreid.methods.method import MethodSettings
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, PSHRNetSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.methods.solo_restoration import SoloRestorationSettings
from crreid.models.common import InterpolationSettings, RestorationSettings
from crreid.models.weights import RANDOM_WEIGHTS, StartingWeights
from crreid.profiles import Profile, profile_settings
from crreid.runs import Run
from crreid.settings import described, leaves, with_value

RESTORATION_LEARNING_RATE_SCALES = {"SRCNN+ResNet-50": 0.01, "RCAN+ResNet-50": 0.1}
"""Without a skip around it, or deep and without normalisation, these diverge at the learning rate that suits the
others; SRCNN's own paper has 1e-4. Other modules learn at the profile's scale."""

RESTORATION_RATES = (2.0, 3.0, 4.0, 8.0)
"""Rates at which Table III measures images: the protocol's, and one that no training saw."""

BICUBIC = InterpolationSettings(filter="bicubic")

PAPER_SETS = (("seq5", "logits"), RELEASE_MEMBERS, PAPER_MEMBERS)  # members of L_PS that Table VII tried

UNSEEN_RATES = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)
"""Rates at which all systems are compared; training saw 2, 3 and 4."""


class Rows(Protocol):
    """A table's rows for one seed: the run behind each name, in the table's order."""

    def __call__(self, profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
        """Return the runs by the rows' names."""


CONVENTIONAL: dict[str, Callable[[Profile], MethodSettings]] = {
    "ResNet-50": lambda profile: RestoreAndIdentifySettings(network=profile.conventional.resnet),
    "SE-ResNet-50": lambda profile: RestoreAndIdentifySettings(network=profile.conventional.se_resnet),
    "DenseNet-121": lambda profile: RestoreAndIdentifySettings(network=profile.conventional.densenet),
    # its paper knows no metric loss, and each stripe has a classifier
    "PCB": lambda profile: RestoreAndIdentifySettings(network=profile.conventional.pcb, triplet_weight=0),
    "HRNet-W32-C": lambda profile: RestoreAndIdentifySettings(network=profile.conventional.hrnet),
}
"""Rows of Table I that are one network trained in one phase, by the paper's names: a new method adds its line here."""


def state_of_the_art_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return Table I: the conventional networks, the other systems, PS-HRNet's teacher alone, and PS-HRNet."""
    conventional = {row: settings(profile) for row, settings in CONVENTIONAL.items()}
    adversarial = {"RAIN": _with_losses_of(rain_settings(), profile.cad_net), "CAD-Net": profile.cad_net}
    ours = loss_ablation_rows(profile, seed=seed, weights=weights)
    return {
        **_runs(_compared(profile), conventional, seed, weights),
        **_runs(_adversarial(_compared(profile)), adversarial, seed, weights),
        **_runs(_compared(profile), {"LRAR": profile.lrar}, seed, weights),
        **{"HRNet-ReID-H alone": ours["HRNet-ReID-H alone"], "PS-HRNet": ours["SR+ID+PS"]},
    }


def teacher_run(profile: Profile, *, seed: int, weights: StartingWeights) -> Run:
    """Return HRNet-ReID-H, phase 1 of PS-HRNet."""
    high = HRNetReIDHighSettings(network=profile.network, identity=profile.identity)
    return profile.run(high, seed=seed, weights=weights)


def loss_ablation_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return Table II: the teacher evaluated alone, then ID, SR+ID and SR+ID+PS, which is the whole PS-HRNet."""
    teacher = teacher_run(profile, seed=seed, weights=weights)
    alone = PSHRNetSettings(network=profile.network, identity=profile.identity, restoration=None)
    scale = profile.restoration_learning_rate_scale
    whole = replace(alone, restoration=profile.restoration, restoration_learning_rate_scale=scale)
    whole = replace(whole, members=profile.members)
    parts = {"ID": replace(alone, pseudo_siamese_weight=0), "SR+ID": replace(whole, pseudo_siamese_weight=0)}
    runs = _runs(profile, parts, seed, weights)
    guided = profile.run(whole, seed=seed, weights=weights, teacher=teacher)
    return {"HRNet-ReID-H alone": teacher, **runs, "SR+ID+PS": guided}


def start_here_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return the teacher, whose curve shows the problem, and the whole PS-HRNet."""
    rows = loss_ablation_rows(profile, seed=seed, weights=weights)
    return {row: rows[row] for row in ("HRNet-ReID-H alone", "SR+ID+PS")}


def restoration_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return Table III: bicubic and solo SR before PS-HRNet's teacher, then two rows of Table II; images measured."""
    ablation = loss_ablation_rows(profile, seed=seed, weights=weights)
    solo = SoloRestorationSettings(restoration=profile.restoration)
    solo_run = profile.run(solo, seed=seed, weights=weights, teacher=ablation["HRNet-ReID-H alone"])
    bicubic = SoloRestorationSettings(restoration=BICUBIC)
    nothing_to_learn = replace(solo_run, method=bicubic, schedule=replace(profile.schedule, epochs=0))
    rows = {"Bicubic": upsampled_by(nothing_to_learn, BICUBIC.filter), "Solo SR": solo_run}
    rows |= {row: ablation[row] for row in ("SR+ID", "SR+ID+PS")}
    return {row: replace(run, evaluation=_restoration_tests(profile, weights)) for row, run in rows.items()}


def super_resolution_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return Table IV: five modules before ResNet-50, trained together."""
    modules: dict[str, RestorationSettings] = {
        "Bicubic+ResNet-50": BICUBIC,
        "SRCNN+ResNet-50": profile.modules.srcnn,
        "VDSR+ResNet-50": profile.modules.vdsr,
        "RCAN+ResNet-50": profile.modules.rcan,
        "VDSR-CA+ResNet-50": profile.modules.vdsr_ca,
    }
    usual = profile.restoration_learning_rate_scale
    methods = {
        row: RestoreAndIdentifySettings(
            network=profile.conventional.resnet,
            restoration=module,
            restoration_learning_rate_scale=RESTORATION_LEARNING_RATE_SCALES.get(row, usual),
        )
        for row, module in modules.items()
    }
    rows = _runs(_compared(profile), methods, seed, weights)
    return rows | {"Bicubic+ResNet-50": upsampled_by(rows["Bicubic+ResNet-50"], BICUBIC.filter)}


def pooling_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return Table V: HRNet-ReID with average, maximum and both poolings, on high-resolution images."""
    poolings = {"AAP": "average", "AMP": "maximum", "AAP+AMP": "both"}
    usual = HRNetReIDHighSettings(network=profile.network, identity=profile.identity)
    methods = {row: replace(usual, network=replace(usual.network, pooling=name)) for row, name in poolings.items()}
    return _runs(_high_resolution(profile), methods, seed, weights)


def backbone_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return Table VI: networks on high-resolution images, by one recipe; HRNet-ReID is Table V's last row."""
    methods = {row: CONVENTIONAL[row](profile) for row in ("ResNet-50", "PCB", "DenseNet-121", "HRNet-W32-C")}
    rows = _runs(_high_resolution(profile), methods, seed, weights)
    return rows | {"HRNet-ReID": pooling_rows(profile, seed=seed, weights=weights)["AAP+AMP"]}


def sequence_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return Table VII: the three sets of members of L_PS that the paper tried."""
    rows = all_sequence_rows(profile, seed=seed, weights=weights)
    return {title: rows[title] for title in map(set_title, PAPER_SETS)}


def all_sequence_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return Table VII without a limit of time: all 63 non-empty sets of the six members."""
    full = loss_ablation_rows(profile, seed=seed, weights=weights)["SR+ID+PS"]
    assert isinstance(full.method, PSHRNetSettings)
    sets = [chosen for size in range(1, 7) for chosen in combinations(RELEASE_MEMBERS, size)]
    return {set_title(members): replace(full, method=replace(full.method, members=members)) for members in sets}


def cad_net_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return the poster's tables: CAD-Net, four ablations, its parts f and g alone, and two rows of Table III."""
    ablation = {
        "CAD-Net": profile.cad_net,
        "CAD-Net without D_I": replace(profile.cad_net, image_adversary_weight=0.0),
        "CAD-Net without D_F": replace(profile.cad_net, feature_adversary_weight=0.0),
        "CAD-Net without L_rec": replace(profile.cad_net, restoration_weight=0.0),
        "CAD-Net without L_cls": replace(profile.cad_net, classification_weight=0.0),
    }
    restoring = replace(profile, evaluation=_restoration_tests(profile, weights))
    rows = _runs(_adversarial(restoring), ablation, seed, weights)
    tests = replace(restoring.evaluation, restoration_rates=(), perceptual_weights="")
    parts = {part: replace(rows["CAD-Net"], evaluation=replace(tests, part=part)) for part in ("f", "g")}
    table3 = restoration_rows(profile, seed=seed, weights=weights)
    rows |= {f"CAD-Net, {part} alone": run for part, run in parts.items()}
    return rows | {"PS-HRNet": table3["SR+ID+PS"], "Bicubic": table3["Bicubic"]}


def all_cad_net_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return `cad_net_rows` and what CAD-Net's authors did before and after: RAIN, CAD-Net++, half of the labels."""
    others = {
        "RAIN": _with_losses_of(rain_settings(), profile.cad_net),
        "CAD-Net++": _with_losses_of(cad_net_plus_plus_settings(), profile.cad_net),
        "CAD-Net, half of the labels": replace(profile.cad_net, labelled_fraction=0.5),
    }
    restoring = replace(profile, evaluation=_restoration_tests(profile, weights))
    rows = cad_net_rows(profile, seed=seed, weights=weights)
    return rows | _runs(_adversarial(restoring), others, seed, weights)


def lrar_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return LRAR's mechanisms one after the other, and the whole of it with the queries' level off by one."""
    whole = profile.lrar
    mechanisms = {
        "Baseline": replace(whole, varying_length=False, masks=None, verification_weight=0.0, progressive=False),
        "+ varying length": replace(whole, masks=None, verification_weight=0.0, progressive=False),
        "+ masks": replace(whole, verification_weight=0.0, progressive=False),
        "+ verification": replace(whole, progressive=False),
        "+ progressive = LRAR": whole,
    }
    tests = replace(profile.evaluation, query_rates=(1.0, *RESTORATION_RATES))
    rows = _runs(replace(_compared(profile), evaluation=tests), mechanisms, seed, weights)
    lrar = rows["+ progressive = LRAR"]
    wrong = {"LRAR, told one level too sharp": -1.0, "LRAR, told one level too coarse": 1.0}
    return rows | {row: replace(lrar, evaluation=replace(tests, rate_error=error)) for row, error in wrong.items()}


def unseen_resolution_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Return every system of Table I, evaluated at rates that training saw and at others."""
    return {
        row: replace(run, evaluation=replace(run.evaluation, query_rates=UNSEEN_RATES))
        for row, run in state_of_the_art_rows(profile, seed=seed, weights=weights).items()
    }


def upsampled_by(run: Run, filter_name: str) -> Run:
    """Return the run on images that another filter upsamples; its teacher stays as it is."""
    if (mlr := run.data.mlr) is None:
        return run
    degradation = replace(mlr.degradation, enlarge=filter_name)
    return replace(run, data=replace(run.data, mlr=replace(mlr, degradation=degradation)))


def set_title(members: tuple[str, ...]) -> str:
    """Return a set of members as Table VII writes it: `{Seq5, logits}`."""
    return f"{{{', '.join(member.replace('seq', 'Seq') for member in members)}}}"


def _runs(
    profile: Profile, methods: Mapping[str, MethodSettings], seed: int, weights: StartingWeights
) -> dict[str, Run]:
    return {row: profile.run(method, seed=seed, weights=weights) for row, method in methods.items()}


def _compared(profile: Profile) -> Profile:
    """Return the profile with the schedule of runs that compare parts, and the protocol's test alone."""
    evaluation = replace(profile.evaluation, query_rates=())
    return replace(profile, schedule=profile.comparison_schedule, evaluation=evaluation)


def _adversarial(profile: Profile) -> Profile:
    return replace(profile, schedule=profile.adversarial_schedule)


def _high_resolution(profile: Profile) -> Profile:
    """Return the profile of compared parts on the data set's own test: nothing is downsampled."""
    return replace(_compared(profile), data=replace(profile.data, mlr=None))


def _restoration_tests(profile: Profile, weights: StartingWeights) -> EvaluationSettings:
    """Return Table III's tests: retrieval and restored images at RESTORATION_RATES."""
    tests = replace(profile.evaluation, query_rates=RESTORATION_RATES, restoration_rates=RESTORATION_RATES)
    return replace(tests, perceptual_weights=weights.perceptual)


def _with_losses_of(settings: CADNetSettings, networks: CADNetSettings) -> CADNetSettings:
    """Return the losses of some settings on the networks and at the learning rates of others."""
    names = ("recovery", "image_adversary_weight", "adversary_stages", "consistency_weight")
    return replace(networks, **{name: getattr(settings, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class StudyItem:
    """A notebook, by its file name without suffix, what it reproduces, and the rows that it shows."""

    name: str
    title: str
    rows: Rows


ITEMS = {  # in the study's order
    name: StudyItem(name=name, title=title, rows=rows)
    for name, title, rows in (
        ("00_start_here", "Figures 1 and 2: the problem and the system", start_here_rows),
        ("table1_state_of_the_art", "Table I: the state of the art", state_of_the_art_rows),
        ("table2_loss_ablation", "Table II: the losses", loss_ablation_rows),
        ("table3_restoration_quality", "Table III: restoration quality", restoration_rows),
        ("table4_super_resolution_modules", "Table IV: super-resolution modules", super_resolution_rows),
        ("table5_pooling", "Table V: pooling", pooling_rows),
        ("table6_backbones", "Table VI: backbones", backbone_rows),
        ("table7_sequence_combinations", "Table VII: members of the pseudo-siamese loss", sequence_rows),
        ("figure5_restored_images", "Figure 5: restored images", restoration_rows),
        ("cad_net", "CAD-Net: recover and identify", cad_net_rows),
        ("lrar", "LRAR: descriptors that follow the resolution", lrar_rows),
        ("unseen_resolution", "All systems at resolutions that training did not see", unseen_resolution_rows),
        ("costs", "What each method costs", state_of_the_art_rows),
    )
}


SomeRuns = Mapping[str, Run] | Mapping[str, Sequence[Run]]
"""The run of each row, or its runs of several seeds, of which the first tells the settings."""


def differences(runs: SomeRuns) -> pd.DataFrame:
    """Return the settings in which rows differ, as text by dotted names: one line per row, empty where it has none."""
    of_rows = {row: _settings(each) for row, each in runs.items()}
    names = dict.fromkeys(name for settings in of_rows.values() for name in settings)
    differ = [name for name in names if len({settings.get(name, "") for settings in of_rows.values()} - {""}) > 1]
    lines = [[settings.get(name, "") for name in differ] for settings in of_rows.values()]
    return pd.DataFrame(lines, columns=differ, index=pd.Index(of_rows, name="row"))


def reductions(runs: SomeRuns, paper_runs: SomeRuns) -> pd.DataFrame:
    """Return where rows differ from those of the profile `paper`: columns setting, paper, here, as text."""
    found: dict[tuple[str, str, str], None] = {}
    for row in runs:
        here, paper = _settings(runs[row]), _settings(paper_runs[row])
        found |= {(name, paper.get(name, ""), here[name]): None for name in here if here[name] != paper.get(name, "")}
    return pd.DataFrame(list(found), columns=["setting", "paper", "here"])


def changed(run: Run, changes: Mapping[str, Any]) -> Run:
    """Return a run with other settings, and its teacher with the same where it has them.

    `changes` goes by dotted names, e.g. `{"method.restoration_weight": 1.0, "data.mlr.cameras": [2]}`. A setting that
    this run lacks but some row of the study has is left alone; one that no row has is an InputError.
    """
    known = _settings(run).keys()
    for name, value in changes.items():
        if name not in known and name not in (every := _settings_of_study()):
            close = get_close_matches(name, every)
            hint = f"did you mean {' or '.join(close)}" if close else "e.g. schedule.epochs"
            raise InputError(f"no row of the study has a setting {name!r}; {hint}")
        try:
            run = with_value(run, name, value)
        except KeyError:  # another row's
            continue
        except TypeError as error:
            raise InputError(f"{name} must be {error}, not {value!r}") from error
    return run if run.teacher is None else replace(run, teacher=changed(run.teacher, changes))


def _settings(runs: Run | Sequence[Run]) -> dict[str, str]:
    """Return every setting of a run, the first of several, as text; a teacher by its tag."""
    run = runs if isinstance(runs, Run) else runs[0]
    plain = described(run)
    if run.teacher is not None:
        plain["teacher"] = plain["teacher"]["method"]["type"]
    return {name: _text(value) for name, value in leaves(plain).items()}


def _settings_of_study() -> set[str]:
    paper = profile_settings("paper", "mlr-synthetic")
    rows = [item.rows(paper, seed=0, weights=RANDOM_WEIGHTS) for item in ITEMS.values()]
    return {name for runs in rows for run in runs.values() for name in _settings(run)}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"({_text(item)})" if isinstance(item, list) else _text(item) for item in value) or "none"
    return "none" if value is None else str(value)
