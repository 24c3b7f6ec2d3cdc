from typing import NamedTuple

import pytest
import torch

from crreid.losses.pseudo_siamese import MEMBERS, PAPER_MEMBERS, RELEASE_MEMBERS, pseudo_siamese_loss

LENGTHS = (4, 2, 4, 2, 12)


class Output(NamedTuple):
    sequences: tuple[torch.Tensor, ...]
    logits: torch.Tensor


def output(seed: int, identities: int = 5) -> Output:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(3, n, dtype=torch.float64, generator=generator) for n in (*LENGTHS, identities)]
    return Output(tuple(tensors[:5]), tensors[5])


def by_loops(student: Output, teacher: Output, members: tuple[str, ...]) -> float:
    total = 0.0
    pairs = zip((*student.sequences, student.logits), (*teacher.sequences, teacher.logits), strict=True)
    for name, (low, high) in zip(MEMBERS, pairs, strict=True):
        if name in members:
            rows = zip(low.flatten().tolist(), high.flatten().tolist(), strict=True)
            total += sum(abs(a - b) for a, b in rows) / low.numel()
    return total


@pytest.mark.parametrize(
    "members", [*[(name,) for name in MEMBERS], PAPER_MEMBERS, RELEASE_MEMBERS, ("logits", "seq5")], ids="-".join
)
def test_equals_equation_11_written_as_loops_with_means(members: tuple[str, ...]) -> None:
    student, teacher = output(0), output(1)
    expected = by_loops(student, teacher, members)
    assert pseudo_siamese_loss(student, teacher, members).item() == pytest.approx(expected, rel=1e-12)


def test_gradient_by_finite_differences() -> None:
    teacher = output(1)

    def loss(*tensors: torch.Tensor) -> torch.Tensor:
        return pseudo_siamese_loss(Output(tensors[:5], tensors[5]), teacher, PAPER_MEMBERS)

    student = output(0)
    inputs = [tensor.requires_grad_() for tensor in (*student.sequences, student.logits)]
    assert torch.autograd.gradcheck(loss, inputs)


def test_teacher_gets_no_gradient_even_if_it_asks_for_one() -> None:
    student, teacher = output(0), output(1)
    for tensor in (*student.sequences, student.logits, *teacher.sequences, teacher.logits):
        tensor.requires_grad_()
    pseudo_siamese_loss(student, teacher, MEMBERS).backward()
    assert all(tensor.grad is not None for tensor in (*student.sequences, student.logits))
    assert all(tensor.grad is None for tensor in (*teacher.sequences, teacher.logits))
