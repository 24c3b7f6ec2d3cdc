"""One training step: forward pass, backward pass and update of every player in turn.

On a GPU the step is recorded once as a CUDA graph and replayed, since the launches of its several thousand kernels cost
more than their arithmetic; nothing in it waits for the device. Elsewhere it runs as it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from crreid.data.pairs import PairBatch
from crreid.distributed import distributed_losses, processes
from crreid.errors import InputError
from crreid.methods.method import Method, ParameterGroup
from crreid.numerics import effective_precision
from crreid.training.schedule import Schedule

LOG_COLUMNS = ("epoch", "learning_rate", "total", "pairs_per_second", "seconds")
"""Columns of the log of a training besides the loss terms."""

WARM_UP_STEPS = 3  # before a graph is recorded: libraries choose their kernels, momenta come into being


class TrainingStep:
    """Trains a method by one batch per call.

    Attributes:
        optimizers: Of each player, one for each kind that its groups ask for.
        names: Names of the loss terms of all players and of what else the method logs, in the order of what a call
            returns; known after the first.
    """

    def __init__(self, method: Method, schedule: Schedule, device: torch.device, *, graph: bool | None = None) -> None:
        """Make the optimisers, at learning rate 0 until `set_learning_rate`, of a method on `device`.

        `graph` says whether the step is recorded; None does so on a GPU, unless several processes train together.
        Raises InputError where a player has no trainable parameters.
        """
        self.names: list[str] = []
        players = method.players().items()
        self.optimizers = {name: _optimizers(name, groups, schedule, device) for name, groups in players}
        self._method, self._device = method, device
        self._precision = effective_precision(schedule.precision, device)
        self._losses = distributed_losses(method, [tensor for group in self._groups() for tensor in group["params"]])
        by_default = device.type == "cuda" and processes().count == 1
        self._graph = _Graph(device) if (by_default if graph is None else graph) else None
        self._learning = self._learning_parameters()

    def __call__(self, batch: PairBatch) -> Tensor:
        """Take a step with a batch on the device, of the same shape at every call.

        Return the losses before it: (terms,) float32 on the device, in the order of `names`.
        """
        return self._step(batch) if self._graph is None else self._graph.run(self._step, batch)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the schedule's learning rate; each group learns at its scale times it."""
        for group in self._groups():
            scaled = learning_rate * group["learning_rate_scale"]
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(scaled)  # a recorded step reads it from there
            else:
                group["lr"] = scaled

    def start_epoch(self) -> None:
        """Forget a recorded step where other parameters learn now."""
        learning = self._learning_parameters()
        if self._graph is not None and learning != self._learning:
            self._graph = _Graph(self._device)
        self._learning = learning

    def state(self) -> dict[str, Any]:
        """Return the momenta and the like of every optimiser."""
        return {player: [each.state_dict() for each in mine] for player, mine in self.optimizers.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Load what `state` returned; settings stay. Raises KeyError or ValueError for another training's."""
        for player, optimizers in self.optimizers.items():
            for optimizer, saved in zip(optimizers, state[player], strict=True):
                mine = optimizer.state_dict()["param_groups"]
                if [len(each["params"]) for each in saved["param_groups"]] != [len(each["params"]) for each in mine]:
                    raise ValueError(f"player {player!r} has other parameters")
                optimizer.load_state_dict({"state": saved["state"], "param_groups": mine})

    def _groups(self) -> Iterator[dict[str, Any]]:
        for optimizers in self.optimizers.values():
            for optimizer in optimizers:
                yield from optimizer.param_groups

    def _step(self, batch: PairBatch) -> Tensor:
        names, values = list[str](), list[Tensor]()
        for player, optimizers in self.optimizers.items():
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
                losses: dict[str, Tensor] = self._losses(batch, player)
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            for optimizer in optimizers:
                optimizer.step()
            for name, loss in losses.items():
                if name in names or name in LOG_COLUMNS:
                    raise InputError(f"the loss term {name!r} of player {player!r} has a name that the log has already")
                names.append(name)
                values.append(loss.detach())
        self.names = names
        return torch.stack(values).float()

    def _learning_parameters(self) -> list[bool]:
        return [parameter.requires_grad for parameter in self._method.parameters()]


class _Graph:
    """A step recorded as a CUDA graph: its first calls run eagerly, on the stream on which the next one is recorded."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph = torch.cuda.CUDAGraph()
        self._calls = 0
        self._batch: PairBatch | None = None
        self._losses: Tensor | None = None

    def run(self, step: Any, batch: PairBatch) -> Tensor:
        """Take a step with a batch; return its losses (terms,)."""
        self._calls += 1
        if self._calls <= WARM_UP_STEPS:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                losses: Tensor = step(batch)
            torch.cuda.current_stream().wait_stream(self._stream)
            return losses
        if self._batch is None:
            self._batch = PairBatch(**{name: tensor.clone() for name, tensor in vars(batch).items()})
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._losses = step(self._batch)
        for name, tensor in vars(batch).items():
            getattr(self._batch, name).copy_(tensor)
        self._graph.replay()
        assert self._losses is not None
        return self._losses.clone()


def _optimizers(
    player: str, groups: list[ParameterGroup], schedule: Schedule, device: torch.device
) -> list[torch.optim.Optimizer]:
    """Return an optimiser for each kind that some groups ask for; groups that name none take the schedule's."""
    if not any(group["params"] for group in groups):
        raise InputError(f"player {player!r} has no trainable parameters; set epochs=0")
    # on a GPU the learning rate is a tensor, so that a recorded step sees it change
    on_gpu = device.type == "cuda"
    start: Any = torch.zeros((), device=device) if on_gpu else 0.0
    fused = device.type in ("cpu", "cuda")  # one pass over parameters, gradients and momenta
    of_kind: dict[str, list[ParameterGroup]] = {}
    for group in groups:
        of_kind.setdefault(group.get("optimizer") or schedule.optimizer, []).append(group)
    momentum, nesterov, decay = schedule.momentum, schedule.nesterov, schedule.weight_decay
    return [
        torch.optim.Adam(mine, lr=start, weight_decay=decay, fused=fused, capturable=on_gpu)
        if kind == "adam"
        else torch.optim.SGD(mine, start, momentum, 0, decay, nesterov, fused=fused)
        for kind, mine in of_kind.items()
    ]
