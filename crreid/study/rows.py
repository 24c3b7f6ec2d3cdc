"""Rows of the study's tables as runs: what is trained for each name that a table prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Protocol

from crreid.evaluation.evaluate import EvaluationSettings
from crreid.losses.pseudo_siamese import PAPER_MEMBERS, RELEASE_MEMBERS
from crreid.methods.cad_net import CADNetSettings, rain_settings
from crreid.methods.lrar import LRARSettings
from crreid.methods.method import MethodSettings
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, PSHRNetSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.methods.solo_restoration import SoloRestorationSettings
from crreid.models.interpolation import InterpolationSettings
from crreid.models.restoration import RestorationSettings
from crreid.profiles import Profile
from crreid.runs import Run
from crreid.starting_weights import StartingWeights

__all__ = [
    "CONVENTIONAL",
    "Rows",
    "all_sequence_rows",
    "backbone_rows",
    "cad_net_run",
    "enlarged_by",
    "loss_ablation_rows",
    "lrar_run",
    "pooling_rows",
    "restoration_rows",
    "sequence_rows",
    "set_title",
    "start_here_rows",
    "state_of_the_art_rows",
    "super_resolution_rows",
    "teacher_run",
    "with_losses_of",
]

RESTORATION_LEARNING_RATE_SCALES = {"SRCNN+ResNet-50": 0.01, "RCAN+ResNet-50": 0.1}
"""Without a skip around it, or deep and without normalisation, these diverge at the rate that suits the others; SRCNN's
own paper has 1e-4. Other modules learn at the profile's scale."""

RESTORATION_RATES = (2.0, 3.0, 4.0, 8.0)
"""Rates at which Table III measures images: the protocol's, and one that no training saw."""


class Rows(Protocol):
    """A table's rows for one seed: the run behind each name, in the table's order."""

    def __call__(self, profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
        """Runs by the rows' names."""
        ...


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
    """Table I: the conventional networks, the other systems, PS-HRNet's teacher alone, and PS-HRNet."""
    conventional = {
        row: _compared(profile).run(settings(profile), seed=seed, weights=weights)
        for row, settings in CONVENTIONAL.items()
    }
    rivals = {
        "RAIN": cad_net_run(profile, with_losses_of(rain_settings(), profile.cad_net), seed=seed, weights=weights),
        "CAD-Net": cad_net_run(profile, profile.cad_net, seed=seed, weights=weights),
        "LRAR": lrar_run(profile, profile.lrar, seed=seed, weights=weights),
    }
    ours = loss_ablation_rows(profile, seed=seed, weights=weights)
    return conventional | rivals | {"HRNet-ReID-H alone": ours["HRNet-ReID-H alone"], "PS-HRNet": ours["SR+ID+PS"]}


def cad_net_run(profile: Profile, settings: CADNetSettings, *, seed: int, weights: StartingWeights) -> Run:
    """CAD-Net, or what else its settings make of it, on the schedule of adversarial trainings."""
    adversarial = replace(_compared(profile), schedule=profile.adversarial_schedule)
    return adversarial.run(settings, seed=seed, weights=weights)


def with_losses_of(settings: CADNetSettings, networks: CADNetSettings) -> CADNetSettings:
    """The losses of some settings, on the networks and at the rates of others."""
    return replace(
        networks,
        recovery=settings.recovery,
        image_adversary_weight=settings.image_adversary_weight,
        adversary_stages=settings.adversary_stages,
        consistency_weight=settings.consistency_weight,
    )


def lrar_run(profile: Profile, settings: LRARSettings, *, seed: int, weights: StartingWeights) -> Run:
    """LRAR or some of its mechanisms."""
    return _compared(profile).run(settings, seed=seed, weights=weights)


def teacher_run(profile: Profile, *, seed: int, weights: StartingWeights) -> Run:
    """HRNet-ReID-H, phase 1 of PS-HRNet."""
    return profile.run(HRNetReIDHighSettings(network=profile.network), seed=seed, weights=weights)


def loss_ablation_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Table II: the teacher tested alone, then ID, SR+ID and SR+ID+PS; the last is the whole PS-HRNet."""
    teacher = teacher_run(profile, seed=seed, weights=weights)
    whole = PSHRNetSettings(
        network=profile.network,
        restoration=profile.restoration,
        restoration_learning_rate_scale=profile.restoration_learning_rate_scale,
    )
    methods = (
        PSHRNetSettings(network=profile.network, restoration=None, pseudo_siamese_weight=0),
        replace(whole, pseudo_siamese_weight=0),
        whole,
    )
    runs = [
        profile.run(method, seed=seed, weights=weights, teacher=teacher if method.needs_teacher else None)
        for method in methods
    ]
    return {run.method.title: run for run in (teacher, *runs)}


def start_here_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """The teacher, whose curve shows the problem, and the whole PS-HRNet."""
    rows = loss_ablation_rows(profile, seed=seed, weights=weights)
    return {row: rows[row] for row in ("HRNet-ReID-H alone", "SR+ID+PS")}


def restoration_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Table III: bicubic and solo SR before PS-HRNet's teacher, then two rows of Table II; images are measured too."""
    teacher = teacher_run(profile, seed=seed, weights=weights)
    bicubic = InterpolationSettings(filter="bicubic")
    nothing_to_learn = replace(profile, schedule=replace(profile.schedule, epochs=0))
    rows = {
        "Bicubic": enlarged_by(
            nothing_to_learn.run(
                SoloRestorationSettings(restoration=bicubic), seed=seed, weights=weights, teacher=teacher
            ),
            bicubic.filter,
        ),
        "Solo SR": profile.run(
            SoloRestorationSettings(restoration=profile.restoration), seed=seed, weights=weights, teacher=teacher
        ),
    }
    ablation = loss_ablation_rows(profile, seed=seed, weights=weights)
    rows |= {row: ablation[row] for row in ("SR+ID", "SR+ID+PS")}
    tests = restoration_tests(profile, weights)
    return {row: replace(run, evaluation=tests) for row, run in rows.items()}


def restoration_tests(profile: Profile, weights: StartingWeights) -> EvaluationSettings:
    """Table III's tests: retrieval and restored images at RESTORATION_RATES."""
    return replace(
        profile.evaluation,
        query_rates=RESTORATION_RATES,
        restoration_rates=RESTORATION_RATES,
        perceptual_weights=weights.perceptual,
    )


def super_resolution_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Table IV: five modules before ResNet-50, trained together."""
    bicubic = InterpolationSettings(filter="bicubic")
    modules: dict[str, RestorationSettings] = {
        "Bicubic+ResNet-50": bicubic,
        "SRCNN+ResNet-50": profile.modules.srcnn,
        "VDSR+ResNet-50": profile.modules.vdsr,
        "RCAN+ResNet-50": profile.modules.rcan,
        "VDSR-CA+ResNet-50": profile.modules.vdsr_ca,
    }
    usual = profile.restoration_learning_rate_scale
    rows = {
        row: _compared(profile).run(
            RestoreAndIdentifySettings(
                network=profile.conventional.resnet,
                restoration=module,
                restoration_learning_rate_scale=RESTORATION_LEARNING_RATE_SCALES.get(row, usual),
            ),
            seed=seed,
            weights=weights,
        )
        for row, module in modules.items()
    }
    return rows | {"Bicubic+ResNet-50": enlarged_by(rows["Bicubic+ResNet-50"], bicubic.filter)}


def pooling_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Table V: HRNet-ReID with average, maximum and both poolings, on high-resolution images."""
    poolings = {"AAP": "average", "AMP": "maximum", "AAP+AMP": "both"}
    return {
        row: _sharp(profile).run(
            HRNetReIDHighSettings(network=replace(profile.network, pooling=pooling)), seed=seed, weights=weights
        )
        for row, pooling in poolings.items()
    }


def backbone_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Table VI: networks on high-resolution images, by one recipe; HRNet-ReID is Table V's last row."""
    rows = {
        row: _sharp(profile).run(CONVENTIONAL[row](profile), seed=seed, weights=weights)
        for row in ("ResNet-50", "PCB", "DenseNet-121", "HRNet-W32-C")
    }
    return rows | {"HRNet-ReID": pooling_rows(profile, seed=seed, weights=weights)["AAP+AMP"]}


def sequence_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Table VII: the three sets of members of L_PS that the paper tried."""
    sets = (("seq5", "logits"), RELEASE_MEMBERS, PAPER_MEMBERS)
    return _sequence_runs(sets, profile, seed=seed, weights=weights)


def all_sequence_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Table VII as it would be without limits of time: all 63 non-empty sets of the six members."""
    sets = [chosen for size in range(1, 7) for chosen in combinations(RELEASE_MEMBERS, size)]
    return _sequence_runs(sets, profile, seed=seed, weights=weights)


def enlarged_by(run: Run, filter_name: str) -> Run:
    """The run on images that another filter brings to the network's size; its teacher stays as it is."""
    mlr = run.data.mlr
    if mlr is None:
        return run
    degradation = replace(mlr.degradation, enlarge=filter_name)
    return replace(run, data=replace(run.data, mlr=replace(mlr, degradation=degradation)))


def _sequence_runs(
    sets: Sequence[tuple[str, ...]], profile: Profile, *, seed: int, weights: StartingWeights
) -> dict[str, Run]:
    full = loss_ablation_rows(profile, seed=seed, weights=weights)["SR+ID+PS"]
    assert isinstance(full.method, PSHRNetSettings)
    return {set_title(members): replace(full, method=replace(full.method, members=members)) for members in sets}


def set_title(members: tuple[str, ...]) -> str:
    """As Table VII writes a set of members: `{Seq5, logits}`."""
    return f"{{{', '.join(member.replace('seq', 'Seq') for member in members)}}}"


def _compared(profile: Profile) -> Profile:
    """The profile with the schedule of runs that compare parts, and the protocol's test alone."""
    evaluation = replace(profile.evaluation, query_rates=())
    return replace(profile, schedule=profile.comparison_schedule, evaluation=evaluation)


def _sharp(profile: Profile) -> Profile:
    """The same on the data set's own test: nothing is shrunk."""
    return replace(_compared(profile), data=replace(profile.data, mlr=None))
