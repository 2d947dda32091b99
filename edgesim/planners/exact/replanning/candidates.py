"""What would each candidate stage have to receive, and from whom? Migration as columns of the integer programme.

Devices are of one kind where they can be swapped and hold the same layers. A stage receives as long as the slowest of
its devices; what survivors send adds up over stages. All is divided by the iterations that are left: the integer
programme's objective is seconds per iteration.
"""

from functools import cache

import numpy as np

from edgesim.memory import carried_bytes
from edgesim.planners.cost_models.migration import Holdings, tied
from edgesim.planners.device_types import Types, interchangeable, split
from edgesim.planners.exact.pipelines.candidate_links import Floats
from edgesim.planners.exact.pipelines.candidates import Candidates, PipelineFamily


class MigrationColumns(Candidates):
    """The candidates of the survivors, with what moves for each."""

    def __init__(self, survivors: Holdings, family: PipelineFamily, *, iterations: float) -> None:
        self.survivors, self.iterations = survivors, iterations
        self.transfers = survivors.transfers
        self.senders = sorted({rank for ranks in survivors.senders for rank in ranks})
        self._amounts = cache(self._bytes)
        super().__init__(survivors.problem, family, kinds=kinds_of_survivors(survivors))

    def one_time(self, g: int) -> tuple[Floats, Floats]:
        """Return [split, range] and [split, range, resource] seconds; how samples are shared makes no difference."""
        air, group = self.transfers.shares_air, self.groups[g]
        downloads = [self.transfers.download_s(self.kinds[kind][0]) for kind, _ in group]
        received = [self._amounts(kind)[0] * s / self.iterations for (kind, _), s in zip(group, downloads, strict=True)]
        if air:
            longest, shared = np.zeros(len(self.ranges)), sum(n * r for (_, n), r in zip(group, received, strict=True))
            shared = np.asarray(shared)[:, None]
        else:
            uploads = np.array([self.transfers.upload_s(rank) for rank in self.senders]) / self.iterations
            longest = np.max(received, axis=0)
            shared = np.sum([n * self._amounts(kind)[1:] for kind, n in group], axis=0).T * uploads
        splits = len(self.splits[g])
        return np.tile(longest, (splits, 1)), np.tile(shared, (splits, 1, 1))

    def _bytes(self, kind: int) -> Floats:
        """Return, [1 + sender, range], the bytes that a device of the kind receives, and those from each sender."""
        rank, model = self.kinds[kind][0], self.problem.model
        held, layers = self.survivors.held[rank], len(model.layers)
        amounts = np.zeros((1 + len(self.senders), layers + 1))
        for layer in set(range(layers)) - held:
            amounts[:, layer + 1] = self._from(layer, carried_bytes(model.layers[layer], self.problem.workload))
        sums = np.cumsum(amounts, axis=1)
        start, stop = self.ranges[:, 0], self.ranges[:, 1]
        nbytes_of: Floats = sums[:, stop] - sums[:, start]
        for layer, owner, nbytes in tied(self.problem):
            if not {layer, owner} & held:
                alone = (start <= layer) & (layer < stop) & ~((start <= owner) & (owner < stop))
                nbytes_of += np.outer(self._from(owner, nbytes), alone)
        return nbytes_of

    def _from(self, layer: int, nbytes: float) -> Floats:
        """Return, [1 + sender], so many bytes of a layer, and the parts of them that each sender sends."""
        parts = np.zeros(1 + len(self.senders))
        parts[0] = nbytes
        for rank in self.survivors.senders[layer]:
            parts[1 + self.senders.index(rank)] = nbytes / len(self.survivors.senders[layer])
        return parts


def kinds_of_survivors(survivors: Holdings) -> Types:
    """Return the kinds of survivors: those of one kind can be swapped and hold the same layers."""
    return split(interchangeable(survivors.problem.cluster), survivors.held.get)
