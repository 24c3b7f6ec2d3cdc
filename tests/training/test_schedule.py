import math
from itertools import pairwise

import pytest

from crreid.errors import InputError
from crreid.training.schedule import Schedule


def test_default_is_that_of_the_release() -> None:
    schedule = Schedule()
    rates = [schedule.learning_rate_at(epoch) for epoch in range(schedule.epochs)]
    assert len(rates) == 71
    expected = [3e-4] * 5 + [8.5e-3] * 25 + [8.5e-4] * 30 + [8.5e-5] * 11
    assert rates == pytest.approx(expected, rel=1e-12)


def test_ramp_rises_by_equal_steps_to_the_peak() -> None:
    schedule = Schedule(ramp=True, warmup_epochs=4, warmup_learning_rate=0.1, learning_rate=0.5)
    rates = [schedule.learning_rate_at(epoch) for epoch in range(6)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])


def test_cosine_falls_from_the_peak_and_would_end_at_zero() -> None:
    schedule = Schedule(epochs=10, warmup_epochs=2, decay="cosine", learning_rate=1.0)
    rates = [schedule.learning_rate_at(epoch) for epoch in range(11)]
    assert rates[:3] == [3e-4, 3e-4, 1.0]
    assert rates[6] == pytest.approx(0.5)  # half way from epoch 2 to 10
    assert rates[9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert rates[10] == pytest.approx(0)
    assert all(before > after > -1e-12 for before, after in pairwise(rates[2:]))


def test_milestones_and_factor() -> None:
    schedule = Schedule(warmup_epochs=0, learning_rate=8, milestones=(1, 3, 3), decay_factor=0.5)
    assert [schedule.learning_rate_at(epoch) for epoch in range(4)] == [8, 4, 4, 1]


def test_epochs_are_none_or_more() -> None:
    assert Schedule(epochs=0).epochs == 0
    assert Schedule(epochs=0, decay="cosine") != Schedule(decay="cosine")
    with pytest.raises(InputError, match="epochs must be 0 or more, not -1"):
        Schedule(epochs=-1)


@pytest.mark.parametrize(("field", "value"), [("decay", "linear"), ("precision", "fp16")])
def test_words_that_would_mean_something_else_are_refused(field: str, value: str) -> None:
    with pytest.raises(InputError, match=f"{field} must be .* or .*, not '{value}'"):
        Schedule(**{field: value})


def test_a_ramp_and_a_cosine_move_with_every_step() -> None:
    schedule = Schedule(
        epochs=5, learning_rate=1.0, warmup_epochs=1, warmup_learning_rate=0.2, ramp=True, decay="cosine"
    )
    assert [schedule.learning_rate_at(step / 4) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert schedule.learning_rate_at(3) == pytest.approx(0.5)
    assert schedule.learning_rate_at(3.5) == pytest.approx(0.5 * (1 + math.cos(math.pi * 2.5 / 4)))
