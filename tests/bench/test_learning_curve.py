"""The fast path learns what the plain recipe learns, step by step, from the same images."""

import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from crreid.bench.plain import PlainPairs, PlainStep, on_device, with_plain_attention
from crreid.data.augmentation import Augmentation
from crreid.data.datasets import DATASETS
from crreid.data.mlr import mlr
from crreid.data.pairs import PairDataset, PairLoader
from crreid.data.pixels import PixelCache
from crreid.data.prepare import PreparedData
from crreid.data.sampler import IdentitySampler
from crreid.evaluation.evaluate import EvaluationSettings, evaluate
from crreid.methods.method import Method
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, PSHRNetSettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.vdsr import VDSRSettings
from crreid.synthetic.dataset import SyntheticSettings, synthetic_pedestrians
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

CPU = torch.device("cpu")
SIZE = (64, 32)
STEPS, WINDOW, WARM_UP, RATE = 240, 40, 40, 1e-2


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PreparedData:
    """Built-in pedestrians: 24 identities to train, 48 to test, three images in each of four cameras."""
    height, width = SIZE
    people = SyntheticSettings(train_identities=24, test_identities=48, height=height, width=width, images_per_camera=3)
    table = mlr(synthetic_pedestrians(people), DATASETS["synthetic"].mlr)
    roles = {role: table.with_role(role) for role in ("train", "query", "gallery")}
    return PreparedData(name="", digest="", **roles, pixels=PixelCache(table, tmp_path_factory.mktemp("pixels")))


def built(identities: int) -> Method:
    torch.manual_seed(0)
    network = HRNetReIDSettings(backbone="hrnet_w18_small", dropout=0.0)
    restoration = VDSRSettings(depth=3, width=8, initialisation="identity")
    teacher = HRNetReIDHighSettings(network=network).build(identities)
    # at the whole rate three layers overshoot in their first steps, by how much rounding decides
    student = PSHRNetSettings(network=network, restoration=restoration, restoration_learning_rate_scale=0.1)
    return student.build(identities, teacher)


def learn(data: PreparedData, *, plain: bool) -> tuple[np.ndarray, float]:
    """Losses (steps, terms), and rank-1 after the last."""
    dataset = PairDataset(data.train, data.pixels, SIZE, Augmentation(padding=3), seed=0)
    sampler = IdentitySampler(dataset.labels.tolist(), 4, 4, seed=0)
    method, schedule = built(dataset.identities).train(), Schedule(precision="fp32" if plain else "bf16")
    history: list[list[float]] = []

    def rate() -> float:
        return RATE * min(1, (len(history) + 1) / WARM_UP)

    if plain:
        with_plain_attention(method)
        plain_step = PlainStep(method, schedule, CPU, autocast=False)
        loader = DataLoader(PlainPairs(dataset, data.train), batch_sampler=sampler)
    else:
        method.to(memory_format=torch.channels_last)
        step, batches = TrainingStep(method, schedule, CPU), PairLoader(dataset, sampler, CPU)
    for epoch in range(math.ceil(STEPS / len(sampler))):
        sampler.set_epoch(epoch)
        if plain:
            plain_step.set_learning_rate(rate())
            history += [list(plain_step(batch).values()) for batch in on_device(loader, CPU)]
        else:
            step.set_learning_rate(rate())
            history += [losses.tolist() for losses in map(step, batches)]
    scores = evaluate(method, data, EvaluationSettings(draws=1), size=SIZE, device=CPU, precision=schedule.precision)
    return np.array(history[:STEPS]), float(scores["value"].iloc[0])  # rank-1, multi-shot


@pytest.mark.slow
def test_both_follow_one_curve_to_one_rank1(data) -> None:
    """In float32 and in bfloat16, 240 steps: no number repeats exactly, since a fresh network amplifies any rounding.

    The total loss, averaged over 40 steps, stays within 8 %: bfloat16 was seen 4.5 % off, float32 from weights changed
    by 0.1 % just 3.7 %. Rank-1 of 144 queries, about 22 %, has a standard deviation of 3.5 points; two trainings may
    differ by 12 points, 2.5 deviations of a difference, and both know far more than chance (2 %).
    """
    (plain, plain_rank1), (fast, fast_rank1) = (learn(data, plain=choice) for choice in (True, False))
    assert fast[0] == pytest.approx(plain[0], rel=0.01)
    expected, found = (history.sum(1).reshape(-1, WINDOW).mean(1) for history in (plain, fast))
    assert expected[-1] < 0.6 * expected[0]
    assert found == pytest.approx(expected, rel=0.08)
    assert abs(fast_rank1 - plain_rank1) < 0.12
    assert min(fast_rank1, plain_rank1) > 0.1
