"""Which stages could pipelines of many unlike devices have, if some of them counted as alike? Few kinds, for bounds.

Devices that nothing tells apart are one kind; where every device is of its own, there are more groups of kinds than can
be listed. Here the most alike ones are merged into a few kinds, and a kind is as fast as its fastest device and has the
memory of its largest, so that no pipeline costs more than here: a bound of these pipelines is one of all. Counted as
slow and small as the worst, what fits is a plan of any of its devices.
"""

from collections.abc import Sequence
from math import inf, log

import numpy as np

from edgesim.planners.device_types import Types, interchangeable
from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints
from edgesim.planners.exact.pipelines.candidates import Candidates, PipelineFamily
from edgesim.planners.problem import Problem

_ALIKE = 1e-9  # ratios nearer to 1 than this part no kind
Traits = tuple[float, float, float]  # seconds of a sample in all layers, bytes of memory, seconds per byte of the NIC


def merged_kinds(problem: Problem, most: int, ranks: Sequence[int] | None = None) -> Types:
    """Merge devices, or those of these ranks, into at most so many kinds; in a kind the fastest stands first.

    The kind whose devices differ most in speed, memory or link is parted in the middle of that, as ratios go.
    """
    traits = {rank: _traits(problem, rank) for rank in ranks or problem.ranks}
    kinds = [tuple(traits)]
    while len(kinds) < most:
        widest, trait = max(
            ((kind, t) for kind in kinds for t in range(3)), key=lambda each: _spread(traits, each[0], each[1])
        )
        if _spread(traits, widest, trait) < _ALIKE:
            break
        values = [traits[rank][trait] for rank in widest]
        middle = (min(values) * max(values)) ** 0.5
        kinds.remove(widest)
        kinds += [tuple(rank for rank in widest if (traits[rank][trait] <= middle) is below) for below in (True, False)]
    return tuple(sorted(tuple(sorted(kind, key=lambda rank: (traits[rank], rank))) for kind in kinds))


def _traits(problem: Problem, rank: int) -> Traits:
    """What tells devices apart, each above 0."""
    network, others = problem.cluster.network, [other for other in problem.ranks if other != rank]
    per_byte = min((1 / network.goodput_bytes_per_s(rank, other) for other in others), default=0.0)
    tiny = 1e-15
    seconds = problem.seconds(rank=rank, layers=(0, len(problem.model.layers)), samples=1)
    return max(seconds, tiny), max(problem.budget_bytes(rank), tiny), max(per_byte, tiny)


def _spread(traits: dict[int, Traits], kind: Sequence[int], trait: int) -> float:
    values = [traits[rank][trait] for rank in kind]
    return log(max(values) / min(values)) if inf not in values else 0.0


class MergedCandidates(Candidates):
    """Candidates of merged kinds, each at its best device, or at its worst one."""

    def __init__(
        self,
        problem: Problem,
        family: PipelineFamily,
        kinds: Types,
        *,
        at_best: bool,
        like: "MergedCandidates | None" = None,
    ) -> None:
        self.at_best = at_best
        self.alike: Types = like.alike if like else interchangeable(problem.cluster)
        first = {rank: ranks[0] for ranks in self.alike for rank in ranks}
        # One of each sort is enough for what does not depend on links.
        self.unlike = [sorted({first[rank] for rank in kind}) for kind in kinds]
        super().__init__(problem, family, kinds=kinds, like=like)

    def of(self, problem: Problem) -> "MergedCandidates":
        """The candidates of another problem for the same family and the same merged kinds."""
        return MergedCandidates(problem, self.family, self.kinds, at_best=self.at_best)

    def untied(self) -> "MergedCandidates":
        """The candidates if no layers shared trained weights."""
        apart = MergedCandidates(self.problem, self.family, self.kinds, at_best=self.at_best, like=self)
        apart.together = np.ones_like(self.together)
        return apart

    def furthest(self, kind: int, share: int, replicas: int) -> Ints:
        """[range] the furthest position of the largest device, or of the smallest."""
        key = (kind, share, replicas)
        if key not in self._furthest:
            rooms = {self._room_bytes(rank): rank for rank in self.unlike[kind]}
            rank = rooms[max(rooms) if self.at_best else min(rooms)]
            self._furthest[key] = self.memory.furthest(rank, share, replicas, self.depths)
        return self._furthest[key]

    def _room_bytes(self, rank: int) -> float:
        return self.problem.budget_bytes(rank) - self.problem.cluster.devices[rank].context_bytes

    def seconds(self, kind: int, op: str, samples: int) -> Floats:
        """[range] seconds of the fastest device, or of the slowest."""
        devices = {self.problem.cluster.devices[rank].name: rank for rank in self.unlike[kind]}
        tables = []
        for rank in devices.values():
            sums = np.array(self.costs.sums(rank, op, samples))
            call_s = self.costs.call_s(rank, op, samples)
            tables.append(sums[self.ranges[:, 1]] - sums[self.ranges[:, 0]] + call_s)
        seconds: Floats = np.min(tables, axis=0) if self.at_best else np.max(tables, axis=0)
        return seconds
