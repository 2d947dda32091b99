"""Which stages are there if a micro-batch may be shared in every way? For objectives that count more than time.

Replicas of one kind share evenly. Among kinds every way to share is a candidate, because one that computes longer may
move or draw less.
"""

from collections.abc import Sequence

import numpy as np

from edgesim.planners.enumeration import sums
from edgesim.planners.exact.pipelines.candidate_links import Ints
from edgesim.planners.exact.pipelines.candidates import Candidates, Group, PipelineFamily
from edgesim.planners.problem import Problem


class AllSharesCandidates(Candidates):
    """The candidates of a problem with all ways to share a micro-batch among kinds of devices."""

    def __init__(
        self,
        problem: Problem,
        family: PipelineFamily,
        *,
        kinds: Sequence[tuple[int, ...]],
        like: Candidates | None = None,
    ) -> None:
        self._totals: dict[tuple[int, ...], Ints] = {}
        super().__init__(problem, family, kinds=kinds, like=like)

    def totals(self, group: Group) -> Ints:
        """Return, [way, kind of the group], how many samples all replicas of a kind compute together."""
        replicas = tuple(n for _, n in group)
        if replicas not in self._totals:
            self._totals[replicas] = all_totals(self.samples, replicas)
        return self._totals[replicas]

    def ways_to_share(self, group: Group) -> Ints:
        """Return, [way, kind], the largest share of a replica of each kind."""
        largest: Ints = -(-self.totals(group) // np.array([n for _, n in group]))
        return largest

    def shares(self, g: int, split: int) -> list[tuple[int, int]]:
        """Return (kind, samples) of each replica: a kind's replicas share its total evenly, larger parts first."""
        group = self.groups[g]
        return [
            (kind, total // n + (i < total % n))
            for (kind, n), total in zip(group, self.totals(group)[split].tolist(), strict=True)
            for i in range(n)
        ]


def all_totals(samples: int, replicas: Sequence[int]) -> Ints:
    """Return, [way, kind], all ways to share so many samples among kinds, at least one for each replica, in order.

    >>> all_totals(4, (1, 2)).tolist()
    [[1, 3], [2, 2]]
    """
    beyond_one_each = samples - sum(replicas) + len(replicas)
    ways = [
        [n - 1 + part for n, part in zip(replicas, way, strict=True)] for way in sums(beyond_one_each, len(replicas))
    ]
    return np.array(ways, dtype=np.int64).reshape(-1, len(replicas))
