"""Sentences about CAD-Net: each is held to values that can be worked out on paper."""

from collections.abc import Callable

import pandas as pd
import pytest

from crreid.records import Record
from crreid.study.cad_net_conclusions import loss_conclusion, parts_conclusion, probe_conclusion, recovery_conclusion
from crreid.study.restoration import INPUT

# of 5000 queries: two standard errors of a difference are 2 points at 50 per cent
QUERIES = 5000


def rows(**percent: tuple[float, float]) -> dict[str, list[Record]]:
    """Rank-1 in per cent at each of the rates 2, 3, 4 and at 8; `_` in names stands for CAD-Net."""
    made = {}
    for name, (seen, unseen) in percent.items():
        tests = {
            test: {"multi_shot": {"overall": {"ranks": {"1": value / 100}, "queries": QUERIES}}}
            for test, value in (("rate 2", seen + 1), ("rate 3", seen), ("rate 4", seen - 1), ("rate 8", unseen))
        }
        measured = {"scores": tests}
        made[name] = [Record(digest="", title="", run={"seed": 0}, measured=measured, provenance={})]
    return made


def named(*names: str, **percent: tuple[float, float]) -> dict[str, list[Record]]:
    return dict(zip(names, rows(**percent).values(), strict=True))


def test_losses_with_their_gain_at_seen_and_unseen_rates() -> None:
    records = named(
        *("CAD-Net", "CAD-Net without D_F", "CAD-Net without L_cls", "CAD-Net, f alone", "PS-HRNet", "CAD-Net++"),
        **{"a": (50, 40), "b": (45, 41), "c": (3, 2), "d": (48, 39), "e": (60, 30), "f": (50, 40)},
    )
    text = loss_conclusion(records, 1.7)
    assert (
        "- *D_F* adds **+5.0** points at rates 2, 3, 4 (45.0 to 50.0; more than the noise) and **-1.0** points at "
        "rate 8 (41.0 to 40.0; within the noise)." in text
    )
    assert "- *L_cls* adds **+47.0** points" in text
    assert "What is left without it, 3.0, stands beside a chance of 1.7." in text
    assert (
        "- CAD-Net against PS-HRNet: **-10.0** points at rates 2, 3, 4 (60.0 to 50.0; a loss, more than the noise) "
        "and **+10.0** points at rate 8 (30.0 to 40.0; more than the noise)." in text
    )
    assert "- CAD-Net against CAD-Net++: **+0.0** points" in text
    assert "f alone" not in text
    assert "about 2.0 points" in text
    assert "for a single seed" in text


def test_several_seeds_are_called_that() -> None:
    records = named("CAD-Net", "CAD-Net without D_F", a=(50, 40), b=(45, 41))
    text = loss_conclusion({row: of_row * 3 for row, of_row in records.items()}, 1.7)
    assert "the spread of 3 seeds" in text


@pytest.mark.parametrize(
    ("both", "said"),
    [
        (55, "both are **+5.0** points from g, the better one (more than the noise): they complement each other."),
        (51, "(within the noise): that they complement each other, these numbers do not show."),
        (45, "both are **-5.0** points from g, the better one (a loss, more than the noise): the weaker one spoils"),
    ],
)
def test_parts_complement_each_other_only_beyond_the_better_one(both: float, said: str) -> None:
    names = ("CAD-Net", "CAD-Net, f alone", "CAD-Net, g alone")
    text = parts_conclusion(named(*names, a=(both, 40), b=(44, 45), c=(50, 30)))
    seen, unseen = text.split("\n")
    assert "At rates 2, 3, 4: f 44.0, g 50.0" in seen
    assert "g, from the recovered image, is +6.0 points from f (more than the noise)" in seen
    assert said in seen
    assert "f 45.0, g 30.0, both 40.0" in unseen
    assert "from f, the better one (a loss, more than the noise): the weaker one spoils the better one." in unseen


def quality(**psnr: tuple[float, float]) -> Callable[..., pd.DataFrame]:
    def make(*names: str) -> pd.DataFrame:
        lines = [
            {"row": name, "seed": 0, "rate": rate, "psnr": value, "ssim": value / 100}
            for name, (seen, unseen) in zip(names, psnr.values(), strict=True)
            for rate, value in ((2.0, seen + 1), (3.0, seen), (4.0, seen - 1), (8.0, unseen))
        ]
        return pd.DataFrame(lines)

    return make


def test_recovery_is_judged_against_the_input() -> None:
    names = ("CAD-Net", "CAD-Net without L_cls", "Bicubic")
    records = named(*names, a=(50, 40), b=(20, 20), c=(30, 30))
    images = quality(i=(25, 22), a=(27, 20), b=(29, 21), c=(24, 23))(INPUT, *names)
    seen, unseen, order = recovery_conclusion(images, records).split("\n")
    assert "CAD-Net's image has 27.0 dB and an SSIM of 0.270, what it is given 25.0 dB and 0.250: nearer" in seen
    assert seen.endswith("Above the input's PSNR: CAD-Net and CAD-Net without L_cls.")
    assert "20.0 dB" in unseen
    assert "**no nearer to the original than its input**. Above the input's PSNR: Bicubic." in unseen
    assert (
        "the best images are CAD-Net without L_cls's, the best rank-1 is CAD-Net's, 30.0 points above theirs" in order
    )


def test_recovery_where_the_best_image_is_found_best() -> None:
    names = ("CAD-Net", "CAD-Net without L_rec", "PS-HRNet")
    records = named(*names, a=(50, 40), b=(20, 20), c=(90, 90))
    images = quality(i=(35, 32), a=(27, 20), b=(20, 20), c=(30, 30))(INPUT, *names)
    text = recovery_conclusion(images, records)
    assert "are both CAD-Net's" in text
    assert "Above the input's PSNR: none." in text


def probes(kept: float, without: float, *, spread: float = 1.0, shared: float = 0.0) -> pd.DataFrame:
    """Five folds around a mean; `shared` is what is hard for both."""
    lines = []
    for row, mean in (("CAD-Net without D_F", without), ("CAD-Net", kept)):
        for question, chance in (("high or low", 50.0), ("which rate", 25.0)):
            for fold, (own, both) in enumerate(zip((-1, 0, 0, 0, 1), (2, -1, 0, 1, -2), strict=True), start=1):
                accuracy = mean - 50 + chance + shared * both + (spread * own if row == "CAD-Net" else 0)
                origin = {"row": row, "seed": 0, "part": "f", "question": question, "fold": fold}
                lines.append(origin | {"accuracy": accuracy, "chance": chance})
    return pd.DataFrame(lines)


def test_f_is_blind_where_the_probe_is_at_chance() -> None:
    text = probe_conclusion(probes(50.5, 80))
    first, second, *_, noise = text.split("\n")
    assert (
        "tells high from low resolution from f for **50.5 %** with D_F and 80.0 % without it, chance is 50 %" in first
    )
    assert "f is blind to it as far as a linear probe can see" in first
    assert "Change by D_F **-29.5** points (more than the noise): D_F hides some of it." in first
    assert "tells the rate from f for **25.5 %**" in second
    assert "three standard errors over the folds" in noise


@pytest.mark.parametrize(
    ("kept", "said"), [(90.0, "**not blind** to it, it is plain to read"), (60.0, "though it is hard to read")]
)
def test_f_is_not_blind_where_the_probe_reads_it(kept: float, said: str) -> None:
    assert said in probe_conclusion(probes(kept, 95)).split("\n")[0]


def test_a_change_within_the_noise_counts_for_nothing_and_one_upwards_is_said() -> None:
    assert "(within the noise): D_F changes nothing that counts." in probe_conclusion(probes(90, 91, spread=2))
    assert "there is even more to read" in probe_conclusion(probes(90, 70))


def test_folds_are_compared_one_by_one() -> None:
    """What is hard for both rows is no noise of their difference."""
    assert "**-5.0** points (more than the noise)" in probe_conclusion(probes(85, 90, shared=5))
