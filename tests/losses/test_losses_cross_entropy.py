import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import cross_entropy_by_loops

from crreid.losses.cross_entropy import label_smoothing_cross_entropy


@settings(max_examples=30, deadline=None)
@given(images=st.integers(1, 6), identities=st.integers(1, 7), epsilon=st.floats(0, 0.99), seed=st.integers(0, 2**31))
def test_equals_equations_8_and_9_written_as_loops(images: int, identities: int, epsilon: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, identities, dtype=torch.float64, generator=generator)
    targets = torch.randint(identities, (images,), generator=generator)
    loss = label_smoothing_cross_entropy(logits, targets, epsilon)
    assert loss.item() == pytest.approx(cross_entropy_by_loops(logits, targets, epsilon), rel=1e-9, abs=1e-12)


def test_gradient_by_finite_differences() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(lambda x: label_smoothing_cross_entropy(x, targets), logits)


@pytest.mark.parametrize("labelled", [[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]])
def test_only_labelled_images_count(labelled: list[int]) -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    chosen = torch.tensor(labelled, dtype=torch.bool)
    targets = torch.tensor([0, 1, 2, 0]).where(chosen, 99)  # what is not labelled is not read
    loss = label_smoothing_cross_entropy(logits, targets, 0.1, chosen)
    expected = cross_entropy_by_loops(logits[chosen], targets[chosen], 0.1) if any(labelled) else 0
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda x: label_smoothing_cross_entropy(x, targets, 0.1, chosen), logits)
