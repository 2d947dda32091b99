"""PipeEdge's planner (Hu et al., DSD 2022, arXiv 2110.14895): which devices form the pipeline of highest throughput?

One device per stage, in any order; devices may be left out. The slowest stage, or message between two, of the layers
from i on, where ``used`` says how many devices of each type hold them, one of type t the first of them:

    h(i, used, t) = min over j, u of max(stage of i..j on t, message after j from t to u, h(j, used - t, u))

A state counts types, because devices of a type can be swapped: equal devices, whose links are equal too. The paper goes
from the first layer to the last; from the last one, the number of later stages is known, and so is how many
micro-batches 1F1B keeps in flight, and whether they fit. The paper serves requests; in training, the forward and the
backward pass count together. Exact: the plan is the best for this objective, so the bound is its value.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from math import inf

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.device_types import Types, interchangeable
from edgesim.planners.planning_time import require_time
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof

Counts = tuple[int, ...]  # [type] devices
Chain = tuple[float, tuple[int, ...], tuple[int, ...]]  # its slowest seconds, its cuts, and a type per stage
_MOST_SUBSETS = 100_000
_NONE: Chain = (inf, (), ())


def pipeedge(problem: Problem) -> Plan:
    """Return the pipeline whose slowest stage or message is fastest, of fewest devices. Raises InfeasibleError."""
    costs, types = StageCosts(problem), interchangeable(problem.cluster)
    search = ChainSearch(costs, types)
    slowest_s, cuts, order = search.fastest()
    samples = problem.workload.micro_batch_samples
    if slowest_s == inf:
        raise nothing_fits(costs, "pipeline of any devices in any order", samples=samples)
    left = [list(ranks) for ranks in types]
    proof = Proof(
        method="pipeedge",
        objective=Objective.SLOWEST_STAGE,
        value=slowest_s,
        bound=slowest_s,
    )
    plan = problem.plan(
        planner="pipeedge",
        stages=problem.stages(
            cuts=cuts,
            groups=[(left[t].pop(0),) for t in order],
            samples=[(samples,)] * len(order),
            depth=Depth.ONE_F_ONE_B,
        ),
        proof=proof,
    )
    return plan


class ChainSearch:
    """The dynamic programme, its answers remembered."""

    def __init__(self, costs: StageCosts, types: Types) -> None:
        self.costs, self.types = costs, types
        self.layers = len(costs.problem.model.layers)
        self.samples = costs.problem.workload.micro_batch_samples
        self.fits = cache(self._fits)
        self.message_s = cache(self._message_s)
        self.best = cache(self._best)

    def fastest(self) -> Chain:
        """Return the best of all layers on any devices; ties go to fewer devices, then to the first types.

        Raises PlanError for too many types of devices: the programme remembers every number of each.
        """
        sizes = [len(ranks) for ranks in self.types]
        if _count(sizes, self.layers) > _MOST_SUBSETS:
            raise PlanError(
                f"pipeedge: {len(self.types)} types of devices on their links have too many subsets of up to "
                f"{self.layers} devices to remember (take fewer types, or planner ilp_hybrid_pipeline)"
            )
        chains = (self.best(0, used, t) for used in _subsets(sizes, self.layers) for t in range(len(used)) if used[t])
        return min(chains, key=lambda chain: (chain[0], len(chain[2])))

    def _best(self, start: int, used: Counts, t: int) -> Chain:
        """Return h; ties go to the earliest cut, then to the first type."""
        require_time("pipeedge")
        later = tuple(count - (u == t) for u, count in enumerate(used))
        if not any(later):
            return self._last(start, t)
        best = _NONE
        for stop in range(start + 1, self.layers - sum(later) + 1):
            stage_s = self.stage_s(t, start, stop)
            if stage_s >= best[0]:
                break  # longer stages are no faster
            if self.fits(t, start, stop, sum(used)):
                followed = [self._followed(stage_s, (start, stop), t, later, u) for u in range(len(used)) if later[u]]
                best = min(best, *followed, key=lambda chain: chain[0])
        return best

    def _last(self, start: int, t: int) -> Chain:
        """Return the one stage of all layers that are left."""
        fits = self.fits(t, start, self.layers, 1)
        return (self.stage_s(t, start, self.layers), (start, self.layers), (t,)) if fits else _NONE

    def _followed(self, stage_s: float, layers: tuple[int, int], t: int, later: Counts, u: int) -> Chain:
        """Return this stage, and the best of the others after it, the first of them of type u."""
        start, stop = layers
        rest = self.best(stop, later, u)
        slowest_s = max(stage_s, self.message_s(stop, t, u), rest[0])
        return slowest_s, (start, *rest[1]), (t, *rest[2])

    def stage_s(self, t: int, start: int, stop: int) -> float:
        """Return the seconds of a micro-batch in these layers on a device of type t."""
        return self.costs.both_s(self.types[t][0], (start, stop), self.samples)

    def _fits(self, t: int, start: int, stop: int, in_flight: int) -> bool:
        return self.costs.fits(self.types[t][0], (start, stop), self.samples, in_flight, 1)

    def _message_s(self, boundary: int, t: int, u: int) -> float:
        return self.costs.message_s(boundary, self.types[t][0], self.types[u][-1])


def _subsets(sizes: Sequence[int], most: int) -> Iterator[Counts]:
    """Yield, in order, how many devices of each type, of which there are so many, at most so many in all."""
    if not sizes:
        yield ()
        return
    for count in range(min(sizes[0], most) + 1):
        yield from ((count, *others) for others in _subsets(sizes[1:], most - count))


def _count(sizes: Sequence[int], most: int) -> int:
    """Return how many subsets there are, without listing them."""
    ways = [1] + [0] * most  # [devices] in how many ways
    for size in sizes:
        ways = [sum(ways[max(0, n - size) : n + 1]) for n in range(most + 1)]
    return sum(ways)
