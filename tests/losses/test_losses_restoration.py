import pytest
import torch

from crreid.errors import InputError
from crreid.losses.restoration import restoration_loss


def images(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_equals_equation_5_written_as_loops_with_a_mean() -> None:
    restored, target = images(0), images(1)
    differences = [abs(a - b) for a, b in zip(restored.flatten().tolist(), target.flatten().tolist(), strict=True)]
    assert restoration_loss(restored, target).item() == pytest.approx(sum(differences) / 120, rel=1e-12)


def test_gradient_by_finite_differences() -> None:
    target = images(1)
    assert torch.autograd.gradcheck(lambda x: restoration_loss(x, target), images(0).requires_grad_())


def test_shapes_that_would_be_broadcast_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(2, 3, 4, 5\).*\(1, 3, 4, 5\)"):
        restoration_loss(images(0), images(1)[:1])
