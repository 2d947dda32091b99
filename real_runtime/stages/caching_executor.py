"""How does a rank's part of an iteration meet its cache? Outputs are taken where they are made, and given where read.

In the epoch that fills the cache, what each frozen layer puts out is taken while its stage computes forward, and is
written by the disk's stream. In later epochs that stream reads, and what it has read is given to who computes with it.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgesim.schedule import Op, Task
from real_runtime.activation_cache.cache import ActivationCache
from real_runtime.playing.iteration import Executor

Outputs = Mapping[int, Tensor]  # by layer, [samples, rows, numbers]


class CachingExecutor:
    """Computes by another executor, and keeps outputs of its layers beside.

    ``layers`` are those whose outputs are kept. ``samples_of`` says which samples of the data set a
    rank has in a micro-batch, ``give`` takes the outputs that were read for one, before it is computed.
    """

    def __init__(
        self,
        executor: Executor,
        cache: ActivationCache,
        *,
        layers: Sequence[int],
        samples_of: Callable[[int], Sequence[int]],
        give: Callable[[int, Outputs], object] = lambda micro_batch, outputs: None,
    ) -> None:
        self.executor, self.cache, self.layers = executor, cache, tuple(layers)
        self.samples_of, self.give = samples_of, give
        self.taken: dict[int, dict[int, Tensor]] = {}  # by micro-batch and layer
        self.read: dict[int, Outputs] = {}
        self.computing: Task | None = None

    def watch(self, layer: int, module: nn.Module, kept_of: Callable[[Any], Tensor]) -> None:
        """Keep what a layer's module puts out from now on; ``kept_of`` says what of it."""

        def take(_: nn.Module, entered: object, output: Any) -> None:
            task = self.computing
            if task is not None and task.op is Op.F and task.micro_batch is not None:  # not while it is recomputed
                self.taken.setdefault(task.micro_batch, {})[layer] = kept_of(output).detach()

        module.register_forward_hook(take)

    def at_disk(self, task: Task) -> int:
        """Write what was taken of a micro-batch, or read it. Raises MissingOutputsError where it is not there."""
        assert task.micro_batch is not None, "what is cached is of a micro-batch"
        samples = self.samples_of(task.micro_batch)
        if task.op is Op.CACHE_WRITE:
            of_task = [layer for layer in self.layers if task.layers[0] <= layer < task.layers[1]]
            put_out = self.taken.pop(task.micro_batch)
            if lacking := [layer for layer in of_task if layer not in put_out]:
                raise ValueError(f"{task}: layers {lacking} put out nothing that is watched")
            taken = {layer: put_out[layer] for layer in of_task}
            for layer, outputs in taken.items():
                self.cache.write(samples, layer, outputs.numpy())
            return self._nbytes(taken)
        read = self.cache.read(samples, [layer for layer in self.layers if task.layers[0] <= layer < task.layers[1]])
        self.read[task.micro_batch] = found = {layer: torch.from_numpy(of) for layer, of in read.items()}
        return self._nbytes(found)

    def close(self) -> None:
        """Close the cache; what is in it stays."""
        self.cache.close()

    def _nbytes(self, outputs: Outputs) -> int:
        """What they take as they are kept, without what the files need."""
        key = self.cache.key
        return sum(key.storage.nbytes(rows=of.shape[0] * of.shape[1], numbers=of.shape[2]) for of in outputs.values())

    def begin(self, iteration: int) -> None:
        """Draw the iteration's batch and forget the last iteration's tensors."""
        self.taken.clear()
        self.read.clear()
        self.executor.begin(iteration)

    def kind(self, task: Task) -> Hashable:
        """As the other says."""
        return self.executor.kind(task)

    def compute(self, task: Task) -> None:
        """Do a computation, with what was read for it."""
        if task.op is Op.F and task.micro_batch in self.read:
            self.give(task.micro_batch, self.read.pop(task.micro_batch))
        self.computing = task
        try:
            self.executor.compute(task)
        finally:
            self.computing = None

    def made(self, task: Task) -> Iterable[Tensor]:
        """What the last computation has put out."""
        return self.executor.made(task)

    def outgoing(self, task: Task) -> Tensor:
        """The tensor that a SEND carries."""
        return self.executor.outgoing(task)

    def incoming(self, task: Task) -> Tensor:
        """Where a RECV puts what arrives."""
        return self.executor.incoming(task)

    def reduced(self, task: Task) -> Tensor:
        """What an ALL_REDUCE adds up."""
        return self.executor.reduced(task)

    def loss(self) -> float:
        """This rank's part of the batch's loss."""
        return self.executor.loss()

    def results(self) -> dict[str, Tensor]:
        """The trained weights."""
        return self.executor.results()
