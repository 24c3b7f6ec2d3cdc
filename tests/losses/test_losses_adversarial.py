import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.losses.adversarial import deceiver_loss, discriminator_loss

LOGITS = st.lists(st.floats(-8, 8), min_size=1, max_size=5)


def logits(seed: int, *shape: int) -> torch.Tensor:
    return 2 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@settings(max_examples=30, deadline=None)
@given(real=LOGITS, fake=LOGITS)
def test_is_the_printed_game(real: list[float], fake: list[float]) -> None:
    """The discriminator maximises, the deceiver minimises one number: E log D(real) + E log(1 - D(fake))."""
    one, other = torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)
    only_fake = mean([math.log(1 - probability(f)) for f in fake])
    printed = mean([math.log(probability(r)) for r in real]) + only_fake
    assert discriminator_loss(one, other).item() == pytest.approx(-printed, abs=1e-9)
    assert deceiver_loss(other, one).item() == pytest.approx(printed, abs=1e-9)
    assert deceiver_loss(other).item() == pytest.approx(only_fake, abs=1e-9)


def test_gradients_by_finite_differences() -> None:
    real, fake = logits(0, 3, 1).requires_grad_(), logits(1, 2, 1, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(discriminator_loss, (real, fake))
    assert torch.autograd.gradcheck(lambda r, f: deceiver_loss(f, r), (real, fake))
    assert torch.autograd.gradcheck(deceiver_loss, (fake,))


def test_huge_logits_stay_finite() -> None:
    """The logarithm of a rounded sigmoid would be minus infinity."""
    right, wrong = torch.full((2,), 1e4), torch.full((2,), -1e4)
    assert discriminator_loss(wrong, right).isfinite()
    assert deceiver_loss(wrong, right).isfinite()
