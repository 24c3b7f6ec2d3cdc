"""Adversarial losses on logits: one for the discriminator, one for the networks that try to deceive it.

Source: CAD-Net (Li et al., "Recover and Identify", ICCV 2019): L_adv = E log D(real) + E log(1 - D(fake)), which the
discriminator maximises and the encoder or decoder minimises; D is the sigmoid of the logits. In L_adv^{D_F} the
features of high-resolution images stand for "real" and come from the encoder too, in L_adv^{D_I} the high-resolution
images do.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from crreid.numerics import at_least_float32, without_autocast


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return -E log D(real) - E log(1 - D(fake)), which the discriminator minimises; at least 0.

    Both are logits of any shape, large where the discriminator says "real".

    Example:
        >>> import torch
        >>> discriminator_loss(torch.tensor([4.0]), torch.tensor([-4.0]))  # right about both
        tensor(0.0363)
    """
    return _minus_log(real) + _minus_log(fake, of_fake=True)


def deceiver_loss(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Return E log(1 - D(fake)) + E log D(real), which the networks behind the logits minimise.

    Both are logits of any shape; `real` is None where no network can change them. Not bounded below.
    """
    loss = -_minus_log(fake, of_fake=True)
    return loss if real is None else loss - _minus_log(real)


def _minus_log(logits: Tensor, *, of_fake: bool = False) -> Tensor:
    """Return -E log D, or -E log(1 - D) where the logits are of fakes."""
    with without_autocast(logits):
        values = at_least_float32(logits)
        # the logarithm of a sigmoid would be infinite where the sigmoid is rounded to 0
        return softplus(values if of_fake else -values).mean()
