from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crreid.data.sampler import IdentitySampler
from crreid.errors import InputError


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 12), min_size=3, max_size=12),
    p=st.integers(2, 3),
    k=st.integers(2, 4),
    seed=st.integers(0, 5),
)
def test_every_batch_is_p_identities_of_k_and_the_length_is_exact(counts, p, k, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    sampler = IdentitySampler(labels.tolist(), p, k, seed=seed)
    batches = list(sampler)
    assert len(batches) == len(sampler) >= 1
    for batch in batches:
        assert sorted(Counter(labels[row] for _, _, row in batch).values()) == [k] * p
    positions = [position for batch in batches for _, position, _ in batch]
    assert positions == list(range(len(positions)))


def test_an_epoch_sees_nearly_every_image_of_equal_identities_once():
    labels = np.repeat(np.arange(30), 8)
    rows = Counter(row for batch in IdentitySampler(labels.tolist(), 6, 4, seed=0) for _, _, row in batch)
    assert len(rows) == len(labels)
    assert set(rows.values()) == {1}


def test_epochs_differ_and_come_back():
    sampler = IdentitySampler(np.repeat(np.arange(8), 6).tolist(), 4, 2, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert [[row for _, _, row in batch] for batch in first] != [[row for _, _, row in batch] for batch in second]
    assert {epoch for batch in second for epoch, _, _ in batch} == {1}


def test_too_few_identities():
    with pytest.raises(InputError, match="a batch of 6 identities needs as many in training; the data have 2"):
        IdentitySampler([0, 0, 1, 1], 6, 2, seed=0)
    with pytest.raises(InputError, match="at least 2 identities with 2 images"):
        IdentitySampler([0, 0, 1, 1], 2, 1, seed=0)


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(1, 9), min_size=6, max_size=12),
    processes=st.sampled_from([1, 2, 3, 6]),
    k=st.integers(2, 3),
    epoch=st.integers(0, 3),
)
def test_shares_are_whole_identities_and_add_up_to_the_batch(counts, processes, k, epoch):
    labels = np.repeat(np.arange(len(counts)), counts)
    sampler = IdentitySampler(labels.tolist(), 6, k, seed=0)
    shares = [IdentitySampler(labels, 6, k, seed=0, rank=rank, processes=processes) for rank in range(processes)]
    for each in (sampler, *shares):
        each.set_epoch(epoch)
    assert {len(share) for share in shares} == {len(sampler)}
    for whole, *parts in zip(sampler, *shares, strict=True):
        assert [key for part in parts for key in part] == whole  # positions too: they seed the augmentation
        for part in parts:
            assert sorted(Counter(labels[row] for _, _, row in part).values()) == [k] * (6 // processes)
