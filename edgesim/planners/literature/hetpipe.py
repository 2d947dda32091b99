"""HetPipe's planner (Park et al., USENIX ATC 2020, arXiv 2005.14038): which virtual workers run which pipeline?

A virtual worker is a few unequal devices that run one pipeline; several train side by side. Equal distribution is the
only one of the paper's three ways to form them that is kept: all workers have devices of the same types, so that one
set of cuts serves them all.
In a plan, a stage's replicas are the workers: each computes an equal share of every micro-batch, on its own devices.

The cuts minimise the slowest stage of a worker, its computation plus what it receives: the activation from the stage
before, the gradient from the stage after. Memory is that of 1F1B's micro-batches in flight, and a hard limit.

Ours: there are as many workers as there can be equal ones that fit, because a worker has several devices where one
cannot hold the model. Where the types have no common divisor, as one TX2 and three Nanos, that is one worker of
all devices. In a worker, devices are ordered by memory, largest first, because early stages keep most in flight.

The plan does not know how workers meet: ``strategies/parameter_server.py`` is the paper's way, with a server and waves
(WSP) that let workers go on with the weights of earlier waves; ``hybrid_pipeline`` lets all wait for all in every
iteration, for an all-reduce. In flight are a synchronous 1F1B's micro-batches either way.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import gcd

from edgesim.apportion import even_shares
from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.device_types import Types, equal_devices
from edgesim.planners.partitioning import fastest_cuts
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof

Workers = tuple[tuple[int, ...], ...]  # [worker][stage] ranks


def hetpipe(problem: Problem, *, workers: int | None = None) -> Plan:
    """Return the plan of so many equal virtual workers; None: as many as fit. Raises PlanError and InfeasibleError."""
    problem.require_training("hetpipe", instead="pipeedge or prima")
    costs = StageCosts(problem)
    for formed in _formations(problem, workers):
        shares = even_shares(problem.workload.micro_batch_samples, len(formed))
        pipeline = WorkersCosts(costs, formed, shares)
        if cuts := fastest_cuts(len(problem.model.layers), len(formed[0]), pipeline.slowest_s, pipeline.fits):
            break
    else:
        raise nothing_fits(costs, "pipeline of equal virtual workers")
    slowest_s = max(pipeline.slowest_s(p, *layers) for p, layers in enumerate(pairwise(cuts)))
    proof = Proof(
        method="hetpipe",
        objective=Objective.SLOWEST_STAGE_OF_A_WORKER,
        value=slowest_s,
    )
    groups = list(zip(*formed, strict=True))
    plan = problem.plan(
        planner="hetpipe",
        stages=problem.stages(cuts=cuts, groups=groups, samples=[shares] * len(groups), depth=Depth.ONE_F_ONE_B),
        proof=proof,
    )
    return plan


class WorkersCosts:
    """The costs of stages in the worker where each is slowest."""

    def __init__(self, costs: StageCosts, workers: Workers, shares: Sequence[int]) -> None:
        self.costs, self.workers, self.shares = costs, workers, shares

    def slowest_s(self, p: int, start: int, stop: int) -> float:
        """Return the seconds of stage p per micro-batch, receiving included."""
        return max(self._worker_s(w, p, start, stop) for w in range(len(self.workers)))

    def fits(self, p: int, start: int, stop: int) -> bool:
        """Return whether every worker's device can hold stage p, with 1F1B's micro-batches in flight."""
        ranks, depth = [worker[p] for worker in self.workers], len(self.workers[0]) - p
        return self.costs.all_fit(ranks, (start, stop), self.shares, depth)

    def _worker_s(self, w: int, p: int, start: int, stop: int) -> float:
        worker, share = self.workers[w], self.shares[w]
        seconds = self.costs.both_s(worker[p], (start, stop), share)
        if p > 0:
            seconds += self.costs.message(start, worker[p - 1 : p], worker[p : p + 1], samples=share).forward_s
        if p + 1 < len(worker):
            seconds += self.costs.message(stop, worker[p : p + 1], worker[p + 1 : p + 2], samples=share).backward_s
        return seconds


def _formations(problem: Problem, workers: int | None) -> list[Workers]:
    """Return all ways to form equal workers, most first, with layers and samples for all devices. Raises PlanError."""
    types = equal_devices(problem.cluster)
    at_most = gcd(*map(len, types))
    counts = [count for count in range(at_most, 0, -1) if at_most % count == 0]
    if workers is not None and workers not in counts:
        has = ", ".join(f"{len(ranks)} {problem.cluster.devices[ranks[0]].name}" for ranks in types)
        raise PlanError(f"{workers} workers cannot have equal devices: {problem.cluster.name} has {has} (try {counts})")
    samples, layers = problem.workload.micro_batch_samples, len(problem.model.layers)
    wanted = counts if workers is None else [workers]
    possible = [count for count in wanted if count <= samples and len(problem.ranks) // count <= layers]
    if not possible:
        raise PlanError(
            f"{' or '.join(map(str, wanted))} workers of {len(problem.ranks)} devices: each needs one of "
            f"{samples} samples, and a layer for every device of {layers} (enlarge the micro-batch, or take fewer)"
        )
    return [_dealt(problem, types, count) for count in possible]


def _dealt(problem: Problem, types: Types, workers: int) -> Workers:
    """Deal the ranks of every type in turn; in each worker the types are ordered by memory, largest first."""
    order = sorted(types, key=lambda ranks: -problem.cluster.devices[ranks[0]].memory_bytes)
    return tuple(tuple(rank for ranks in order for rank in ranks[w::workers]) for w in range(workers))
