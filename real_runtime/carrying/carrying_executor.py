"""What does a rank do for a job's schedule? Its stage's part, and messages that carry layers to and from its store."""

from collections.abc import Hashable, Iterable

import torch
from torch import Tensor

from edgesim.schedule import Payload, Task
from real_runtime.carrying.parcels import Parcels
from real_runtime.carrying.store import Layers, Store
from real_runtime.playing.iteration import Executor, KeepsOutputs


class CarryingExecutor:
    """Computes by a stage's executor, if the rank has a stage; layers are sent in one ``version``.

    A message of weights carries ``units`` of the numbers of its ``layers``, so that a range may come in pieces, and
    from several ranks. Messages of cached outputs are ``parcels``.
    """

    def __init__(self, stage: Executor | None, store: Store, version: int, parcels: Parcels | None = None) -> None:
        self.stage, self.store, self.version, self.parcels = stage, store, version, parcels
        self.leaving: dict[Layers, Tensor] = {}
        self.arriving: dict[Layers, Tensor] = {}

    def begin(self, iteration: int) -> None:
        """Begin an iteration of the stage."""
        if self.stage is not None:
            self.stage.begin(iteration)

    def keep_arrived(self) -> None:
        """Keep what has come in, which is whole now."""
        for layers, numbers in self.arriving.items():
            self.store.keep_flat(layers, numbers, self.version)

    def kind(self, task: Task) -> Hashable:
        """As the stage says."""
        return self._stage.kind(task)

    def compute(self, task: Task) -> None:
        """Do a computation of the stage."""
        self._stage.compute(task)

    def made(self, task: Task) -> Iterable[Tensor]:
        """What the stage has put out."""
        return self._stage.made(task)

    def reduced(self, task: Task) -> Tensor:
        """The gradients that the stage adds up."""
        return self._stage.reduced(task)

    def outgoing(self, task: Task) -> Tensor:
        """A boundary tensor of the stage, or numbers of layers."""
        if task.payload is Payload.CACHE:
            return self._parcels.outgoing(task)
        if task.payload is not Payload.WEIGHTS:
            return self._stage.outgoing(task)
        if task.layers in self.arriving:  # passed on
            return self.arriving[task.layers][slice(*task.units)]
        if task.layers not in self.leaving:
            self.leaving[task.layers] = self.store.flat(task.layers, self.version)
        return self.leaving[task.layers][slice(*task.units)]

    def incoming(self, task: Task) -> Tensor:
        """Where a boundary tensor, or numbers of layers, are put."""
        if task.payload is Payload.CACHE:
            return self._parcels.incoming(task)
        if task.payload is not Payload.WEIGHTS:
            return self._stage.incoming(task)
        if task.layers not in self.arriving:
            self.arriving[task.layers] = torch.empty(self.store.numbers(task.layers))
        return self.arriving[task.layers][slice(*task.units)]

    def loss(self) -> float:
        """The stage's part of the batch's loss."""
        return 0.0 if self.stage is None else self.stage.loss()

    def results(self) -> dict[str, Tensor]:
        """The stage's weights."""
        return self._stage.results()

    def at_disk(self, task: Task) -> int:
        """What the stage keeps of its layers, or what goes from one cache to another."""
        if self.stage is None:
            return self._parcels.at_disk(task)
        if not isinstance(self.stage, KeepsOutputs):
            raise ValueError(f"{task}: no activation cache was opened for it")
        return self.stage.at_disk(task)

    def close(self) -> None:
        """Nothing: the cache is the rank's, and outlives iterations."""

    @property
    def _parcels(self) -> Parcels:
        if self.parcels is None:
            raise ValueError("cached outputs are to be moved, and no activation cache is opened (Assignment.cache)")
        return self.parcels

    @property
    def _stage(self) -> Executor:
        assert self.stage is not None, "only who has a stage is given its tasks"
        return self.stage
