"""What would each candidate stage have to receive, and from whom? Migration as columns of the integer programme.

Devices are of one kind where they can be swapped and hold the same layers. A stage receives as long as the slowest of
its devices; what survivors send adds up over stages. All is divided by the rounds that are left: the programme's
objective is seconds per iteration.
"""

from functools import cache

import numpy as np

from edgesim.plan import Depth
from edgesim.planners.cost_models.migration import Holdings, carried_bytes, tied
from edgesim.planners.device_types import Types, interchangeable, split
from edgesim.planners.exact.pipelines.candidate_links import Floats
from edgesim.planners.exact.pipelines.candidates import Candidates, PipelineFamily


class MigrationColumns(Candidates):
    """Candidates of the survivors, with what moves for each."""

    def __init__(
        self,
        where: Holdings,
        *,
        depth: Depth,
        replicas: int,
        stages: int | None,
        rounds: float,
        like: Candidates | None = None,
    ) -> None:
        self.where, self.rounds = where, rounds
        self.transfers = where.transfers
        self.senders = sorted({rank for ranks in where.senders for rank in ranks})
        self._amounts = cache(self._bytes)
        kinds = kinds_of_survivors(where)
        family = PipelineFamily(depth=depth, replicas=replicas, stages=stages)
        super().__init__(where.problem, family, kinds=kinds, like=like)

    def one_time(self, g: int) -> tuple[Floats, Floats]:
        """[split, range] and [split, range, resource]; how samples are shared makes no difference."""
        air, group = self.transfers.shares_air, self.groups[g]
        downloads = [self.transfers.download_s(self.kinds[kind][0]) for kind, _ in group]
        received = [self._amounts(kind)[0] * s / self.rounds for (kind, _), s in zip(group, downloads, strict=True)]
        if air:
            longest, shared = np.zeros(len(self.ranges)), sum(n * r for (_, n), r in zip(group, received, strict=True))
            shared = np.asarray(shared)[:, None]
        else:
            uploads = np.array([self.transfers.upload_s(rank) for rank in self.senders]) / self.rounds
            longest = np.max(received, axis=0)
            shared = np.sum([n * self._amounts(kind)[1:] for kind, n in group], axis=0).T * uploads
        splits = len(self.splits[g])
        return np.tile(longest, (splits, 1)), np.tile(shared, (splits, 1, 1))

    def _bytes(self, kind: int) -> Floats:
        """[1 + sender, range] bytes that a device of the kind receives, and of these what each sender sends."""
        rank, model = self.kinds[kind][0], self.problem.model
        held, layers = self.where.held[rank], len(model.layers)
        amounts = np.zeros((1 + len(self.senders), layers + 1))
        for layer in set(range(layers)) - held:
            amounts[:, layer + 1] = self._from(layer, carried_bytes(model.layers[layer], self.problem.workload))
        sums = np.cumsum(amounts, axis=1)
        start, stop = self.ranges[:, 0], self.ranges[:, 1]
        found: Floats = sums[:, stop] - sums[:, start]
        for layer, owner, nbytes in tied(self.problem):
            if not {layer, owner} & held:
                alone = (start <= layer) & (layer < stop) & ~((start <= owner) & (owner < stop))
                found += np.outer(self._from(owner, nbytes), alone)
        return found

    def _from(self, layer: int, nbytes: float) -> Floats:
        """[1 + sender] of so many bytes of a layer."""
        parts = np.zeros(1 + len(self.senders))
        parts[0] = nbytes
        for rank in self.where.senders[layer]:
            parts[1 + self.senders.index(rank)] = nbytes / len(self.where.senders[layer])
        return parts


def kinds_of_survivors(where: Holdings) -> Types:
    """Devices that can be swapped and hold the same layers."""
    return split(interchangeable(where.problem.cluster), where.held.get)
