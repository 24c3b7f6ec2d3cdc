import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.errors import InputError
from crreid.losses.cross_entropy import label_smoothing_cross_entropy, smoothed_targets


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


def test_smoothed_targets_equal_equation_9_and_sum_to_one() -> None:
    rows = smoothed_targets(torch.tensor([2, 0]), 4, epsilon=0.1)
    expected = torch.tensor([[0.025, 0.025, 0.925, 0.025], [0.925, 0.025, 0.025, 0.025]])
    torch.testing.assert_close(rows, expected)
    torch.testing.assert_close(smoothed_targets(torch.arange(751), 751).sum(dim=1), torch.ones(751))


def test_smoothed_targets_are_those_of_the_loss() -> None:
    logits, targets = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)), torch.tensor([6, 0, 3, 3, 1])
    expected = -(smoothed_targets(targets, 7, 0.2) * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(label_smoothing_cross_entropy(logits, targets, 0.2), expected)


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


@pytest.mark.parametrize(
    ("targets", "epsilon", "message"),
    [
        (torch.tensor([0, 3]), 0.1, "0 to 2; found 3"),
        (torch.tensor([-1, 0]), 0.1, "found -1"),
        (torch.tensor([0, 1]), 1.0, "epsilon"),
        (torch.tensor([0.0, 1.0]), 0.1, "int64"),
        (torch.tensor([0]), 0.1, "logits of 1 images"),
        (torch.tensor([], dtype=torch.int64), 0.1, "not empty"),
    ],
)
def test_bad_input_is_named(targets: torch.Tensor, epsilon: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        label_smoothing_cross_entropy(torch.zeros(2, 3), targets, epsilon)
