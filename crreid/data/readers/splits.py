"""Random train and test halves for data sets that are published without any."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from crreid.errors import InputError

__all__ = ["check_split", "draw_test_identities"]


def check_split(name: str, split: int, count: int) -> None:
    """Checks the number of a split.

    Raises:
        InputError: `split` is not one of 0 .. count - 1.
    """
    if not 0 <= split < count:
        expected = "0, it has one split only" if count == 1 else f"0 to {count - 1}"
        raise InputError(f"{name}: there is no split {split}; expected {expected}")


def draw_test_identities(identities: Iterable[int], count: int, split: int) -> frozenset[int]:
    """Draws `count` identities for the test side; the number of the split is the seed.

    The same identities, in whatever order, and the same split give the same draw.
    """
    order = np.random.default_rng(split).permutation(sorted(set(identities)))
    return frozenset(int(identity) for identity in order[:count])
