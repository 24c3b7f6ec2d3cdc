import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from oracles import equal
from tiny import TIMINGS, Tiny, pictures
from torch import Tensor, nn

from crreid.data.pairs import PairBatch, PairDataset
from crreid.errors import InputError
from crreid.methods.method import Method, ParameterGroup, parameter_group
from crreid.training import loop
from crreid.training.checkpoint import load_checkpoint, save_checkpoint
from crreid.training.loop import TrainingDiverged, TrainingLog, train
from crreid.training.schedule import Schedule

CPU = torch.device("cpu")
SCHEDULE = Schedule(
    epochs=3, identities_per_batch=2, images_per_identity=2, learning_rate=0.05, warmup_epochs=0, precision="fp32"
)


class Diverging(Tiny):
    """Its second loss is `value` at one step."""

    def __init__(self, step: int, value: float) -> None:
        super().__init__()
        self.bad, self.value = step, value

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        losses = super().losses(batch, player)
        return losses | {"size": losses["size"] * self.value} if self.steps == self.bad else losses


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PairDataset:
    """4 identities with 4 images each: 4 batches an epoch."""
    return pictures(4, tmp_path_factory.mktemp("pixels"))


Trainer = Callable[..., pd.DataFrame]
logs: list[TrainingLog] = []
"""What the trainings of a test that came to their end returned."""


@pytest.fixture
def fit(dataset: PairDataset, tmp_path: Path) -> Iterator[Trainer]:
    """Trains a method in a folder below the test's own, silently."""

    def fit(
        method: Method, schedule: Schedule = SCHEDULE, *, folder: str = "run", seed: int = 0, **options: Any
    ) -> pd.DataFrame:
        options = {"report": lambda line: None} | options
        log = train(method, dataset, schedule, seed=seed, device=CPU, folder=tmp_path / folder, **options)
        logs.append(log)
        return log.epochs

    logs.clear()

    return fit


def test_log_has_one_row_an_epoch_and_is_written(fit: Trainer, tmp_path: Path) -> None:
    schedule = replace(SCHEDULE, warmup_epochs=1)
    log = fit(Tiny(), schedule)
    assert list(log) == ["epoch", "learning_rate", "ce", "size", "total", "pairs_per_second", "seconds"]
    assert log["epoch"].tolist() == [0, 1, 2]
    assert log["learning_rate"].tolist() == [3e-4, 0.05, 0.05]
    assert log["total"].tolist() == pytest.approx((log["ce"] + log["size"]).tolist())
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "run" / "epochs.csv"), log)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "epochs.csv"]


def test_means_are_those_of_the_steps_in_training_mode(fit: Trainer) -> None:
    seen, modes = [], set()

    class Watched(Tiny):
        def losses(self, batch: PairBatch, player: str = "network") -> dict[str, Tensor]:
            losses = super().losses(batch, player)
            seen.append(losses["ce"].item())
            modes.add(self.training)
            return losses

    log = fit(Watched().eval(), replace(SCHEDULE, epochs=2))
    assert (len(seen), modes) == (8, {True})
    assert log["ce"].tolist() == pytest.approx([np.mean(seen[:4]), np.mean(seen[4:])])


def test_the_same_seed_gives_the_same_weights_bit_for_bit(fit: Trainer) -> None:
    one, other, another = Tiny(), Tiny(), Tiny()
    first = fit(one, folder="one")
    torch.manual_seed(123)  # the generator before the training does not matter
    second = fit(other, folder="other")
    fit(another, folder="another", seed=1)
    assert equal(one.state_dict(), other.state_dict())
    assert not equal(one.state_dict(), another.state_dict())
    pd.testing.assert_frame_equal(first.drop(columns=TIMINGS), second.drop(columns=TIMINGS))


# after epoch 1 of 3, and twice: in the middle of epoch 2 and of epoch 3
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stops", [(4,), (6, 6)])
def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(fit, tmp_path, precision, stops):
    schedule = replace(SCHEDULE, precision=precision)
    straight = Tiny()
    expected = fit(straight, schedule, folder="straight")
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            fit(Tiny(stop=stop), schedule, folder="stopped")
    lines: list[str] = []
    resumed = Tiny(seed=99)  # what the checkpoint holds counts, not the initial weights
    log = fit(resumed, schedule, folder="stopped", report=lines.append)
    assert lines[0] == f"resumed after epoch {len(stops)} of 3"
    assert resumed.steps == 4 * (3 - len(stops))
    assert equal(resumed.state_dict(), straight.state_dict())
    pd.testing.assert_frame_equal(log.drop(columns=TIMINGS), expected.drop(columns=TIMINGS))
    assert len(pd.read_csv(tmp_path / "stopped" / "epochs.csv")) == 3


def test_a_finished_training_is_not_trained_on(fit: Trainer) -> None:
    finished = Tiny()
    log = fit(finished)
    again = Tiny(seed=5)
    pd.testing.assert_frame_equal(fit(again), log)
    assert again.steps == 0
    assert equal(again.state_dict(), finished.state_dict())


def test_every_process_that_trained_some_epochs_is_on_record(fit: Trainer) -> None:
    for stop, threads in ((5, 2), (2, 9), (5, 1)):  # after one epoch, before the second is whole, after two
        with pytest.raises(KeyboardInterrupt):
            fit(Tiny(stop=stop), origin={"threads": threads})
    epochs = fit(Tiny(), origin={"threads": 4})
    (log,) = logs
    assert [(stretch["threads"], stretch["epochs"]) for stretch in log.stretches] == [(2, 1), (1, 1), (4, 1)]
    assert [stretch["seconds"] for stretch in log.stretches] == epochs["seconds"].tolist()
    fit(Tiny(), origin={"threads": 8})  # which has nothing left to train
    assert logs[1].stretches == log.stretches


def test_a_checkpoint_says_whose_it_is(fit: Trainer) -> None:
    fit(Tiny(), replace(SCHEDULE, epochs=1), owner="run a on images b")
    with pytest.raises(InputError, match=r"belongs to another training \(run a on images b, not run a on images c\)"):
        fit(Tiny(), owner="run a on images c")
    fit(Tiny(), owner="run a on images b")
    with pytest.raises(InputError, match=r"belongs to another training \(3 epochs of 2\); delete it"):
        fit(Tiny(), replace(SCHEDULE, epochs=2), owner="run a on images b")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_is_named_and_the_last_good_checkpoint_stays(fit: Trainer, tmp_path: Path, value: float) -> None:
    expected = rf"^epoch 2, step 3: the loss term 'size' is {value}; lower the learning rate or train in fp32$"
    with pytest.raises(TrainingDiverged, match=expected):
        fit(Diverging(7, value))
    state = load_checkpoint(tmp_path / "run" / "checkpoint.pt", CPU)
    good = Tiny()
    fit(good, folder="good", schedule=replace(SCHEDULE, epochs=1))
    assert equal(state["method"], good.state_dict())
    assert [row["epoch"] for row in state["rows"]] == [0]
    assert isinstance(TrainingDiverged("x"), InputError)


class Players(Method):
    """Two players with one number each: the first minimises first * 2, the second first * second + second."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 1, bias=False)
        self.second = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.first.weight, 3.0)
        nn.init.constant_(self.second.weight, 5.0)
        self.calls: list[tuple[str, float, float]] = []

    def players(self) -> dict[str, list[ParameterGroup]]:
        return {
            "maker": [parameter_group(self.first)],
            "judge": [parameter_group(self.second, 0.5)],
        }

    def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
        first, second = self.first.weight.sum(), self.second.weight.sum()
        self.calls.append((player, first.item(), second.item()))
        return {"make": first * 2} if player == "maker" else {"judge": first * second, "shrink": second * 1}

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        return images


def test_players_step_in_order_at_their_own_rates_and_leave_each_other_alone(fit: Trainer) -> None:
    plain = replace(SCHEDULE, epochs=1, momentum=0.0, nesterov=False, weight_decay=0.0, learning_rate=0.1)
    method = Players()
    log = fit(method, plain)
    first, second, expected = 3.0, 5.0, []
    for _ in range(4):
        expected.append(("maker", first, second))
        first -= 0.1 * 2
        expected.append(("judge", first, second))  # sees the step that the maker has just taken
        second -= 0.1 * 0.5 * (first + 1)
    assert [name for name, _, _ in method.calls] == [name for name, _, _ in expected]
    np.testing.assert_allclose([call[1:] for call in method.calls], [call[1:] for call in expected], rtol=1e-5)
    assert method.first.weight.item() == pytest.approx(first, rel=1e-5)
    assert method.second.weight.item() == pytest.approx(second, rel=1e-5)
    assert list(log)[2:6] == ["make", "judge", "shrink", "total"]


@pytest.mark.parametrize("name", ["make", "total", "epoch"])
def test_a_name_that_is_taken_is_refused(fit: Trainer, tmp_path: Path, name: str) -> None:
    class Clashing(Players):
        def losses(self, batch: PairBatch, player: str) -> dict[str, Tensor]:
            losses = super().losses(batch, player)
            return losses if player == "maker" else {name: losses["judge"]}

    with pytest.raises(InputError, match=f"the loss term '{name}' of player 'judge' has a name that the log has"):
        fit(Clashing())
    assert not (tmp_path / "run").exists()


class Fixed(Tiny):
    """Has nothing to learn."""

    def players(self) -> dict[str, list[ParameterGroup]]:
        return {"network": [parameter_group(self.requires_grad_(False))]}


@pytest.mark.parametrize("method", [Fixed, Tiny])
def test_no_epoch_trains_nothing_and_leaves_nothing(fit: Trainer, tmp_path: Path, method: type[Tiny]) -> None:
    untrained, expected = method(), method().state_dict()
    # batches of 9 identities could not be made either
    log = fit(untrained, replace(SCHEDULE, epochs=0, identities_per_batch=9))
    assert list(log) == ["epoch", "learning_rate", "total", "pairs_per_second", "seconds"]
    assert len(log) == 0
    assert untrained.steps == 0
    assert equal(untrained.state_dict(), expected)
    assert not (tmp_path / "run").exists()


def test_a_player_without_trainable_parameters_is_named(fit: Trainer) -> None:
    with pytest.raises(InputError, match="player 'network' has no trainable parameters; set epochs=0"):
        fit(Fixed())


def test_steps_are_nesterovs_with_weight_decay_as_torch_takes_them(fit: Trainer) -> None:
    plain = replace(SCHEDULE, epochs=2, learning_rate=0.1, milestones=(1,), momentum=0.9, weight_decay=0.01)
    method = Players()
    fit(method, plain)
    value, speed = 3.0, 0.0
    for epoch in range(2):
        for step in range(4):
            gradient = 2 + 0.01 * value
            speed = gradient if epoch == step == 0 else 0.9 * speed + gradient
            value -= 0.1 ** (1 + epoch) * (gradient + 0.9 * speed)
    assert method.first.weight.item() == pytest.approx(value, rel=1e-5)


def test_progress_names_epoch_step_terms_and_learning_rate(fit: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", -1.0)
    lines: list[str] = []
    done: list[tuple[int, int]] = []
    fit(Tiny(), replace(SCHEDULE, epochs=2), report=lines.append, progress=lambda *steps: done.append(steps))
    assert done == [(step, 8) for step in range(1, 9)]
    assert len(lines) == 8
    assert lines[5].startswith("epoch 2/2 step 2/4: ce ")
    assert ", size 0.0" in lines[5]
    assert "; learning rate 5.0e-02, " in lines[5]
    assert lines[7].endswith(" pairs/s, 0.0 min left")


def test_a_checkpoint_of_another_training_is_refused(fit: Trainer, tmp_path: Path) -> None:
    fit(Players())
    with pytest.raises(InputError, match=r"checkpoint\.pt: belongs to another training .*; delete it"):
        fit(Tiny())
    file = tmp_path / "run" / "checkpoint.pt"
    save_checkpoint(file, {"something": "else"})
    with pytest.raises(InputError, match=r"belongs to another training \('owner'\)"):
        fit(Tiny())
