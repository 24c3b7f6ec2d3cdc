"""The probe: at chance where nothing is to be read, right where it is plain, never tested on who it learned from."""

from typing import Any

import numpy as np
import pytest

from crreid.evaluation.probe import probe

PEOPLE, RATES = 20, (1.0, 2.0, 3.0, 4.0)
IDENTITIES = np.repeat(np.arange(PEOPLE), 2 * len(RATES))
TARGETS = np.tile(RATES, 2 * PEOPLE)


def noise(dimensions: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(TARGETS), dimensions)).astype(np.float32)


def accuracy(features: np.ndarray, **options: Any) -> float:
    return float(probe(features, TARGETS, IDENTITIES, **options)["accuracy"].mean())


def test_chance_where_descriptors_know_nothing_of_the_resolution() -> None:
    found = [accuracy(noise(seed=seed)) for seed in range(3)]
    assert np.mean(found) == pytest.approx(0.25, abs=0.06)
    result = probe(noise(), TARGETS, IDENTITIES)
    assert list(result) == ["fold", "accuracy", "chance", "images"]
    assert result["fold"].tolist() == [1, 2, 3, 4, 5]
    assert set(result["chance"]) == {0.25}
    assert result["images"].sum() == 160
    few = IDENTITIES < 3
    assert len(probe(noise()[few], TARGETS[few], IDENTITIES[few])) == 3  # fewer identities than folds


def test_all_right_where_it_is_plain_and_half_where_pairs_are_mixed_up() -> None:
    features = noise()
    features[:, 3] += 100 * TARGETS
    assert accuracy(features) > 0.97
    features = noise()
    features[:, 3] += 100 * (TARGETS > 2)  # 1 and 2 look alike, 3 and 4 too
    assert accuracy(features) == pytest.approx(0.5, abs=0.08)


def test_classes_count_alike_whatever_their_size() -> None:
    high_or_low = (TARGETS > 1).astype(float)  # one to three: always "low" would be right for three in four
    found = []
    for seed in range(3):
        features = noise(seed=seed)
        features[:, 3] += high_or_low  # one deviation apart: a threshold in the middle is right for 69 % of both
        found.append(probe(features, high_or_low, IDENTITIES)["accuracy"].mean())
    assert np.mean(found) == pytest.approx(0.69, abs=0.05)


def test_persons_do_not_leak() -> None:
    """A mark of each person's own at each rate tells everything of who was seen before, and nothing of others."""
    marks = np.zeros((len(TARGETS), PEOPLE * len(RATES)), dtype=np.float32)
    marks[np.arange(len(TARGETS)), IDENTITIES * len(RATES) + (TARGETS - 1).astype(int)] = 1
    assert accuracy(marks) < 0.3
    # the same descriptors, each image a person of its own: now the other image of the person is learned from
    mixed = np.random.default_rng(0).permutation(len(TARGETS))
    assert probe(marks, TARGETS, mixed // 8)["accuracy"].mean() > 0.6


def test_scale_and_order_of_magnitude_do_not_matter_and_nothing_is_drawn() -> None:
    features = noise()
    features[:, 0] += TARGETS
    first = probe(features, TARGETS, IDENTITIES)
    assert first.equals(probe(features, TARGETS, IDENTITIES))
    scaled = features * np.array([1e-3, 1, 1e3, 1, 1, 1, 1, 1], dtype=np.float32) + 7
    assert accuracy(scaled) == pytest.approx(first["accuracy"].mean(), abs=0.02)


def test_the_penalty_is_chosen_for_what_there_is_to_read() -> None:
    """Loud in one feature wants a weak penalty, faint in many a strong one: the choice serves nearly as well."""
    loud, faint = noise(), noise(200)
    loud[:, 3] += 100 * TARGETS
    faint += 0.12 * TARGETS[:, None].astype(np.float32)
    for features, right, wrong in ((loud, 1, 1000), (faint, 1000, 1)):
        best, worst, chosen = (accuracy(features, penalties=given) for given in ((right,), (wrong,), (1, 1000)))
        assert best > worst
        assert chosen >= best - 0.04


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": TARGETS[:5]}, "inconsistent numbers of samples"),
        ({"targets": np.ones(160)}, "one class"),
        ({"identities": np.zeros(160, dtype=int)}, "n_splits=1"),
        ({"targets": np.where(IDENTITIES < 4, 1.0, 2.0)}, "fold 1 of 5 lacks one of the 2 classes"),
    ],
)
def test_bad_input(changes: dict, message: str) -> None:
    given = {"features": noise(), "targets": TARGETS, "identities": IDENTITIES} | changes
    with pytest.raises(ValueError, match=message):
        probe(**given)
