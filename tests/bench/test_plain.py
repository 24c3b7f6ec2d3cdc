"""The plain recipe: the same images, attention, losses, steps and scores as the fast one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from crreid.bench.bench import ranking_problem
from crreid.bench.plain import (
    PlainPairs,
    PlainStep,
    _degraded,
    on_device,
    plain_scores,
    with_plain_attention,
)
from crreid.data.augmentation import Augmentation
from crreid.data.degradation import Degradation
from crreid.data.pairs import PairDataset, PairLoader, normalise
from crreid.data.pixels import PixelCache
from crreid.data.sampler import IdentitySampler
from crreid.errors import InputError
from crreid.evaluation.evaluate import embed_table
from crreid.evaluation.ranking import multi_shot
from crreid.methods.method import Method
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, PSHRNetSettings
from crreid.models.channel_attention import ChannelAttention
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.vdsr import VDSRSettings
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

CPU = torch.device("cpu")
SIZE = (64, 32)


@pytest.fixture
def pairs(table_maker, tmp_path):
    """Training table with rates, and its pairs."""
    table = table_maker(height=50, width=30).with_role("train")
    table = table.with_rates(np.resize([1.0, 2.0, 3.0, 4.0], len(table)))
    pixels = PixelCache(table, tmp_path)
    return table, PairDataset(table, pixels, SIZE, Augmentation(padding=3), seed=1)


def built(identities: int) -> Method:
    torch.manual_seed(0)
    network = HRNetReIDSettings(backbone="hrnet_w18_small", dropout=0.0)
    restoration = VDSRSettings(depth=3, width=8, initialisation="identity")
    teacher = HRNetReIDHighSettings(network=network).build(identities)
    return PSHRNetSettings(network=network, restoration=restoration).build(identities, teacher)


def sampler_of(dataset: PairDataset) -> IdentitySampler:
    return IdentitySampler(dataset.labels.tolist(), 2, 3, seed=0)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_makes_the_batches_of_the_fast_path(pairs, workers) -> None:
    table, dataset = pairs
    sampler = sampler_of(dataset)
    loaded = list(DataLoader(PlainPairs(dataset, table), batch_sampler=sampler, num_workers=workers))
    fast = list(PairLoader(dataset, sampler, CPU))
    assert len(loaded) == len(fast) > 1
    for plain, batch in zip(loaded, fast, strict=True):
        for name, expected in vars(batch).items():
            assert plain[name].dtype == expected.dtype
            assert torch.equal(plain[name], expected)
        assert plain["high"].is_contiguous()


def test_other_filters_are_refused(pairs) -> None:
    table, dataset = pairs
    with pytest.raises(InputError, match="default filters only"):
        PlainPairs(dataset, replace(table, degradation=Degradation(shrink="box")))


@pytest.mark.parametrize("rectified", [True, False])
def test_plain_attention_shares_parameters_and_computes_the_same(rectified) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Sequential(ChannelAttention(6, 2, rectified=rectified)))
    maps = torch.randn(3, 6, 5, 4, requires_grad=True)
    expected = module(maps)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    wanted = [maps.grad.clone(), *(parameter.grad.clone() for parameter in module.parameters())]
    before = {id(parameter) for parameter in module.parameters()}
    maps.grad = None
    module.zero_grad()
    with_plain_attention(module)
    assert not any(isinstance(child, ChannelAttention) for child in module.modules())
    assert {id(parameter) for parameter in module.parameters()} == before
    found = module(maps)
    assert torch.allclose(found, expected, atol=1e-6)
    (found * weights).sum().backward()
    for gradient, known in zip([maps.grad, *(p.grad for p in module.parameters())], wanted, strict=True):
        assert torch.allclose(gradient, known, atol=1e-5)


def test_fast_steps_in_full_precision_are_the_plain_ones(pairs) -> None:
    """In float64: a fresh network multiplies a difference by a hundred a step, so that float32 shows one step only."""
    table, dataset = pairs
    sampler, curves = sampler_of(dataset), {}
    for double in (False, True):
        for plain in (True, False):
            method = built(dataset.identities).train()
            if double:
                method.double()
            if plain:
                with_plain_attention(method)
                step = PlainStep(method, Schedule(), CPU, autocast=False)
                batches = list(on_device(DataLoader(PlainPairs(dataset, table), batch_sampler=sampler), CPU))
            else:
                step = TrainingStep(method, Schedule(precision="fp32"), CPU)
                batches = list(PairLoader(dataset, sampler, CPU))
            step.set_learning_rate(3e-4)
            curves[plain, double] = []
            for batch in batches[: 4 if double else 1]:
                number = torch.float64 if double else torch.float32
                losses = step(replace(batch, high=batch.high.to(number), low=batch.low.to(number)))
                curves[plain, double].append(list(losses.values()) if plain else losses.tolist())
    assert curves[True, False] == [pytest.approx(losses, rel=1e-4) for losses in curves[False, False]]
    assert len(curves[True, True]) > 2
    assert curves[True, True] == [pytest.approx(losses, rel=1e-5) for losses in curves[False, True]]
    assert curves[True, True][0] != pytest.approx(curves[True, True][-1], rel=1e-2)


def test_descriptors_are_those_of_the_fast_path(pairs, tmp_path) -> None:
    table, dataset = pairs
    method = built(dataset.identities)
    pixels = PixelCache(table, tmp_path)
    fast = embed_table(method, table, pixels, SIZE, flip=True, device=CPU, precision="fp32")
    with_plain_attention(method).eval()
    images = torch.stack(
        [
            normalise(torch.tensor(np.asarray(_degraded(Image.fromarray(table.source.read(path)), rate, SIZE)))[None])[
                0
            ]
            for path, rate in table.rows[["path", "rate"]].itertuples(index=False)
        ]
    )
    with torch.no_grad():
        plain = sum(method.embed(each, torch.ones(len(each))) for each in (images, images.flip(3)))
    assert torch.allclose(plain, fast, rtol=1e-3, atol=1e-4)


def test_scores_of_a_full_sort_are_those_of_multi_shot() -> None:
    distances, labels = ranking_problem(60, 400)
    assert all(len(np.unique(row)) == len(row) for row in distances)
    plain, scores = plain_scores(distances, labels), multi_shot(distances, labels)
    fast = scores[scores["rate"].isna()].set_index("metric")["value"].to_dict()
    assert 0 < plain["map_trapezoid"] < plain["map_hit"] < 1
    assert plain == pytest.approx(fast)
