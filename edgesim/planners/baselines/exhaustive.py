"""Which is the best of all plans of a small problem? Every plan is tried: the oracle for other planners."""

from collections.abc import Callable, Collection
from dataclasses import replace
from time import perf_counter

from edgesim.errors import InfeasibleError, NothingFitsError, PlanError
from edgesim.plan import Depth, Plan, tied_apart
from edgesim.planners.enumeration import Family, Partition, count, partitions, plans
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof
from edgesim.units import show


def exhaustive(
    problem: Problem,
    *,
    groups: Family,
    depth: Depth,
    evaluate: Callable[[Plan], float],
    stages: Collection[int] | None = None,
    leave_out: bool = False,
    limit: int = 20_000,
) -> Plan:
    """Return the plan of a family with the fewest seconds per iteration by ``evaluate``; the first of equals.

    ``stages`` are the numbers of stages to try (None: all); ``leave_out`` allows ranks without work; ``limit`` is how
    many plans may be tried. Raises PlanError if there are more or none, InfeasibleError if none fits in memory.
    """
    began_s = perf_counter()
    tried: list[Partition] = []
    total = 0
    for partition in partitions(problem, groups, stages=stages, leave_out=leave_out):
        tried.append(partition)
        total += count(problem, partition)
        if total > limit:
            raise PlanError(
                f"exhaustive: at least {total} plans, the limit is {limit} (fix groups or stages, or raise the limit)"
            )
    if not total:
        raise PlanError(f"exhaustive: no plan has groups {groups!r} and stages {stages} here (allow more)")
    best, value = _best(problem, tried, depth, evaluate)
    proof = Proof(
        method=f"all {total} plans",
        objective=Objective.JUDGED_TIME,
        details=_searched(groups, stages, tried, problem),
        value=value,
        bound=value,
        seconds=perf_counter() - began_s,
    )
    return replace(best, proof=proof, predicted_s=value)


def _best(
    problem: Problem, tried: Collection[Partition], depth: Depth, evaluate: Callable[[Plan], float]
) -> tuple[Plan, float]:
    """Return the best plan that fits, and its seconds. Raises InfeasibleError."""
    best: tuple[Plan, float] | None = None
    nearest: tuple[float, str] | None = None
    apart = ""
    for partition in tried:
        for plan in plans(problem, partition, depth=depth, planner="exhaustive"):
            fullest = _fullest(plan, problem)
            if tied := tied_apart(plan.stages, problem.model, problem.workload):
                apart = tied if fullest[0] <= 1 else apart
                continue
            nearest = min(nearest or fullest, fullest)
            if fullest[0] <= 1:
                value = evaluate(plan)
                if best is None or value < best[1]:
                    best = plan, value
    if best is None:
        raise _why_none(nearest, apart)
    return best


def _why_none(nearest: tuple[float, str] | None, apart: str) -> InfeasibleError:
    """Which plans would fit but for weights tied apart, or else how much the nearest lacks."""
    none = "none of the plans that exhaustive tries can be played"
    if apart:
        return InfeasibleError(f"{none}; those that fit in memory have tied weights apart: {apart}")
    if nearest is None:
        return InfeasibleError(f"{none}: all have tied weights apart, and fit in no memory either (more devices)")
    return NothingFitsError(f"{none}; the nearest: {nearest[1]} (smaller micro-batches, or more devices)")


def _searched(groups: Family, stages: Collection[int] | None, tried: Collection[Partition], problem: Problem) -> str:
    """Which plans there were to choose from: the best of a few may be far from the best of all."""
    family = f"groups {groups!r}" if isinstance(groups, str) else f"groups {[list(group) for group in groups]}"
    idle = set(problem.ranks) - {rank for partition in tried for group in partition for rank in group}
    without = f", ranks {', '.join(map(str, sorted(idle)))} without work" if idle else ""
    return f"of {family}{'' if stages is None else f' in {list(stages)} stages'}{without}"


def _fullest(plan: Plan, problem: Problem) -> tuple[float, str]:
    """Return need over budget of the fullest rank, and a description of both."""
    fullest = (0.0, "")
    for rank, held in plan.memory(problem.model, problem.cluster, problem.workload).items():
        device, budget = problem.cluster.devices[rank], problem.budget_bytes(rank)
        description = (
            f"rank {rank} ({device.name}) needs {show(held.total_bytes, 'B')}, has {show(budget, 'B')}, in {plan}"
        )
        fullest = max(fullest, (held.total_bytes / budget, description))
    return fullest
