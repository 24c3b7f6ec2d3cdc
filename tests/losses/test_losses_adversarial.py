import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.errors import InputError
from crreid.losses.adversarial import AdversarialKind, deceiver_loss, discriminator_loss

KINDS: tuple[AdversarialKind, ...] = ("log", "non_saturating", "least_squares")
LOGITS = st.lists(st.floats(-8, 8), min_size=1, max_size=5)


def logits(seed: int, *shape: int) -> torch.Tensor:
    return 2 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def printed(real: list[float], fake: list[float]) -> float:
    """L_adv as the paper prints it: E log D(real) + E log(1 - D(fake))."""
    return mean([math.log(probability(r)) for r in real]) + mean([math.log(1 - probability(f)) for f in fake])


@settings(max_examples=30, deadline=None)
@given(real=LOGITS, fake=LOGITS)
def test_the_log_form_is_the_printed_game(real: list[float], fake: list[float]) -> None:
    """The discriminator maximises, the deceiver minimises one number."""
    one, other = torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)
    assert discriminator_loss(one, other).item() == pytest.approx(-printed(real, fake), abs=1e-9)
    assert deceiver_loss(other, one).item() == pytest.approx(printed(real, fake), abs=1e-9)
    only_fake = mean([math.log(1 - probability(f)) for f in fake])
    assert deceiver_loss(other).item() == pytest.approx(only_fake, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(real=LOGITS, fake=LOGITS)
def test_the_other_forms_as_loops(real: list[float], fake: list[float]) -> None:
    one, other = torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)
    flipped = -mean([math.log(probability(f)) for f in fake]), -mean([math.log(1 - probability(r)) for r in real])
    assert deceiver_loss(other, one, "non_saturating").item() == pytest.approx(sum(flipped), abs=1e-9)
    assert deceiver_loss(other, kind="non_saturating").item() == pytest.approx(flipped[0], abs=1e-9)
    assert discriminator_loss(one, other, "non_saturating").item() == pytest.approx(-printed(real, fake), abs=1e-9)
    squares = mean([(r - 1) ** 2 for r in real]) / 2 + mean([f**2 for f in fake]) / 2
    assert discriminator_loss(one, other, "least_squares").item() == pytest.approx(squares, abs=1e-9)
    squares = mean([(f - 1) ** 2 for f in fake]) / 2 + mean([r**2 for r in real]) / 2
    assert deceiver_loss(other, one, "least_squares").item() == pytest.approx(squares, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_finite_differences(kind: AdversarialKind) -> None:
    real, fake = logits(0, 3, 1).requires_grad_(), logits(1, 2, 1, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda r, f: discriminator_loss(r, f, kind), (real, fake))
    assert torch.autograd.gradcheck(lambda r, f: deceiver_loss(f, r, kind), (real, fake))
    assert torch.autograd.gradcheck(lambda f: deceiver_loss(f, kind=kind), (fake,))


@pytest.mark.parametrize("kind", KINDS)
def test_discriminator_and_deceiver_pull_each_logit_apart(kind: AdversarialKind) -> None:
    real, fake = (torch.full((2,), 0.5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    judge = torch.autograd.grad(discriminator_loss(real, fake, kind), (real, fake))
    deceiver = torch.autograd.grad(deceiver_loss(fake, real, kind), (real, fake))
    assert [gradient.sign().unique().tolist() for gradient in judge] == [[-1], [1]]
    assert [gradient.sign().unique().tolist() for gradient in deceiver] == [[1], [-1]]


def test_a_losing_deceiver_has_no_gradient_in_the_log_form_and_one_in_the_others() -> None:
    """Why there are other forms: a discriminator that is sure of itself teaches nothing as printed."""
    steepness = {}
    for kind in KINDS:
        fake = torch.full((4,), -12.0, requires_grad=True)
        (gradient,) = torch.autograd.grad(deceiver_loss(fake, kind=kind), fake)
        steepness[kind] = gradient.abs().sum().item()
    assert steepness["log"] < 1e-4
    assert min(steepness["non_saturating"], steepness["least_squares"]) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_huge_logits_stay_finite(kind: AdversarialKind) -> None:
    """The logarithm of a rounded sigmoid would be minus infinity."""
    right, wrong = torch.full((2,), 1e4), torch.full((2,), -1e4)
    assert discriminator_loss(wrong, right, kind).isfinite()
    assert deceiver_loss(wrong, right, kind).isfinite()


@pytest.mark.parametrize("kind", KINDS)
def test_is_computed_in_float32_whatever_comes_in(kind: AdversarialKind) -> None:
    real, fake = logits(0, 4).bfloat16(), logits(1, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = discriminator_loss(real, fake, kind), deceiver_loss(fake, real, kind)
    assert [loss.dtype for loss in losses] == [torch.float32] * 2
    assert torch.equal(losses[0], discriminator_loss(real.float(), fake.float(), kind))


def test_nothing_to_judge_and_unknown_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="at least one logit"):
        discriminator_loss(torch.zeros(0), torch.zeros(2))
    with pytest.raises(InputError, match="log, non_saturating, least_squares, not 'hinge'"):
        deceiver_loss(torch.zeros(2), kind="hinge")  # type: ignore[arg-type]
