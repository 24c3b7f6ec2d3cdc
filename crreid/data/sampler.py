"""P × K batches: P identities, K images of each, as the batch-hard triplet loss needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from crreid.errors import InputError

SampleKey = tuple[int, int, int]
"""(epoch, position in the epoch, row of the table): seeds the augmentation of one sample."""


class IdentitySampler(Sampler[list[SampleKey]]):
    """Draws batches of P different identities with K images each; an epoch sees about every image once.

    An identity's images are shuffled and cut into groups of K, the last one filled up with images drawn again. The
    groups of one identity lie side by side in a row that is dealt out to the batches in turn, so that no batch holds an
    identity twice and `len(sampler)` is exact. Fewer than P groups are left over; the shuffle decides which. An epoch's
    batches depend on the seed and the epoch alone, so that training resumes at any epoch by `set_epoch`.

    Where several processes train together, each gets whole identities of every batch, equally many. The keys are those
    of the whole batch, so that an image is augmented in the same way however many processes there are.
    """

    def __init__(
        self,
        identities: Sequence[int],
        identities_per_batch: int,  # P
        images_per_identity: int,  # K
        *,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        """Group the rows by the identity of each; InputError where the batches cannot be made or shared."""
        if identities_per_batch < 2 or images_per_identity < 2:
            raise InputError(
                f"batches need at least 2 identities with 2 images, not {identities_per_batch} x {images_per_identity}"
            )
        if identities_per_batch % processes:
            raise InputError(
                f"{processes} processes cannot share batches of {identities_per_batch} identities equally; "
                "choose identities_per_batch as a multiple of the processes"
            )
        labels = np.asarray(identities)
        self._rows = [np.flatnonzero(labels == identity) for identity in np.unique(labels)]
        if len(self._rows) < identities_per_batch:
            raise InputError(
                f"a batch of {identities_per_batch} identities needs as many in training; "
                f"the data have {len(self._rows)}"
            )
        self._p, self._k, self._seed, self._epoch = identities_per_batch, images_per_identity, seed, 0
        self._rank, self._processes = rank, processes
        # of each identity: its images over K, rounded up, but never more than there are batches
        self._groups = np.array([-(-len(rows) // self._k) for rows in self._rows])
        while (capped := np.minimum(self._groups, len(self))).sum() < self._groups.sum():
            self._groups = capped

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return int(self._groups.sum()) // self._p

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches the next iteration yields."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[SampleKey]]:
        generator = np.random.default_rng([self._seed, self._epoch])
        groups: list[np.ndarray] = []
        for identity in generator.permutation(len(self._rows)):
            rows = generator.permutation(self._rows[identity])
            wanted = int(self._groups[identity]) * self._k
            if wanted > len(rows):
                rows = np.concatenate([rows, generator.choice(rows, wanted - len(rows))])
            groups.extend(np.split(rows[:wanted], self._groups[identity]))
        batches = len(self)
        position = 0
        for batch in generator.permutation(batches):
            rows = np.concatenate(groups[batch : batches * self._p : batches])
            keys = [(self._epoch, position + offset, int(row)) for offset, row in enumerate(rows)]
            share = len(keys) // self._processes
            yield keys[self._rank * share : (self._rank + 1) * share]
            position += len(keys)
