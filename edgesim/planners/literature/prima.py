"""prima.cpp's planner, Halda (Li et al., 2025, arXiv 2504.08791): which devices serve a request, with how many layers?

Halda gives every device of a ring a window of layers, so that a token's latency, the sum over devices of computation,
disk and messages, is least; a device may be left out. Recalled, and of its model only this is kept:

    latency = Σ over devices that work (seconds of their layers + message to the next, its latency included)

with one window per device (one round of the ring), devices in rank order, and memory as a hard limit: Halda's case of
devices whose memory suffices. Exact for that by a dynamic programme over the layer and the device that come next.

Not kept: weights that are loaded from disk while others compute, several rounds of the ring, layers divided between a
device's CPU and GPU, compressed weights, and the first device's embedding and head together (a plan's rank holds one
stage). Seconds are the profile's, where Halda adds up FLOP, bytes and rates.
"""

from functools import cache
from math import inf

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.planning_time import require_time
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof

Chain = tuple[float, tuple[int, ...], tuple[int, ...]]  # its latency, its cuts, and a rank per stage
_NONE: Chain = (inf, (), ())


def prima(problem: Problem) -> Plan:
    """Return the pipeline with the least latency of one micro-batch. Raises PlanError and InfeasibleError."""
    if problem.workload.trains:
        raise PlanError(
            f"prima plans requests; the workload's purpose is {problem.workload.purpose} (take asteroid, or pipeedge)"
        )
    costs = StageCosts(problem)
    latency_s, cuts, ranks = _shortest(costs)
    samples = problem.workload.micro_batch_samples
    if latency_s == inf:
        raise nothing_fits(costs, "chain of devices in rank order", samples=samples)
    plan = problem.plan(
        planner="prima",
        stages=problem.stages(
            cuts=cuts, groups=[(rank,) for rank in ranks], samples=[(samples,)] * len(ranks), depth=Depth.ONE_F_ONE_B
        ),
        proof=Proof(method="prima", objective=Objective.REQUEST_LATENCY, value=latency_s),
        predicted_s=latency_s if problem.workload.micro_batches == 1 else None,
    )
    return plan


def _shortest(costs: StageCosts) -> Chain:
    """Return the chain of least latency; ties go to fewer devices, then to earlier cuts and lower ranks."""
    problem = costs.problem
    L, ranks, samples = len(problem.model.layers), problem.ranks, problem.workload.micro_batch_samples

    @cache
    def best(start: int, rank: int) -> Chain:
        """Return the best chain of the layers from ``start``, the first of them on this rank."""
        require_time("prima")
        chains = []
        for stop in range(start + 1, L + 1):
            if costs.fits(rank, (start, stop), samples, 1, 1):
                here_s = costs.both_s(rank, (start, stop), samples)
                later = ranks[rank + 1 :] if stop < L else ()
                chains += [followed(here_s, start, stop, rank, peer) for peer in later]
                chains += [(here_s, (start, L), (rank,))] if stop == L else []
        return min(chains, key=_preferred, default=_NONE)

    def followed(here_s: float, start: int, stop: int, rank: int, peer: int) -> Chain:
        """Return this stage, and the best chain after it that begins on the peer."""
        rest = best(stop, peer)
        message_s = costs.message_s(stop, rank, peer) + problem.cluster.network.message_delay_s(rank, peer)
        return here_s + message_s + rest[0], (start, *rest[1]), (rank, *rest[2])

    return min((best(0, rank) for rank in ranks), key=_preferred)


def _preferred(chain: Chain) -> tuple[float, int, tuple[int, ...], tuple[int, ...]]:
    return chain[0], len(chain[2]), chain[1], chain[2]
