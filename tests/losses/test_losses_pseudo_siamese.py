from typing import NamedTuple

import pytest
import torch

from crreid.losses.pseudo_siamese import MEMBERS, PAPER_MEMBERS, RELEASE_MEMBERS, pseudo_siamese_loss
from crreid.models.hrnet_reid import HRNetReID, HRNetReIDOutput, HRNetReIDSettings

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


def test_members_of_table_vii() -> None:
    assert PAPER_MEMBERS == ("seq1", "seq4", "seq5", "logits")
    assert RELEASE_MEMBERS == ("seq1", "seq2", "seq3", "seq4", "seq5", "logits")


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


def test_is_zero_when_student_and_teacher_are_equal_networks() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(HRNetReID(HRNetReIDSettings(backbone="hrnet_w18_small"), 5).eval())
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    buffers = {name: buffer.clone() for name, buffer in networks[1].named_buffers()}
    student, teacher = (network(images) for network in networks)
    assert isinstance(student, HRNetReIDOutput)
    loss = pseudo_siamese_loss(student, teacher, MEMBERS)
    assert loss.item() == 0
    loss.backward()
    assert all(parameter.grad is None for parameter in networks[1].parameters())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in networks[1].named_buffers())
    shifted = networks[0](images + 0.1)
    assert pseudo_siamese_loss(shifted, teacher, MEMBERS) > 0


def test_is_computed_in_float32_whatever_comes_in() -> None:
    student, teacher = output(0), output(1)
    narrow = Output(tuple(s.bfloat16() for s in student.sequences), student.logits.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = pseudo_siamese_loss(narrow, Output(*_float(teacher)), MEMBERS)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, pseudo_siamese_loss(Output(*_float(narrow)), Output(*_float(teacher)), MEMBERS))
    torch.testing.assert_close(loss.double(), pseudo_siamese_loss(student, teacher, MEMBERS), rtol=0.01, atol=0)


def _float(given: Output) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    return tuple(s.float() for s in given.sequences), given.logits.float()
