import pytest
import torch

from crreid.losses.pseudo_siamese import pseudo_siamese_loss

LENGTHS = (4, 2, 4, 2, 12, 5)


def members(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, length, dtype=torch.float64, generator=generator) for length in LENGTHS]


@pytest.mark.parametrize("chosen", [slice(0, 1), slice(3, 6), slice(None)], ids=str)
def test_equals_equation_11_written_as_loops_with_means(chosen: slice) -> None:
    student, teacher = members(0)[chosen], members(1)[chosen]
    expected = 0.0
    for low, high in zip(student, teacher, strict=True):
        rows = zip(low.flatten().tolist(), high.flatten().tolist(), strict=True)
        expected += sum(abs(a - b) for a, b in rows) / low.numel()
    assert pseudo_siamese_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_gradient_by_finite_differences() -> None:
    inputs = [tensor.requires_grad_() for tensor in members(0)]
    assert torch.autograd.gradcheck(lambda *student: pseudo_siamese_loss(student, members(1)), inputs)


def test_teacher_gets_no_gradient_even_if_it_asks_for_one() -> None:
    student, teacher = members(0), members(1)
    for tensor in (*student, *teacher):
        tensor.requires_grad_()
    pseudo_siamese_loss(student, teacher).backward()
    assert all(tensor.grad is not None for tensor in student)
    assert all(tensor.grad is None for tensor in teacher)
