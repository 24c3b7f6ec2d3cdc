"""What holds for every loss."""

import pytest
import torch

from crreid.losses.adversarial import deceiver_loss, discriminator_loss
from crreid.losses.cross_entropy import label_smoothing_cross_entropy
from crreid.losses.pseudo_siamese import pseudo_siamese_loss
from crreid.losses.restoration import restoration_loss
from crreid.losses.triplet import batch_hard_triplet
from crreid.losses.verification import VerificationHead, verification_loss

IDENTITIES = torch.arange(4).repeat_interleave(2)


def verified(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    head = VerificationHead(16, 8).to(torch.float64 if one.dtype == torch.float64 else torch.float32)
    return verification_loss(head, one, IDENTITIES, torch.arange(9, 17))


def between_outputs(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return pseudo_siamese_loss([one] * 6, [other] * 6)


LOSSES = {
    "cross entropy": lambda one, other: label_smoothing_cross_entropy(one, IDENTITIES),
    "deceiver": deceiver_loss,
    "discriminator": discriminator_loss,
    "pseudo-siamese": between_outputs,
    "restoration": restoration_loss,
    "triplet": lambda one, other: batch_hard_triplet(one, IDENTITIES),
    "verification": verified,
}


@pytest.mark.parametrize("name", LOSSES)
def test_is_computed_in_float32_whatever_comes_in(name: str) -> None:
    one, other = torch.randn(2, 8, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    narrow, rest = one.bfloat16().requires_grad_(), other.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name](narrow, rest)
    loss.backward()
    assert loss.dtype == torch.float32
    assert narrow.grad.dtype == torch.bfloat16
    assert torch.equal(loss, LOSSES[name](narrow.float(), rest.float()))
    torch.testing.assert_close(loss.double(), LOSSES[name](one, other), rtol=0.02, atol=0.001)
