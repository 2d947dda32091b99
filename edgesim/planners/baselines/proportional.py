"""Where should a model live if only compute counted? Samples by speed, layers cut to equal stage times."""

from itertools import pairwise

from edgesim.apportion import largest_remainder
from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.partitioning import fastest_cuts, move_from_stragglers
from edgesim.planners.problem import Groups, Problem
from edgesim.planners.recomputation import Recompute, recomputed
from edgesim.proof import Objective, Proof


def proportional(problem: Problem, *, groups: Groups, depth: Depth, recompute: Recompute = "never") -> Plan:
    """Return the cuts whose slowest stage is fastest, and samples by speed; messages are not counted. Raises PlanError.

    A rank's speed on a stage is micro-batches per second, v_r = 1 / seconds(stage, all samples); a group's is Σ v_r.
    Stages recompute activations as :func:`edgesim.planners.recomputation.recomputed` says.
    """
    formed = problem.group(groups)

    def stage_s(p: int, start: int, stop: int) -> float:
        return 1 / sum(_speeds(problem, formed[p], (start, stop)))

    cuts = fastest_cuts(len(problem.model.layers), len(formed), stage_s)
    stages = tuple(zip(formed, pairwise(cuts), strict=True))
    samples = [_samples(problem, group, layers) for group, layers in stages]
    slowest_s = max(
        problem.seconds(rank=rank, layers=layers, samples=share)
        for (group, layers), shares in zip(stages, samples, strict=True)
        for rank, share in zip(group, shares, strict=True)
    )
    proof = Proof(
        method="proportional",
        objective=Objective.SLOWEST_COMPUTATION,
        value=slowest_s,
    )
    plan = problem.plan(
        planner="proportional",
        stages=problem.stages(cuts=cuts, groups=formed, samples=samples, depth=depth),
        proof=proof,
    )
    return recomputed(problem, plan, recompute)


def _speeds(problem: Problem, group: tuple[int, ...], layers: tuple[int, int]) -> list[float]:
    """Return the micro-batches per second of every rank of a group."""
    samples = problem.workload.micro_batch_samples
    seconds = {rank: problem.seconds(rank=rank, layers=layers, samples=samples) for rank in group}
    if free := [rank for rank in group if seconds[rank] <= 0]:
        raise PlanError(
            f"profile gives rank {free[0]} no time for layers {layers}: a speed needs seconds (profile anew)"
        )
    return [1 / seconds[rank] for rank in group]


def _samples(problem: Problem, group: tuple[int, ...], layers: tuple[int, int]) -> tuple[int, ...]:
    """Return whole samples by speed, then moved off stragglers."""
    shares = largest_remainder(problem.workload.micro_batch_samples, _speeds(problem, group, layers))
    for rank, share in zip(group, shares, strict=True):
        if share == 0:
            raise PlanError(
                f"rank {rank} ({problem.cluster.devices[rank].name}) is too slow for one of "
                f"{problem.workload.micro_batch_samples} samples beside ranks {group} "
                "(leave it out, or enlarge the micro-batch)"
            )
    return move_from_stragglers(shares, lambda i, share: problem.seconds(rank=group[i], layers=layers, samples=share))
