import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import copied, equal

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.losses.cross_entropy import label_smoothing_cross_entropy
from crreid.losses.triplet import batch_hard_triplet
from crreid.losses.verification import verification_loss
from crreid.methods.lrar import LRAR, LRARSettings, level_of_rate
from crreid.methods.method import drawn_alone
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.resolution_masks import ResolutionMaskSettings

RATES = (1.0, 2.0, 3.0, 4.0)
# of timm: one block a stage, 0.4 million parameters
NETWORK = PooledClassifierSettings(backbone="test_resnet", feature_length=16, dropout=0.0)
FULL = LRARSettings(network=NETWORK)
LENGTH = replace(FULL, masks=None, verification_weight=0)
BASELINE = replace(LENGTH, varying_length=False)
ROWS = {
    "Baseline": BASELINE,
    "Length": LENGTH,
    "Progressive masks": replace(BASELINE, masks=ResolutionMaskSettings()),
    "Length + joint masks": replace(FULL, verification_weight=0, progressive=False),
    "Length + progressive masks": replace(FULL, verification_weight=0),
    "Length + verification": replace(FULL, masks=None),
    "Length + joint masks + verification": replace(FULL, progressive=False),
    "LRAR": FULL,
}
IDENTITIES = 3


def build(settings: LRARSettings = FULL, seed: int = 0) -> LRAR:
    torch.manual_seed(seed)
    return settings.build(IDENTITIES)


def optimizer_of(method: LRAR) -> torch.optim.SGD:
    groups = method.players()["network"]
    return torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1)


def train(method: LRAR, batch: PairBatch, steps: int = 2) -> None:
    optimizer = optimizer_of(method.train())
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(method.losses(batch, "network").values())).sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("rate", "level"),
    [(1, 3), (1.4, 3), (1.5, 2), (2, 2), (2.4, 2), (2.5, 1), (3, 1), (3.5, 0), (4, 0), (8, 0), (99, 0)],
)
def test_levels_of_rates_seen_and_unseen(rate: float, level: int) -> None:
    found = level_of_rate(torch.tensor([rate]), RATES)
    assert found.dtype == torch.int64
    assert found.tolist() == [level]


@settings(deadline=None)
@given(
    rates=st.lists(st.floats(1, 20, width=32), min_size=1, max_size=8),
    levels=st.lists(st.integers(4, 40), min_size=1, max_size=5, unique=True),
)
def test_a_level_is_the_nearest_in_ratio(rates: list[float], levels: list[int]) -> None:
    ascending = tuple(sorted(quarter / 4 for quarter in levels))
    found = level_of_rate(torch.tensor(rates), ascending).tolist()
    for rate, level in zip(rates, found, strict=True):
        gaps = [abs(math.log(rate / other)) for other in reversed(ascending)]  # from the lowest level
        assert gaps[level] == pytest.approx(min(gaps), abs=1e-6)
    order = sorted(zip(rates, found, strict=True))
    assert all(one[1] >= other[1] for one, other in pairwise(order))


@pytest.mark.parametrize("title", ROWS)
def test_rows_of_the_ablation_have_their_terms(title: str, batch: PairBatch) -> None:
    method = build(ROWS[title])
    losses = method.losses(batch, "network")
    assert ROWS[title].title == title
    assert set(losses) == {"ce"} | ({"verification"} if "verification" in title or title == "LRAR" else set())
    assert all(loss.ndim == 0 and loss.isfinite() and loss > 0 for loss in losses.values())
    assert (method.masks is not None) == ("masks" in title or title == "LRAR")


@pytest.mark.parametrize(
    "settings",
    [BASELINE, replace(LENGTH, rates=(1,)), replace(BASELINE, rates=(1, 2))],
    ids=["no length", "one level", "no length, two levels"],
)
def test_with_one_level_it_equals_its_plain_baseline(settings: LRARSettings, batch: PairBatch) -> None:
    """Through training: the same bytes as timm's ResNet with the head of the conventional rows and cross entropy."""
    torch.manual_seed(0)
    with drawn_alone("network"):
        plain = NETWORK.build(IDENTITIES)
    method = build(settings)
    assert equal(copied(method.network.state_dict()), copied(plain.state_dict()))
    images, labels = torch.cat([batch.high, batch.low]), batch.labels.repeat(2)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        label_smoothing_cross_entropy(plain(images).logits[0], labels, 0.0).backward()
        optimizer.step()
    train(method, batch)
    assert equal(copied(method.network.state_dict()), copied(plain.state_dict()))
    assert settings.title == "Baseline"
    with torch.inference_mode():
        found, expected = method.eval().embed(batch.low, batch.rates), plain.eval().embed(batch.low)
    assert torch.equal(found, expected)
    squares = torch.cdist(expected.double(), expected.double()).square()
    torch.testing.assert_close(method.distances(found, found, batch.rates).double(), squares, rtol=1e-4, atol=1e-4)


def test_terms_are_their_weights_times_the_losses_by_hand(batch: PairBatch) -> None:
    settings = replace(FULL, verification_weight=0.7)
    method = build(settings).eval()
    losses = method.losses(batch, "network")
    with torch.no_grad():
        rates = torch.cat([torch.ones(6), batch.rates])
        descriptors = method.embed(torch.cat([batch.high, batch.low]), rates)
        labels, weight, bias = batch.labels.repeat(2), method.network.classifier.weight, method.network.classifier.bias
        logits = torch.zeros(12, IDENTITIES)
        for row, rate in enumerate(rates.tolist()):  # sub-classifiers of the live parts, one at a time
            logits[row] += bias
            for part in range(5 - int(rate)):
                columns = slice(4 * part, 4 * part + 4)
                logits[row] += weight[:, columns] @ descriptors[row, columns]
        lengths = (4 * (5 - rates)).long()
        expected = {
            "ce": label_smoothing_cross_entropy(logits, labels, 0.0),
            "verification": 0.7 * verification_loss(method.head, descriptors, labels, lengths),
        }
    torch.testing.assert_close(dict(losses), expected, check_stride=False)


def test_triplets_are_of_the_sharp_and_of_the_low_images_apart(batch: PairBatch) -> None:
    method = build(replace(LENGTH, triplet_weight=0.3, margin=5.0)).eval()
    loss = method.losses(batch, "network")["triplet"]
    with torch.no_grad():
        sharp = batch_hard_triplet(method.embed(batch.high, torch.ones(6)), batch.labels, 5.0)
        low = batch_hard_triplet(method.embed(batch.low, batch.rates), batch.labels, 5.0)
    assert loss.item() == pytest.approx(0.3 * (sharp + low).item() / 2, rel=1e-4)


def test_descriptors_end_where_the_level_does(batch: PairBatch) -> None:
    method = build().eval()
    with torch.inference_mode():
        descriptors = method.embed(batch.low, batch.rates)
    assert descriptors.shape == (6, 16)
    assert descriptors.dtype == torch.float32
    for row, rate in zip(descriptors, batch.rates.tolist(), strict=True):
        length = 4 * (5 - int(rate))
        assert (row[:length] != 0).all()
        assert (row[length:] == 0).all()


def test_sub_classifiers_above_the_level_get_no_gradient(batch: PairBatch) -> None:
    method = build(LENGTH)
    with torch.no_grad():
        method.network.classifier.weight.normal_()
    low = replace(batch, high=batch.low, rates=torch.full((6,), 4.0))
    levels = level_of_rate(low.rates, RATES)
    method.network.classifier(method._describe(low.low, levels)).square().sum().backward()
    gradient = method.network.classifier.weight.grad
    assert gradient[:, :4].abs().sum() > 0
    assert gradient[:, 4:].abs().sum() == 0
    embedding = method.network.normalisation.weight.grad
    assert (embedding[4:] == 0).all()


def descriptors_and_rates(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, gallery = torch.randn(7, 16, generator=generator), torch.randn(5, 16, generator=generator)
    return query, gallery, torch.tensor([1.0, 4.0, 2.0, 3.0, 8.0, 1.5, 2.0])


LIVE = [16, 4, 12, 8, 4, 12, 12]


def test_distances_equal_a_loop_over_pairs() -> None:
    query, gallery, rates = descriptors_and_rates()
    found = build(LENGTH).distances(query, gallery, rates)
    expected = np.empty((7, 5))
    for i, (one, length) in enumerate(zip(query.double().numpy(), LIVE, strict=True)):
        for j, other in enumerate(gallery.double().numpy()):
            a, b = one[:length], other[:length]
            expected[i, j] = float(((a - b) ** 2).sum())
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_near_duplicates_far_from_the_origin_keep_their_distance() -> None:
    query, gallery, rates = descriptors_and_rates()
    query, gallery = 100 + 0.01 * query, 100 + 0.01 * gallery
    found = build(LENGTH).distances(query, gallery, rates)
    for row, length in enumerate(LIVE):
        exact = (query[row, :length].double() - gallery[:, :length].double()).square().sum(dim=1)
        torch.testing.assert_close(found[row].double(), exact, rtol=0.01, atol=0)
    same = build(LENGTH).distances(query, query, rates)
    assert (same.diagonal() >= 0).all()
    assert same.argmin(dim=1).tolist() == list(range(7))


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(batch: PairBatch) -> None:
    """A fresh method with the trained state and the optimiser's, told the epoch, makes the same steps."""

    def epochs(method: LRAR, optimizer: torch.optim.SGD, numbers: range) -> None:
        for epoch in numbers:
            method.start_epoch(epoch, 4)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(method.losses(batch, "network").values())).sum().backward()
            optimizer.step()

    whole, first, second = build().train(), build().train(), build(seed=7).train()
    epochs(whole, optimizer_of(whole), range(4))
    stopped = optimizer_of(first)
    epochs(first, stopped, range(2))
    resumed = optimizer_of(second)
    second.load_trained_state(copied(first.state_dict()))
    resumed.load_state_dict(stopped.state_dict())
    epochs(second, resumed, range(2, 4))
    assert equal(copied(second.state_dict()), copied(whole.state_dict()))


def test_mask_table_lists_every_value_once() -> None:
    method = build()
    table = method.mask_table()
    assert list(table.columns) == ["position", "depth", "level", "rate", "channel", "value"]
    assert len(table) == 4 * (32 + 48 + 192 + 96)
    assert table.groupby("level")["rate"].first().to_dict() == {1: 4, 2: 3, 3: 2, 4: 1}
    assert table.groupby("depth")["position"].first().tolist() == list(method.masks.positions)
    cell = table[(table.position == "layer2.0") & (table.level == 2) & (table.channel == 5)]
    raw = dict(zip(method.masks.positions, method.masks.parameters(), strict=True))["layer2.0"][1, 5].item()
    assert cell["value"].item() == pytest.approx(1 / (1 + math.exp(-raw)), rel=1e-5)
    assert not table.duplicated(["position", "level", "channel"]).any()
    assert len(build(LENGTH).mask_table()) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rates": ()}, "ascending"),
        ({"rates": (2, 1)}, "ascending"),
        ({"rates": (1, 1)}, "ascending"),
        ({"rates": (0.5, 1)}, "at least 1"),
        ({"rates": (1, 2, 3)}, "16 is no multiple of 3"),
        ({"verification_weight": -1}, "verification_weight"),
        ({"triplet_weight": -1}, "triplet_weight"),
    ],
)
def test_bad_settings_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(FULL, **fields)
