"""Adversarial losses on logits: what a discriminator minimises, and what those minimise who deceive it.

Source: CAD-Net (Li et al., "Recover and Identify", ICCV 2019): L_adv = E log D(real) + E log(1 - D(fake)), which the
discriminator maximises and the encoder or decoder minimises; D is the sigmoid of the logits. In L_adv^{D_F} the
features of high-resolution images stand for "real" and come from the encoder too, in L_adv^{D_I} the high-resolution
images do.

Two other forms are in neither source: `non_saturating` (Goodfellow et al., 2014) gives the deceiver the same aim with
gradients where it is losing, `least_squares` (Mao et al., ICCV 2017) replaces the logarithm in both.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor
from torch.nn.functional import softplus

from crreid.errors import InputError
from crreid.numerics import at_least_float32, without_autocast

__all__ = ["AdversarialKind", "check_kind", "deceiver_loss", "discriminator_loss"]

AdversarialKind = Literal["log", "non_saturating", "least_squares"]


def discriminator_loss(real: Tensor, fake: Tensor, kind: AdversarialKind = "log") -> Tensor:
    """What the discriminator minimises: -E log D(real) - E log(1 - D(fake)).

    Least squares: half of E (real - 1)^2 + E fake^2.

    Args:
        real: Logits, any shape: large where it says "real".
        fake: Logits, any shape.
        kind: Form of the loss; the first two are the same here.

    Returns:
        Scalar, float32 or wider, at least 0.

    Raises:
        InputError: There is no logit, or the kind is unknown.
    """
    return _towards_one(real, kind) + _towards_zero(fake, kind)


def deceiver_loss(fake: Tensor, real: Tensor | None = None, kind: AdversarialKind = "log") -> Tensor:
    """What those minimise who make `fake`, and `real` where that is given, to be taken for the other.

    Log: E log(1 - D(fake)) + E log D(real), not bounded below. Non-saturating: -E log D(fake) - E log(1 - D(real)).
    Least squares: half of E (fake - 1)^2 + E real^2.

    Args:
        fake: Logits, any shape.
        real: Logits, any shape; None where nobody can change them.
        kind: Form of the loss.

    Returns:
        Scalar, float32 or wider.

    Raises:
        InputError: There is no logit, or the kind is unknown.
    """
    if kind == "log":
        loss = -_towards_zero(fake, kind)
        return loss if real is None else loss - _towards_one(real, kind)
    loss = _towards_one(fake, kind)
    return loss if real is None else loss + _towards_zero(real, kind)


def check_kind(kind: str) -> None:
    """Raises InputError for an unknown kind of loss."""
    if kind not in get_args(AdversarialKind):
        raise InputError(f"the adversarial loss must be one of {', '.join(get_args(AdversarialKind))}, not {kind!r}")


def _towards_one(logits: Tensor, kind: AdversarialKind) -> Tensor:
    """-E log D, or half of E (logit - 1)^2."""
    with without_autocast(logits):
        values = _checked(logits, kind)
        # log of a sigmoid would be infinite where the sigmoid is rounded to 0
        return (values - 1).square().mean() / 2 if kind == "least_squares" else softplus(-values).mean()


def _towards_zero(logits: Tensor, kind: AdversarialKind) -> Tensor:
    """-E log(1 - D), or half of E logit^2."""
    with without_autocast(logits):
        values = _checked(logits, kind)
        return values.square().mean() / 2 if kind == "least_squares" else softplus(values).mean()


def _checked(logits: Tensor, kind: AdversarialKind) -> Tensor:
    check_kind(kind)
    if logits.numel() == 0:
        raise InputError(f"adversarial losses need at least one logit, not shape {tuple(logits.shape)}")
    return at_least_float32(logits)
