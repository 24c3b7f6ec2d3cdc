"""One step of every method: what it must not do on a GPU, and that several ways of taking it agree."""

import contextlib

import pytest
import torch
from torch import nn

from crreid.bench.cost import random_batch, untrained
from crreid.data.pairs import PairBatch
from crreid.methods.method import Method, ParameterGroup, parameter_group
from crreid.profiles import profile_settings
from crreid.rows import ITEMS
from crreid.runs import Run
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

SMOKE = profile_settings("smoke", "mlr-synthetic")
RUNS = [run for item in ITEMS.values() for run in item.rows(SMOKE).values()]
DISTINCT = {(type(run.method), run.teacher is None): run for run in RUNS if run.schedule.epochs}.values()
CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.mark.parametrize("run", DISTINCT, ids=lambda run: run.method.title)
def test_no_step_asks_the_device_for_a_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors on the device `meta` have no values: whatever would make a processor wait for a GPU fails on them."""
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **options: contextlib.nullcontext())  # unknown to it
    method = untrained(run, 6).to(META)
    step = TrainingStep(method.train(), run.schedule, META)
    for epoch in range(2):
        method.start_epoch(epoch, 2)
        step.start_epoch()
        step.set_learning_rate(0.1)
        losses = step(random_batch(3, 4, SMOKE.size, META))
    assert losses.shape == (len(step.names),)


class TwoPlayers(Method):
    """A maker on the schedule's optimiser and a judge on Adam, each with a loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.maker, self.judge = nn.Linear(3, 3), nn.Linear(3, 1)

    def players(self) -> dict[str, list[ParameterGroup]]:
        judge = [parameter_group(self.judge, 0.1, optimizer="adam", weight_decay=0)]
        return {"maker": [parameter_group(self.maker)], "judge": judge}

    def losses(self, batch: PairBatch, player: str) -> dict[str, torch.Tensor]:
        made = self.maker(batch.low.mean((2, 3)))
        if player == "maker":
            return {"make": self.judge(made).mean()}
        return {"judge": self.judge(made.detach()).square().mean()}

    def embed(self, images: torch.Tensor, rates: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def test_each_player_learns_from_its_own_losses_alone() -> None:
    torch.manual_seed(0)
    method, batch = TwoPlayers(), random_batch(2, 2, (8, 4), CPU)
    maker, judge = (
        {name: value.detach().clone() for name, value in part.named_parameters()}
        for part in (method.maker, method.judge)
    )
    step = TrainingStep(method, Schedule(weight_decay=0.0, precision="fp32"), CPU)
    step.set_learning_rate(0.5)
    made_of = batch.low.mean((2, 3)) @ maker["weight"].T + maker["bias"]
    step(batch)
    # d make / d W is the mean over images of judge x image; the first Nesterov step is 1.9 times the rate
    gradient = judge["weight"].T @ batch.low.mean((2, 3)).mean(0, keepdim=True)
    assert torch.allclose(method.maker.weight, maker["weight"] - 0.5 * 1.9 * gradient, atol=1e-6)
    # Adam's first step is the rate times the gradient's sign, and the maker's loss left nothing behind
    made = batch.low.mean((2, 3)) @ method.maker.weight.T + method.maker.bias
    assert not torch.allclose(made, made_of)
    scores = made @ judge["weight"].T + judge["bias"]
    sign = (scores * made).mean(0).sign()
    assert torch.allclose(method.judge.weight[0], judge["weight"][0] - 0.05 * sign, atol=1e-5)


def test_a_state_that_is_loaded_goes_on_bit_for_bit() -> None:
    batches = [random_batch(2, 2, (8, 4), CPU) for _ in range(6)]

    def trained(pause: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        method = TwoPlayers()
        step = TrainingStep(method, Schedule(precision="fp32"), CPU)
        for number, batch in enumerate(batches):
            if pause and number == 3:
                state = step.state()
                step = TrainingStep(method, Schedule(precision="fp32"), CPU)
                step.load_state(state)
            step.set_learning_rate(0.1)
            step(batch)
        return method.state_dict()

    whole, resumed = trained(False), trained(True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
