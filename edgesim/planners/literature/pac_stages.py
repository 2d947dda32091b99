"""How long would the slowest device of each stage take in PAC's dynamic programme (arXiv 2408.10746)? All at once.

A group is a window of ranks ``[first, size]`` whose devices have equal shares of a micro-batch.
"""

from functools import cache

import numpy as np

from edgesim.apportion import even_shares
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.cost_models.stage_memory import Floats, Ints, StageMemory
from edgesim.planners.device_types import equal_devices
from edgesim.planners.planning_time import require_time


class EqualShares:
    """The stages of a problem on windows of its ranks."""

    def __init__(self, costs: StageCosts) -> None:
        self.costs, problem = costs, costs.problem
        self.layers, self.total = len(problem.model.layers), problem.workload.micro_batch_samples
        self.ranks = len(problem.ranks)
        self.largest = min(self.ranks, self.total)
        self.ranges = [(i, j) for i in range(self.layers) for j in range(i + 1, self.layers + 1)]
        self.range_of = np.full((self.layers, self.layers + 1), -1)
        self.range_of[tuple(np.array(self.ranges).T)] = np.arange(len(self.ranges))
        types = equal_devices(problem.cluster)
        self._first_of_kind = [ranks[0] for ranks in types]
        self._kind_of: Ints = np.array(
            [kind for _, kind in sorted((rank, kind) for kind, ranks in enumerate(types) for rank in ranks)]
        )
        self._memory = StageMemory(problem, self.ranges)
        self._seconds = cache(self._seconds_of_kinds)
        self.slowest_s = cache(self._slowest_s)

    def _slowest_s(self, in_flight: int) -> Floats:
        """[range, first, size - 1] seconds per micro-batch, infinite where a device cannot hold its share."""
        slowest_s = np.full((len(self.ranges), self.ranks, self.largest), np.inf)
        for size in range(1, self.largest + 1):
            require_time("pac")
            shares = even_shares(self.total, size)
            own_s = {share: self._held_s(share, in_flight, size)[self._kind_of] for share in set(shares)}
            firsts = self.ranks - size + 1
            # [first, range], device after device of all groups of this size
            of_groups = np.max([own_s[share][i : i + firsts] for i, share in enumerate(shares)], axis=0)
            slowest_s[:, :firsts, size - 1] = of_groups.T
        return slowest_s

    def _held_s(self, share: int, in_flight: int, replicas: int) -> Floats:
        """[kind, range] seconds of a share, infinite where it does not fit."""
        problem, nbytes = self.costs.problem, self._memory.total_bytes(share, in_flight, replicas)
        fits = [
            problem.cluster.devices[rank].context_bytes + nbytes <= problem.budget_bytes(rank)
            for rank in self._first_of_kind
        ]
        held_s: Floats = np.where(fits, self._seconds(share), np.inf)
        return held_s

    def _seconds_of_kinds(self, share: int) -> Floats:
        """[kind, range] seconds of both passes."""
        both_s = self.costs.both_s
        return np.array([[both_s(rank, layers, share) for layers in self.ranges] for rank in self._first_of_kind])
