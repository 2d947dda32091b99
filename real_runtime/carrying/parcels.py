"""What of an activation cache is sent from rank to rank? Entries of layers and samples, bit by bit as they are kept."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from edgesim.cached_outputs import kept_rows
from edgesim.model import Model
from edgesim.schedule import Op, Task
from edgesim.workload import Workload
from real_runtime.activation_cache.cache import ActivationCache


class Parcels:
    """Entries on their way. Of a task, ``units`` are iterations of an epoch, ``samples`` positions of the batch."""

    def __init__(self, cache: ActivationCache, model: Model, workload: Workload) -> None:
        self.cache, self.workload = cache, workload
        self.rows = kept_rows(model, tokens=workload.tokens)
        self.leaving: dict[int, Tensor] = {}
        self.arriving: dict[int, Tensor] = {}

    def at_disk(self, task: Task) -> int:
        """Read what is sent next, or write what has come in. Raises MissingOutputsError where it is not there."""
        assert task.micro_batch is not None, "parcels are numbered"
        if task.op is Op.CACHE_READ:
            kept = [self.cache.kept_bytes(sample, layer)[1] for sample, layer in self._entries(task)]
            self.leaving[task.micro_batch] = torch.from_numpy(np.concatenate(kept))
            return sum(each.nbytes for each in kept)
        whole, start = self.arriving.pop(task.micro_batch).numpy(), 0
        for sample, layer in self._entries(task):
            rows = self.rows[layer]
            stop = start + self.cache.key.storage.nbytes(rows=rows, numbers=self.cache.key.width)
            self.cache.take_over(sample, layer, rows, whole[start:stop])
            start = stop
        return start

    def outgoing(self, task: Task) -> Tensor:
        """A parcel that was read."""
        assert task.micro_batch is not None, "parcels are numbered"
        return self.leaving.pop(task.micro_batch)

    def incoming(self, task: Task) -> Tensor:
        """Where a parcel is put."""
        assert task.micro_batch is not None, "parcels are numbered"
        parcel = self.arriving[task.micro_batch] = torch.empty(task.nbytes, dtype=torch.uint8)
        return parcel

    def _entries(self, task: Task) -> Iterator[tuple[int, int]]:
        """The samples' numbers in the epoch, and layers."""
        for iteration in range(*task.units):
            for position in range(*task.samples):
                sample = iteration * self.workload.batch_samples + position
                yield from ((sample, layer) for layer in range(*task.layers) if self.rows[layer])
