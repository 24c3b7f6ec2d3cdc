"""Rows of the notebooks about other systems than PS-HRNet, as runs, and of the one that compares all systems."""

from __future__ import annotations

from dataclasses import replace

from crreid.methods.cad_net import CADNetSettings, cad_net_plus_plus_settings, rain_settings
from crreid.profiles import Profile
from crreid.runs import Run
from crreid.starting_weights import StartingWeights
from crreid.study.rows import (
    RESTORATION_RATES,
    cad_net_run,
    lrar_run,
    restoration_rows,
    restoration_tests,
    state_of_the_art_rows,
    with_losses_of,
)

__all__ = ["UNSEEN_RATES", "all_cad_net_rows", "cad_net_rows", "lrar_rows", "unseen_resolution_rows"]

UNSEEN_RATES = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)
"""Rates at which all systems are compared; training saw 2, 3 and 4."""


def cad_net_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """The poster's tables: CAD-Net, its parts f and g alone, four ablations, and two rows of Table III beside them."""
    settings = {
        "CAD-Net": profile.cad_net,
        "CAD-Net without D_I": replace(profile.cad_net, image_adversary_weight=0.0),
        "CAD-Net without D_F": replace(profile.cad_net, feature_adversary_weight=0.0),
        "CAD-Net without L_rec": replace(profile.cad_net, restoration_weight=0.0),
        "CAD-Net without L_cls": replace(profile.cad_net, classification_weight=0.0),
    }
    rows = _restoring(profile, settings, seed=seed, weights=weights)
    whole = rows["CAD-Net"]
    of_part = replace(whole.evaluation, restoration_rates=(), perceptual_weights="")
    parts = {f"CAD-Net, {part} alone": replace(whole, evaluation=replace(of_part, part=part)) for part in ("f", "g")}
    table3 = restoration_rows(profile, seed=seed, weights=weights)
    return rows | parts | {"PS-HRNet": table3["SR+ID+PS"], "Bicubic": table3["Bicubic"]}


def all_cad_net_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """`cad_net_rows`, and what CAD-Net's authors did before and after: RAIN, CAD-Net++, half of the labels."""
    settings = {
        "RAIN": with_losses_of(rain_settings(), profile.cad_net),
        "CAD-Net++": with_losses_of(cad_net_plus_plus_settings(), profile.cad_net),
        "CAD-Net, half of the labels": replace(profile.cad_net, labelled_fraction=0.5),
    }
    rows = cad_net_rows(profile, seed=seed, weights=weights)
    return rows | _restoring(profile, settings, seed=seed, weights=weights)


def lrar_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """LRAR's mechanisms one after the other, and the whole of it when the queries' level is given wrong by one."""
    whole = profile.lrar
    settings = {
        "Baseline": replace(whole, varying_length=False, masks=None, verification_weight=0.0, progressive=False),
        "+ varying length": replace(whole, masks=None, verification_weight=0.0, progressive=False),
        "+ masks": replace(whole, verification_weight=0.0, progressive=False),
        "+ verification": replace(whole, progressive=False),
        "+ progressive = LRAR": whole,
    }
    rows = {row: lrar_run(profile, each, seed=seed, weights=weights) for row, each in settings.items()}
    tests = replace(profile.evaluation, query_rates=(1.0, *RESTORATION_RATES))
    rows = {row: replace(run, evaluation=tests) for row, run in rows.items()}
    lrar = rows["+ progressive = LRAR"]
    wrong = {"LRAR, told one level too sharp": -1.0, "LRAR, told one level too coarse": 1.0}
    return rows | {row: replace(lrar, evaluation=replace(tests, rate_error=error)) for row, error in wrong.items()}


def unseen_resolution_rows(profile: Profile, *, seed: int, weights: StartingWeights) -> dict[str, Run]:
    """Every system of Table I that is measured here, tested at rates that training saw and at others."""
    return {
        row: replace(run, evaluation=replace(run.evaluation, query_rates=UNSEEN_RATES))
        for row, run in state_of_the_art_rows(profile, seed=seed, weights=weights).items()
    }


def _restoring(
    profile: Profile, settings: dict[str, CADNetSettings], *, seed: int, weights: StartingWeights
) -> dict[str, Run]:
    """Runs whose restored images are measured too, as Table III's."""
    tests = restoration_tests(profile, weights)
    runs = {row: cad_net_run(profile, each, seed=seed, weights=weights) for row, each in settings.items()}
    return {row: replace(run, evaluation=tests) for row, run in runs.items()}
