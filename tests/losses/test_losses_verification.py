import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from crreid.losses.verification import VerificationHead, verification_loss


def batch(images: int, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Descriptors, identities and lengths."""
    generator = torch.Generator().manual_seed(seed)
    descriptors = torch.randn(images, length, dtype=torch.float64, generator=generator)
    identities = torch.randint(0, 3, (images,), generator=generator)
    return descriptors, identities, torch.randint(1, length + 1, (images,), generator=generator)


def build(length: int, hidden: int, seed: int = 0) -> VerificationHead:
    torch.manual_seed(seed)
    return VerificationHead(length, hidden).double()


def score_by_hand(head: VerificationHead, difference: list[float]) -> float:
    """One pair at a time, number by number."""
    weights, biases = head.hidden.weight.tolist(), head.hidden.bias.tolist()
    values = [
        max(0.0, bias + sum(w * x for w, x in zip(row, difference, strict=True)))
        for row, bias in zip(weights, biases, strict=True)
    ]
    return head.score.bias.item() + sum(w * x for w, x in zip(head.score.weight[0].tolist(), values, strict=True))


def by_loops(
    head: VerificationHead, descriptors: torch.Tensor, identities: torch.Tensor, lengths: torch.Tensor
) -> float:
    points, names = descriptors.tolist(), identities.tolist()
    losses = []
    for i, one in enumerate(points):
        for j, other in enumerate(points):
            if i == j:
                continue
            common = min(int(lengths[i]), int(lengths[j]))
            difference = [a - b if d < common else 0.0 for d, (a, b) in enumerate(zip(one, other, strict=True))]
            p = 1 / (1 + math.exp(-score_by_hand(head, difference)))
            losses.append(-math.log(p if names[i] == names[j] else 1 - p))
    return sum(losses) / len(losses)


@settings(max_examples=25, deadline=None)
@given(
    images=st.integers(2, 7),
    length=st.integers(1, 8),
    hidden=st.sampled_from([1, 5]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_equation_written_as_loops_over_pairs(images: int, length: int, hidden: int, seed: int) -> None:
    head = build(length, hidden)
    descriptors, identities, lengths = batch(images, length, seed)
    loss = verification_loss(head, descriptors, identities, lengths)
    assert loss.ndim == 0
    assert loss.item() == pytest.approx(by_loops(head, descriptors, identities, lengths), rel=1e-9)


def test_gradient_by_finite_differences() -> None:
    head = build(4, 4)
    descriptors, identities, lengths = batch(5, 4, 1)

    def loss(points: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        names = dict(zip((name for name, _ in head.named_parameters()), weights, strict=True))

        class Functional(nn.Module):
            def forward(self, differences: torch.Tensor) -> torch.Tensor:
                return torch.func.functional_call(head, names, (differences,))

        return verification_loss(Functional(), points, identities, lengths)

    inputs = [descriptors, *(parameter.detach().clone() for parameter in head.parameters())]
    assert torch.autograd.gradcheck(loss, [tensor.requires_grad_() for tensor in inputs])


def test_dimensions_that_one_image_lacks_do_not_count_and_get_no_gradient() -> None:
    head = build(6, 3)
    descriptors, identities, _ = batch(3, 6, 0)
    descriptors, lengths = descriptors.requires_grad_(), torch.tensor([2, 6, 4])
    loss = verification_loss(head, descriptors, identities, lengths)
    loss.backward()
    live = descriptors.grad != 0
    # the longest image meets none of its own length, so that its last two dimensions are compared with nobody's
    assert live.tolist() == [[True] * 2 + [False] * 4, [True] * 4 + [False] * 2, [True] * 4 + [False] * 2]
    changed = descriptors.detach().clone()
    changed[0, 2:] += 5
    changed[1, 4:] -= 7
    assert verification_loss(head, changed, identities, lengths).item() == loss.item()
    whole = torch.full((3,), 6)
    assert verification_loss(head, changed, identities, whole).item() != pytest.approx(loss.item())
