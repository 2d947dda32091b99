"""Which layers does a rank train, and in which version are they? Its stage's executor, made anew for every plan."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from edgesim.model import Model
from edgesim.schedule import Task
from real_runtime.assignment import Assignment
from real_runtime.carrying.layer_state import flat_state, own_parameters, put_back
from real_runtime.carrying.store import Store
from real_runtime.models import build_layers, loans_of
from real_runtime.models.batch_norms import statistics_of_batches
from real_runtime.stages.executor import StageExecutor
from real_runtime.stages.module import StageModule
from real_runtime.weights.drawing import undrawn
from real_runtime.weights.loans import lend


class TrainedStage:
    """A stage's layers after ``version`` iterations."""

    def __init__(self, executor: StageExecutor, version: int) -> None:
        self.executor, self.version = executor, version
        self.begin()

    @classmethod
    def new(cls, assignment: Assignment, program: Sequence[Task], version: int) -> "TrainedStage":
        """Layers as they are at the beginning: drawn by the seed, or read from the assignment's checkpoint."""
        return cls(StageExecutor(assignment, program), version)

    @classmethod
    def taken_up(
        cls,
        assignment: Assignment,
        program: Sequence[Task],
        version: int,
        store: Store,
    ) -> "TrainedStage":
        """Layers of a version that the store has, or that are trained already; of version 0 as at the beginning.

        Raises KeyError naming a layer that is not here.
        """
        if version == 0:
            return cls.new(assignment, program, 0)
        with undrawn():
            made = cls(StageExecutor(assignment, program), version)
        if assignment.model.hyper.get("cached"):
            made.lend_words()
        for layer, parameters, statistics in made.carried(assignment.model):
            numbers = store.flat((layer, layer + 1), version)
            put_back(numbers, parameters, statistics, made.module.optimiser, assignment.workload, version=version)
        return made

    @property
    def module(self) -> StageModule:
        """What computes the layers."""
        assert self.executor.stage is not None, "made for a program that forwards"
        return self.executor.stage

    @property
    def layers(self) -> tuple[int, int]:
        """The half-open range of layers."""
        return self.executor.layers

    def carried(self, model: Model) -> Iterator[tuple[int, list[torch.nn.Parameter], list[Tensor]]]:
        """Yield every layer, its parameters, and its statistics of batches, as a model has them: all, or the cached."""
        modules = dict(zip(range(*self.layers), self.module.module, strict=True))
        statistics = (list(statistics_of_batches(module)) for module in modules.values())
        return zip(modules, own_parameters(model, modules), statistics, strict=True)

    def states(self, model: Model | None = None) -> Iterator[tuple[int, Tensor]]:
        """Yield every layer, and a copy of the numbers that it carries, in this model's form or in that of its own."""
        for layer, parameters, statistics in self.carried(model or self.module.model):
            yield layer, flat_state(parameters, statistics, self.module.optimiser, self.module.workload)

    def lend_words(self) -> None:
        """Give a head its words that are tied to a frozen embedding: nobody carries them."""
        assignment, last = self.executor.assignment, len(self.module.model.layers) - 1
        build = partial(build_layers, seed=assignment.seed, checkpoint=assignment.checkpoint, frozen=True)
        head, loans = self.module.module[-1].get_submodule("head"), loans_of(assignment.model, last)
        lend({last: head}, {last: loans}, lambda owner: build(assignment.model, [owner])[0])

    def begin(self) -> None:
        """Remember what an iteration changes before its end: statistics of batches."""
        self._before = [each.clone() for each in statistics_of_batches(self.module.module)]

    @torch.no_grad()
    def undo(self) -> None:
        """Forget an iteration that did not come to its end."""
        self.module.undo()
        for each, before in zip(statistics_of_batches(self.module.module), self._before, strict=True):
            each.copy_(before)
