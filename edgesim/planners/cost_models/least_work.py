"""How long does any plan take at least, if all devices share all work and nothing is sent? Two weak bounds.

A device that is busy for t seconds does at most so much of the work as it could at its best rate in t. What all
devices do together in t must be all the work: the least such t is a bound of every plan, whatever it divides.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import ProfileError
from edgesim.model import BlockKind, SplitBy
from edgesim.planners.block_division import splits
from edgesim.planners.cost_models.block_time import BlockCosts
from edgesim.planners.cost_models.phase_counts import phases
from edgesim.planners.cost_models.phases import BlockPhase, Computation
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.problem import Problem
from edgesim.profile import BACKWARD, FORWARD

LEAST_WORK = "all devices share all work, nothing is sent"
_GRID = 128  # shares that are asked for of each device; between two of them it is taken to do the larger in time
Floats = NDArray[np.float64]


def least_iteration_s(problem: Problem) -> float:
    """Return seconds that no pipeline's iteration is below: each micro-batch takes its slowest device so long."""
    counts, ranks = Counter(d.name for d in problem.cluster.devices), dict[str, int]()
    for rank in problem.ranks:
        ranks.setdefault(problem.cluster.devices[rank].name, rank)
    costs = StageCosts(problem)
    best = {name: of for name, rank in ranks.items() if (of := _best_per_sample_s(costs, rank)) is not None}
    if not best:
        return 0.0
    least_s = np.min(list(best.values()), axis=0)  # of each layer, on whatever device
    worked = least_s > 0
    if not worked.any():
        return 0.0
    together = sum(counts[name] * float(np.max(least_s[worked] / of[worked])) for name, of in best.items())
    workload = problem.workload
    return workload.micro_batches * workload.micro_batch_samples * float(np.sum(least_s)) / together


def _best_per_sample_s(costs: StageCosts, rank: int) -> Floats | None:
    """[layer] the fewest seconds of a sample on a device, in a share of any size that its profile knows."""
    problem, best = costs.problem, list[Floats]()
    ops = (FORWARD, BACKWARD) if problem.workload.trains else (FORWARD,)
    for samples in range(1, problem.workload.micro_batch_samples + 1):
        try:
            best.append(np.sum([np.diff(costs.sums(rank, op, samples)) for op in ops], axis=0) / samples)
        except ProfileError:
            continue  # nor does any plan have such a share
    return np.min(best, axis=0) if best else None


def least_division_s(problem: Problem, *, units: bool, tokens: bool, overlap: bool) -> float:
    """Return seconds that no division of blocks is below: those of each phase, whoever works.

    Where tiles overlap with messages, an estimated profile takes no less for all tiles than for the whole; a measured
    one might, and these products count nothing.
    """
    heads, columns = (splits(problem, kind) for kind in (BlockKind.ATTENTION, BlockKind.MLP))
    totals = {SplitBy.HEADS: heads, SplitBy.COLUMNS: columns, SplitBy.TOKENS: problem.workload.tokens}
    shared = _Shared(problem, BlockCosts(problem, heads=heads, columns=columns), totals)
    return sum(
        count * shared.phase_s(phase)
        for phase, count in phases(problem, units=units, tokens=tokens, overlap=overlap and units and tokens).items()
    )


class _Shared:
    """The least seconds of phases that all devices share."""

    def __init__(self, problem: Problem, costs: BlockCosts, totals: Mapping[SplitBy, int]) -> None:
        self.costs, self.totals = costs, totals
        self.ranks: dict[str, list[int]] = defaultdict(list)
        for rank in problem.ranks:
            self.ranks[problem.cluster.devices[rank].name].append(rank)
        self.measured = {point.device for point in problem.profile.points}
        formula = problem.profile.estimates
        self.estimated = formula is not None and not self.measured & set(self.ranks)

    def phase_s(self, phase: BlockPhase) -> float:
        """Return seconds of a phase: those of the kind of work that takes longest."""
        tiles = [work for work in (phase.entering, phase.leaving) if work is not None and self.estimated]
        by_kind: dict[SplitBy, list[Computation]] = defaultdict(list)
        for work in (*phase.works, *tiles):
            by_kind[work.by].append(work)
        return max((self._works_s(by, works) for by, works in by_kind.items()), default=0.0)

    def _works_s(self, by: SplitBy, works: Sequence[Computation]) -> float:
        if by not in self.totals:
            return min((s[0] for name in self.ranks if len(s := self._taken_s(name, works, [0]))), default=0.0)
        total = self.totals[by]
        amounts = list(range(1, total + 1))
        if self.estimated:
            amounts = sorted({1, total, *range(1, total + 1, max(1, total // _GRID))})
        taken = {name: self._taken_s(name, works, amounts) for name in self.ranks}
        # What is done in less than the next share's seconds is less than the next share.
        most = np.array([0, *(after - 1 for after in amounts[1:]), total])
        low, times = 0, np.unique(np.concatenate([[0.0], *taken.values()]))
        high = len(times) - 1
        while low < high:
            middle = (low + high) // 2
            done = sum(
                len(self.ranks[name]) * int(most[np.max(np.flatnonzero(s <= times[middle]), initial=-1) + 1])
                for name, s in taken.items()
            )
            low, high = (low, middle) if done >= total else (middle + 1, high)
        return float(times[low]) if np.isfinite(times[low]) else 0.0

    def _taken_s(self, name: str, works: Sequence[Computation], amounts: Sequence[int]) -> Floats:
        """[amount] seconds of a device; infinite where its profile knows none."""
        rank = self.ranks[name][0]
        try:
            seconds: Floats = np.sum([self.costs.all_s(rank, work, amounts) for work in works], axis=0, dtype=float)
            return seconds
        except ProfileError:
            return np.array([self._one_s(rank, works, amount) for amount in amounts])

    def _one_s(self, rank: int, works: Sequence[Computation], amount: int) -> float:
        try:
            return sum(self.costs.work_s(rank, work, amount) for work in works)
        except ProfileError:
            return float("inf")
