"""Which stages could a hybrid pipeline have, and what would each cost? A table of candidates.

A candidate is a range of layers, a group of devices, their shares of a micro-batch, and a position from the end,
counted from 1, because the depth and thus memory depend on it. Devices that nothing tells apart are one kind: a group
is so many of each. Times are those of ``pipeline_time.py``, but for links whose rate depends on both ends: these are
counted at their best, so that a candidate never costs more than the stage in a plan.

Shares: replicas of a kind share evenly. Of all ways to share among kinds, those are kept that are fastest among those
that load no link more, unless what they save on links is less than what they lose in forward passes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import combinations_with_replacement
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import PlanError
from edgesim.plan import Depth, in_flight, trained_ties
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.cost_models.stage_memory import StageMemory
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints, Links, Loads
from edgesim.planners.exact.pipelines.columns import Columns
from edgesim.planners.exact.pipelines.sample_shares import beaten, minimal_shares
from edgesim.planners.planning_time import require_time, timely
from edgesim.planners.problem import Problem
from edgesim.profile import BACKWARD, FORWARD, UPDATE
from edgesim.ring import all_reduce_s

Group = tuple[tuple[int, int], ...]  # (kind, how many of it), by kind
MOST_GROUPS, MOST_WAYS, MOST_CANDIDATES = 20_000, 500_000, 400_000  # in all, to share in one group, that are kept


class TooManyStagesError(PlanError):
    """The stages that a family of pipelines can have are too many to be listed in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFamily:
    """Which pipelines are asked for: the depth of their schedule, and how many replicas and stages they may have.

    Without a depth they are those of any depth. Without a number of stages they have as many as there is room for.
    """

    depth: Depth | None
    replicas: int
    stages: int | None = None


class Candidates:
    """The candidates of a problem, and how to make a stage of one; without a depth, one micro-batch is in flight."""

    def __init__(
        self,
        problem: Problem,
        family: PipelineFamily,
        *,
        kinds: Sequence[tuple[int, ...]] | None = None,
        like: "Candidates | None" = None,
    ) -> None:
        """``like`` are candidates of the same problem with other kinds, whose costs need not be counted again."""
        self.problem, self.family = problem, family
        self.costs: StageCosts = like.costs if like else StageCosts(problem)
        self.kinds = tuple(kinds) if kinds is not None else interchangeable(problem.cluster)
        self.devices = self._devices()
        self.layers, self.samples = len(problem.model.layers), problem.workload.micro_batch_samples
        self.most = min(self.layers, sum(self.devices), family.stages or self.layers)
        _refuse_too_many(self.devices, len(self.kinds), self.most, (min(family.replicas, self.samples), self.samples))
        self.groups = list(self._groups(min(family.replicas, self.samples)))
        self.splits: list[Ints] = list(map(self.ways_to_share, timely(self.groups)))
        self.depths = [
            in_flight(family.depth, stage=0, stages=q, micro_batches=problem.workload.micro_batches)
            if family.depth
            else 1
            for q in range(1, self.most + 1)
        ]
        self.ranges = np.array([(i, j) for i in range(self.layers) for j in range(i + 1, self.layers + 1)])
        self.memory: StageMemory = (
            like.memory if like else StageMemory(problem, [(int(i), int(j)) for i, j in self.ranges])
        )
        self.links = Links(problem, self.kinds, max((sum(n for _, n in g) for g in self.groups), default=1))
        self.together = _tied_together(problem, self.ranges)
        self._furthest: dict[tuple[int, int, int], Ints] = {}

    def _devices(self) -> tuple[int, ...]:
        """How many there are of each type that rows count."""
        return tuple(map(len, self.kinds))

    def of(self, problem: Problem) -> "Candidates":
        """The candidates of another problem for the same family and the same kinds of devices."""
        return Candidates(problem, self.family, kinds=self.kinds)

    def untied(self) -> "Candidates":
        """The candidates if no layers shared trained weights: also ranges that hold only some of these layers."""
        apart = Candidates(self.problem, self.family, kinds=self.kinds, like=self)
        apart.together = np.ones_like(self.together)
        return apart

    def _groups(self, replicas: int) -> Iterator[Group]:
        return _groups_of(self.kinds, replicas)

    @cached_property
    def columns(self) -> Columns:
        """The candidates that fit in memory and that a pipeline has a place for."""
        parts, count = list[Columns](), 0
        for g in range(len(self.groups)):
            for part in self._of_group(g):
                require_time("listing stages")
                parts.append(part)
                count += len(part)
            if count > MOST_CANDIDATES:
                raise TooManyStagesError(
                    f"more than {MOST_CANDIDATES} stages fit (say fewer replicas, or leave devices out)"
                )
        return Columns.joined(parts, kinds=len(self.devices))

    def furthest(self, kind: int, share: int, replicas: int) -> Ints:
        """[range] the furthest position from the end at which a device of the kind can hold it with this share."""
        key = (kind, share, replicas)
        if key not in self._furthest:
            self._furthest[key] = self.memory.furthest(self.kinds[kind][0], share, replicas, self.depths)
        return self._furthest[key]

    def _of_group(self, g: int) -> Iterator[Columns]:
        """The group's candidates, position by position."""
        group, splits = self.groups[g], self.splits[g]
        size = sum(n for _, n in group)
        start, stop = self.ranges[:, 0], self.ranges[:, 1]
        # [split, range]
        furthest = np.stack(
            [
                np.min([self.furthest(kind, int(s), size) for (kind, _), s in zip(group, split, strict=True)], axis=0)
                for split in splits
            ]
        )
        forward, backward = (self._slowest(group, splits, op) for op in (FORWARD, BACKWARD))
        loads = self.loads(g)
        ending, (one_time, one_time_shared) = self._ending(group), self.one_time(g)
        for position in range(1, self.most + 1):
            kept = self._placed(size, position) & (furthest >= position)
            which, where = np.nonzero(kept & ~self.worse(kept, forward, backward, loads, one_time))
            if not len(which):
                continue
            cell = (which, where)
            yield Columns(
                start=start[where],
                stop=stop[where],
                position=np.full(len(where), position),
                group=np.full(len(where), g),
                split=which,
                depth=np.full(len(where), self.depths[position - 1]),
                forward_s=forward[cell],
                backward_s=backward[cell],
                ending_s=ending[where],
                **{field.name: getattr(loads, field.name)[cell] for field in fields(loads)},
                replicas=np.tile([dict(group).get(kind, 0) for kind in range(len(self.kinds))], (len(where), 1)),
                one_time_s=one_time[cell],
                one_time_shared_s=one_time_shared[cell],
                beside_s=np.zeros(len(where)),
                latest_s=np.full(len(where), np.inf),
                channel_s=np.zeros(len(where)),
            )

    def _placed(self, size: int, position: int) -> NDArray[np.bool_]:
        """[range] whether a pipeline has a place for so many replicas so far from its end."""
        start, stop = self.ranges[:, 0], self.ranges[:, 1]
        placed: NDArray[np.bool_] = (self.layers - stop >= position - 1) & ((stop == self.layers) == (position == 1))
        placed &= size + position - 1 + (start > 0) <= sum(self.devices)
        placed &= ((start == 0) | (position < self.most)) & self.together
        return placed

    # --- what other objectives count differently ---

    def ways_to_share(self, group: Group) -> Ints:
        """[way, kind] the largest share of a micro-batch that a replica of each kind has."""
        return minimal_shares(self.samples, [n for _, n in group])

    def loads(self, g: int) -> Loads:
        """[split, range] messages and links of a group."""
        return self.links.loads(self.groups[g], self.splits[g], self.ranges)

    def one_time(self, g: int) -> tuple[Floats, Floats]:
        """[split, range] and [split, range, resource] of a group: ``Columns.one_time_s`` and ``one_time_shared_s``."""
        shape = len(self.splits[g]), len(self.ranges)
        return np.zeros(shape), np.zeros((*shape, 0))

    def worse(
        self, kept: NDArray[np.bool_], forward: Floats, backward: Floats, loads: Loads, one_time: Floats
    ) -> NDArray[np.bool_]:
        """[split, range] splits that no plan needs, because others that are kept do."""
        return beaten(kept, forward, backward, loads.most_s(self.problem.workload.micro_batches - 1))

    # --- seconds and shares ---

    def _slowest(self, group: Group, splits: Ints, op: str) -> Floats:
        """[split, range] seconds of the slowest replica."""
        if op == BACKWARD and not self.problem.workload.trains:
            return np.zeros((len(splits), len(self.ranges)))
        slowest: Floats = np.max(
            [
                np.stack([self.seconds(kind, op, int(share)) for share in splits[:, i]])
                for i, (kind, _) in enumerate(group)
            ],
            axis=0,
        )
        return slowest

    def seconds(self, kind: int, op: str, samples: int) -> Floats:
        """[range] seconds of one device of the kind."""
        rank = self.kinds[kind][0]
        sums = np.array(self.costs.sums(rank, op, samples))
        seconds: Floats = sums[self.ranges[:, 1]] - sums[self.ranges[:, 0]] + self.costs.call_s(rank, op, samples)
        return seconds

    def _ending(self, group: Group) -> Floats:
        """[range] seconds of the all-reduce at its best, and of the update."""
        if not self.problem.workload.trains:
            return np.zeros(len(self.ranges))
        updates: Floats = np.max([self.seconds(kind, UPDATE, 0) for kind, _ in group], axis=0)
        return updates + self.ring_s(group)

    @cached_property
    def trained_bytes(self) -> Ints:
        """[range] bytes of the weights that are trained."""
        trained = np.cumsum([0, *(layer.trainable_bytes for layer in self.problem.model.layers)])
        nbytes: Ints = trained[self.ranges[:, 1]] - trained[self.ranges[:, 0]]
        return nbytes

    def ring_s(self, group: Group) -> Floats:
        """[range] seconds of the all-reduce at its best."""
        nbytes, n, (per_byte, latency_s) = self.trained_bytes, sum(n for _, n in group), self.links.ring(group)
        handed_s = 2 * self.links.hand_over_s * (n > 1)
        rings: Floats = (nbytes > 0) * (all_reduce_s(nbytes.astype(float), n, per_byte, latency_s) + handed_s)
        return rings

    def shares(self, g: int, split: int) -> list[tuple[int, int]]:
        """(kind, samples) of each replica: the split's, less what it has too many of, off the kind with the largest."""
        group, most = self.groups[g], [int(s) for s in self.splits[g][split]]
        members = [[most[i]] * n for i, (_, n) in enumerate(group)]
        surplus = sum(map(sum, members)) - self.samples
        if surplus:
            i = max(range(len(group)), key=lambda i: (most[i] > 1, group[i][1] > surplus, most[i]))
            members[i][-surplus:] = [most[i] - 1] * surplus
        assert sum(map(sum, members)) == self.samples, (group, most)
        return [(kind, share) for (kind, _), own in zip(group, members, strict=True) for share in own]


def _refuse_too_many(devices: Sequence[int], kinds: int, positions: int, group: tuple[int, int]) -> None:
    """Raise TooManyStagesError where groups are too many, or sets of devices more than a 64-bit number counts.

    ``group`` is how many replicas it may have, and samples to share.
    """
    replicas, samples = group
    groups = sum(comb(kinds + size - 1, size) for size in range(1, replicas + 1))
    ways, sets = samples ** (min(replicas, kinds) - 1), prod(n + 1 for n in devices) * (positions + 1)
    if groups > MOST_GROUPS or ways > MOST_WAYS or sets >= 2**63:
        raise TooManyStagesError(
            f"{kinds} kinds of devices make too many groups of up to {replicas} replicas to list "
            "(say fewer replicas, or leave devices out)"
        )


def _tied_together(problem: Problem, ranges: Ints) -> NDArray[np.bool_]:
    """[range] whether it holds all or none of the layers that share trained weights (``plan.tied_apart``)."""
    start, stop = ranges[:, 0], ranges[:, 1]
    held = np.ones(len(start), dtype=bool)
    for one, other in trained_ties(problem.model, problem.workload):
        held &= ((start <= one) & (one < stop)) == ((start <= other) & (other < stop))
    return held


def _groups_of(kinds: Sequence[tuple[int, ...]], replicas: int) -> Iterator[Group]:
    """All groups of at most so many replicas, the smallest first."""
    for size in range(1, replicas + 1):
        for chosen in combinations_with_replacement(range(len(kinds)), size):
            counts = Counter(chosen)
            if all(n <= len(kinds[kind]) for kind, n in counts.items()):
                yield tuple(sorted(counts.items()))
