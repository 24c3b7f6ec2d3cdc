import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.losses.cross_entropy import label_smoothing_cross_entropy


def by_loops(logits: torch.Tensor, targets: torch.Tensor, epsilon: float) -> float:
    """Equations 8 and 9 as printed, with a mean over images."""
    total = 0.0
    for row, truth in zip(logits.tolist(), targets.tolist(), strict=True):
        count, normaliser = len(row), sum(math.exp(value) for value in row)
        for label, value in enumerate(row):
            q = 1 - (count - 1) / count * epsilon if label == truth else epsilon / count
            total -= q * math.log(math.exp(value) / normaliser)
    return total / len(targets)


@settings(max_examples=30, deadline=None)
@given(images=st.integers(1, 6), identities=st.integers(1, 7), epsilon=st.floats(0, 0.99), seed=st.integers(0, 2**31))
def test_equals_equations_8_and_9_written_as_loops(images: int, identities: int, epsilon: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, identities, dtype=torch.float64, generator=generator)
    targets = torch.randint(identities, (images,), generator=generator)
    loss = label_smoothing_cross_entropy(logits, targets, epsilon)
    assert loss.item() == pytest.approx(by_loops(logits, targets, epsilon), rel=1e-9, abs=1e-12)


def test_default_epsilon_is_a_tenth() -> None:
    logits, targets = torch.tensor([[4.0, 0.0]]), torch.tensor([0])
    assert torch.equal(
        label_smoothing_cross_entropy(logits, targets), label_smoothing_cross_entropy(logits, targets, 0.1)
    )
    assert label_smoothing_cross_entropy(logits, targets) > label_smoothing_cross_entropy(logits, targets, 0.0)


def test_is_a_mean_over_images() -> None:
    logits, targets = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    twice = label_smoothing_cross_entropy(logits.repeat(2, 1), targets.repeat(2))
    torch.testing.assert_close(twice, label_smoothing_cross_entropy(logits, targets))


def test_gradient_by_finite_differences() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(lambda x: label_smoothing_cross_entropy(x, targets), logits)


def test_is_computed_in_float32_whatever_comes_in() -> None:
    logits = torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(8)
    narrow = logits.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = label_smoothing_cross_entropy(narrow, targets)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, label_smoothing_cross_entropy(narrow.float(), targets))
    torch.testing.assert_close(loss, label_smoothing_cross_entropy(logits, targets), rtol=0.01, atol=0)


@pytest.mark.parametrize("labelled", [[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]])
def test_only_labelled_images_count(labelled: list[int]) -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    chosen = torch.tensor(labelled, dtype=torch.bool)
    targets = torch.tensor([0, 1, 2, 0]).where(chosen, 99)  # what is not labelled is not read
    loss = label_smoothing_cross_entropy(logits, targets, 0.1, chosen)
    expected = by_loops(logits[chosen], targets[chosen], 0.1) if any(labelled) else 0
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda x: label_smoothing_cross_entropy(x, targets, 0.1, chosen), logits)
