"""Rows of the study's tables as runs: what is trained behind each name that a table prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import combinations
from typing import Any

import pandas as pd

from crreid.errors import InputError
from crreid.losses.pseudo_siamese import PAPER_MEMBERS, RELEASE_MEMBERS
from crreid.methods.cad_net import CADNetSettings, cad_net_plus_plus_settings, rain_settings
from crreid.methods.colour_histogram import ColourHistogramSettings
from crreid.methods.method import MethodSettings
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, PSHRNetSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.methods.solo_restoration import SoloRestorationSettings
from crreid.models.common import ClassifierSettings, InterpolationSettings, RestorationSettings
from crreid.models.pcb import PCBSettings
from crreid.profiles import Profile, profile_settings
from crreid.runs import Run
from crreid.settings import described, leaves, with_value
from crreid.training.schedule import Schedule

RESTORATION_LEARNING_RATE_SCALES = {"SRCNN": 0.01, "RCAN": 0.1}
"""Without a skip around it, or deep and without normalisation, these diverge by SGD at the learning rate that suits the
others; SRCNN's own paper has 1e-4. Other modules, and all by Adam, learn at the profile's scale."""

BICUBIC = InterpolationSettings(filter="bicubic")

PAPER_SETS = (("seq5", "logits"), RELEASE_MEMBERS, PAPER_MEMBERS)  # members of L_PS that Table VII tried

UNSEEN_RATES = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)
"""Rates at which all systems are compared; training saw 2, 3 and 4."""


Rows = Callable[[Profile], dict[str, Run]]
"""A table's rows for one seed, the profile's: the run behind each name, in the table's order."""


def state_of_the_art_rows(profile: Profile) -> dict[str, Run]:
    """Return Table I: a yardstick without training, conventional networks, the other systems, PS-HRNet's steps."""
    histograms = profile.run(ColourHistogramSettings(), schedule=replace(profile.schedule, epochs=0))
    return {"HSV histograms": histograms} | trained_rows(profile)


def trained_rows(profile: Profile) -> dict[str, Run]:
    """Return Table I without its yardstick."""
    losses, plain = loss_ablation_rows(profile), profile.plain.network.title
    conventional = {name: _conventional(profile, network) for name, network in profile.conventional.items()}
    adversarial = {"RAIN": _with_losses_of(rain_settings(), profile.cad_net), "CAD-Net": profile.cad_net}
    return {
        f"{plain}: HR only": losses[f"{plain}: HR only"],
        **_runs(profile, conventional, schedule=profile.plain_schedule),
        **_runs(profile, adversarial, schedule=profile.adversarial_schedule),
        **_runs(profile, {"LRAR": profile.lrar}, schedule=profile.plain_schedule),
        f"{plain}: SR+ID+PS": losses[f"{plain}: SR+ID+PS"],
        "HRNet-ReID-H alone": losses["HRNet-ReID-H alone"],
        "HRNet-ReID": losses["ID"],
        "PS-HRNet": losses["SR+ID+PS"],
    }


def teacher_run(profile: Profile) -> Run:
    """Return HRNet-ReID-H, phase 1 of PS-HRNet."""
    high = HRNetReIDHighSettings(network=profile.ps_hrnet.network, identity=profile.ps_hrnet.identity)
    return profile.run(high)


def plain_teacher_run(profile: Profile) -> Run:
    """Return the plain network trained on high-resolution images only."""
    mlr = profile.data.mlr
    data = profile.data if mlr is None else replace(profile.data, mlr=replace(mlr, train="none"))
    return profile.run(profile.plain, schedule=profile.plain_schedule, data=data)


def loss_ablation_rows(profile: Profile) -> dict[str, Run]:
    """Return Table II: PS-HRNet's teacher alone, ID, SR+ID and SR+ID+PS, the whole; the same steps on a plain network.

    SR stands for the profile's VDSR-CA; the plain network has L_PS without it, too.
    """
    teacher, twin, whole = teacher_run(profile), plain_teacher_run(profile), profile.ps_hrnet
    ours = _with_module(profile, whole, teacher, profile.schedule)
    ours |= {
        "ID": profile.run(replace(whole, restoration=None, pseudo_siamese_weight=0)),
        "HRNet-ReID-H alone": teacher,
    }
    plain, schedule = module_rows(profile, profile.modules.vdsr_ca), profile.plain_schedule
    guided = replace(profile.plain, pseudo_siamese_weight=whole.pseudo_siamese_weight)
    plain |= {"HR only": twin, "ID": profile.run(profile.plain, schedule=schedule)}
    plain |= {"ID+PS": profile.run(guided, schedule=schedule, teacher=twin)}
    rows = {row: ours[row] for row in ("HRNet-ReID-H alone", "ID", "SR+ID", "SR+ID+PS")}
    network, steps = profile.plain.network.title, ("HR only", "ID", "ID+PS", "SR+ID", "SR+ID+PS")
    return rows | {f"{network}: {step}": plain[step] for step in steps}


def module_rows(profile: Profile, module: RestorationSettings) -> dict[str, Run]:
    """Return what a module does alone, before the plain network, and before one that a sharp-sighted twin guides."""
    whole = replace(profile.plain, restoration=module, pseudo_siamese_weight=profile.ps_hrnet.pseudo_siamese_weight)
    if whole.restoration_optimizer == "sgd":
        scale = RESTORATION_LEARNING_RATE_SCALES.get(module.title, whole.restoration_learning_rate_scale)
        whole = replace(whole, restoration_learning_rate_scale=scale)
    return _with_module(profile, whole, plain_teacher_run(profile), profile.plain_schedule)


def start_here_rows(profile: Profile) -> dict[str, Run]:
    """Return networks that saw sharp images only, whose curves show the problem, and what became of them."""
    rows, plain = loss_ablation_rows(profile), profile.plain.network.title
    names = (f"{plain}: HR only", f"{plain}: ID", f"{plain}: SR+ID+PS", "HRNet-ReID-H alone", "SR+ID+PS")
    return {row: rows[row] for row in names}


def restoration_rows(profile: Profile) -> dict[str, Run]:
    """Return Table III: bicubic and solo SR before PS-HRNet's teacher, then two rows of Table II; images measured."""
    rows = _with_module(profile, profile.ps_hrnet, teacher_run(profile), profile.schedule)
    nothing = replace(rows["Solo SR"], method=SoloRestorationSettings(restoration=BICUBIC))
    nothing = replace(nothing, schedule=replace(nothing.schedule, epochs=0))
    return {"Bicubic": upsampled_by(nothing, BICUBIC.filter)} | rows


def all_restoration_rows(profile: Profile) -> dict[str, Run]:
    """Return Table III, SR+ID by SGD as both sources have it, and all modules of Table IV before the plain network."""
    rows, whole = restoration_rows(profile), profile.ps_hrnet
    sources = replace(whole, pseudo_siamese_weight=0, restoration_optimizer="sgd", identity_gradient=True)
    for source, scale in {"printed": 0.1, "released": 1.0}.items():
        method = replace(sources, restoration_learning_rate_scale=scale)
        rows[f"SR+ID as {source}"] = profile.run(method)
    for module in _modules(profile):
        of_module = module_rows(profile, module)
        rows |= {f"{module.title}: {row}": run for row, run in of_module.items()}
    return rows


def super_resolution_rows(profile: Profile) -> dict[str, Run]:
    """Return Table IV: no module, bicubic images, and four modules before the plain network, trained together."""
    network = profile.plain.network.title
    bicubic = replace(profile.plain, restoration=BICUBIC)
    rows = {
        "Bilinear": profile.run(profile.plain, schedule=profile.plain_schedule),
        "Bicubic": upsampled_by(profile.run(bicubic, schedule=profile.plain_schedule), BICUBIC.filter),
    }
    for module in _modules(profile):
        rows[module.title] = module_rows(profile, module)["SR+ID"]
    return {f"{row}+{network}": run for row, run in rows.items()}


def pooling_rows(profile: Profile) -> dict[str, Run]:
    """Return Table V: HRNet-ReID with average, maximum and both poolings, on high-resolution images."""
    poolings = {"AAP": "average", "AMP": "maximum", "AAP+AMP": "both"}
    whole = profile.ps_hrnet
    usual = HRNetReIDHighSettings(network=whole.network, identity=whole.identity)
    methods = {row: replace(usual, network=replace(usual.network, pooling=name)) for row, name in poolings.items()}
    return _runs(_high_resolution(profile), methods)


def backbone_rows(profile: Profile) -> dict[str, Run]:
    """Return Table VI: networks on high-resolution images, by one recipe; HRNet-ReID is Table V's last row."""
    names = ("ResNet-50", "PCB", "DenseNet-121", "HRNet-W32-C")
    methods = {
        name: _conventional(replace(profile, plain=RestoreAndIdentifySettings()), profile.backbones[name])
        for name in names
    }
    rows = _runs(_high_resolution(profile), methods)
    return rows | {"HRNet-ReID": pooling_rows(profile)["AAP+AMP"]}


def sequence_rows(profile: Profile) -> dict[str, Run]:
    """Return Table VII: the three sets of members of L_PS that the paper tried."""
    rows = all_sequence_rows(profile)
    return {title: rows[title] for title in map(set_title, PAPER_SETS)}


def all_sequence_rows(profile: Profile) -> dict[str, Run]:
    """Return Table VII without a limit of time: all 63 non-empty sets of the six members."""
    full = loss_ablation_rows(profile)["SR+ID+PS"]
    assert isinstance(full.method, PSHRNetSettings)
    sets = [chosen for size in range(1, 7) for chosen in combinations(RELEASE_MEMBERS, size)]
    return {set_title(members): replace(full, method=replace(full.method, members=members)) for members in sets}


def cad_net_rows(profile: Profile) -> dict[str, Run]:
    """Return the poster's tables: CAD-Net, four ablations, its parts f and g alone; its baseline; restoration alone."""
    ablation = {
        "CAD-Net": profile.cad_net,
        "CAD-Net without D_I": replace(profile.cad_net, image_adversary_weight=0.0),
        "CAD-Net without D_F": replace(profile.cad_net, feature_adversary_weight=0.0),
        "CAD-Net without L_rec": replace(profile.cad_net, restoration_weight=0.0),
        "CAD-Net without L_cls": replace(profile.cad_net, classification_weight=0.0),
    }
    rows = _runs(profile, ablation, schedule=profile.adversarial_schedule)
    tests = replace(rows["CAD-Net"].evaluation, restoration_rates=(), perceptual_weights="")
    parts = {part: replace(rows["CAD-Net"], evaluation=replace(tests, part=part)) for part in ("f", "g")}
    rows |= {f"CAD-Net, {part} alone": run for part, run in parts.items()}
    losses = loss_ablation_rows(profile)
    plain = profile.plain.network.title
    rows |= {row: losses[row] for row in (f"{plain}: ID", f"{plain}: SR+ID+PS")}
    return rows | {"Bicubic": restoration_rows(profile)["Bicubic"]}


def all_cad_net_rows(profile: Profile) -> dict[str, Run]:
    """Return `cad_net_rows` and what CAD-Net's authors did before and after: RAIN, CAD-Net++, half of the labels."""
    others = {
        "RAIN": _with_losses_of(rain_settings(), profile.cad_net),
        "CAD-Net++": _with_losses_of(cad_net_plus_plus_settings(), profile.cad_net),
        "CAD-Net, half of the labels": replace(profile.cad_net, labelled_fraction=0.5),
    }
    rows = cad_net_rows(profile)
    return rows | _runs(profile, others, schedule=profile.adversarial_schedule)


def lrar_rows(profile: Profile) -> dict[str, Run]:
    """Return LRAR's mechanisms one after the other, and the whole of it with the queries' level off by one."""
    whole = profile.lrar
    mechanisms = {
        "Baseline": replace(whole, varying_length=False, masks=None, verification_weight=0.0, progressive=False),
        "+ varying length": replace(whole, masks=None, verification_weight=0.0, progressive=False),
        "+ masks": replace(whole, verification_weight=0.0, progressive=False),
        "+ verification": replace(whole, progressive=False),
        "+ progressive = LRAR": whole,
    }
    rows = _runs(profile, mechanisms, schedule=profile.plain_schedule)
    lrar = rows["+ progressive = LRAR"]
    wrong = {"LRAR, told one level too sharp": -1.0, "LRAR, told one level too coarse": 1.0}
    return rows | {
        row: replace(lrar, evaluation=replace(lrar.evaluation, rate_error=error)) for row, error in wrong.items()
    }


def unseen_resolution_rows(profile: Profile) -> dict[str, Run]:
    """Return every system of Table I, evaluated at rates that training saw and at others."""
    return {
        row: replace(run, evaluation=replace(profile.evaluation, query_rates=UNSEEN_RATES))
        for row, run in state_of_the_art_rows(profile).items()
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


def _runs(profile: Profile, methods: Mapping[str, MethodSettings], **changes: Any) -> dict[str, Run]:
    return {row: profile.run(method, **changes) for row, method in methods.items()}


def _conventional(profile: Profile, network: ClassifierSettings) -> RestoreAndIdentifySettings:
    """Return the plain method on another network; PCB's paper knows no metric loss."""
    settings = replace(profile.plain, network=network)
    return replace(settings, triplet_weight=0.0) if isinstance(network, PCBSettings) else settings


def _modules(profile: Profile) -> tuple[RestorationSettings, ...]:
    modules = profile.modules
    return modules.srcnn, modules.vdsr, modules.rcan, modules.vdsr_ca


def _with_module(
    profile: Profile, whole: PSHRNetSettings | RestoreAndIdentifySettings, teacher: Run, schedule: Schedule
) -> dict[str, Run]:
    """Return the module of a method alone, before its network, and the whole method, which the teacher guides.

    Alone it learns by a schedule of its own, from where the others then start, or else as it learns before the network.
    """
    solo = SoloRestorationSettings(restoration=whole.restoration, restoration_optimizer=whole.restoration_optimizer)
    if profile.solo_schedule is None:
        solo = replace(solo, restoration_learning_rate_scale=whole.restoration_learning_rate_scale)
    alone = profile.run(solo, teacher=teacher, schedule=profile.solo_schedule or schedule)
    without, start = replace(whole, pseudo_siamese_weight=0), None if profile.solo_schedule is None else alone
    return {
        "Solo SR": alone,
        "SR+ID": profile.run(without, teacher=start, schedule=schedule),
        "SR+ID+PS": profile.run(whole, teacher=start or teacher, schedule=schedule),
    }


def _high_resolution(profile: Profile) -> Profile:
    """Return the profile on the data set's own test: nothing is downsampled."""
    evaluation = replace(profile.evaluation, query_rates=())
    return replace(profile, data=replace(profile.data, mlr=None), evaluation=evaluation)


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
        ("table3_restoration_quality", "Table III: restoration quality", all_restoration_rows),
        ("table4_super_resolution_modules", "Table IV: super-resolution modules", super_resolution_rows),
        ("table5_pooling", "Table V: pooling", pooling_rows),
        ("table6_backbones", "Table VI: backbones", backbone_rows),
        ("table7_sequence_combinations", "Table VII: members of the pseudo-siamese loss", sequence_rows),
        ("figure5_restored_images", "Figure 5: restored images", restoration_rows),
        ("cad_net", "CAD-Net: recover and identify", cad_net_rows),
        ("lrar", "LRAR: descriptors that follow the resolution", lrar_rows),
        ("unseen_resolution", "All systems at resolutions that training did not see", unseen_resolution_rows),
        ("costs", "What each method costs", trained_rows),
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
    rows = [item.rows(paper) for item in ITEMS.values()]
    return {name for runs in rows for run in runs.values() for name in _settings(run)}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"({_text(item)})" if isinstance(item, list) else _text(item) for item in value) or "none"
    return "none" if value is None else str(value)
