"""Which device is the fastest alone, and why is a plan slower than it? What links and waiting take, as far as is known.

Every plan is judged by what one device would do, which shares with nobody and waits for nobody. Seconds are those of
``pipeline_time.py``, which for a device alone are exact.
"""

from dataclasses import dataclass, replace
from math import inf

from edgesim.cluster import Network, Origin
from edgesim.errors import OutOfMemoryError, PlanError, ProfileError
from edgesim.plan import Plan
from edgesim.planners.cost_models.pipeline_energy import computing_s
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.problem import Problem
from edgesim.units import show

_SAME = 1e-9  # relative: what differs by less is equally fast


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A device that does everything by itself, and its seconds per iteration."""

    rank: int
    device: str
    seconds: float


def fastest_alone(problem: Problem) -> Alone | None:
    """Return the fastest of the devices that can hold the whole model; None where none can, or nobody knows.

    Nor is it told for a workload that generates tokens, which is no iteration of whole layers.
    """
    if problem.workload.new_tokens:
        return None
    costs, best = StageCosts(problem), list[Alone]()
    for rank in {device.name: rank for rank, device in reversed(list(enumerate(problem.cluster.devices)))}.values():
        plan = problem.alone(planner="alone", rank=rank)
        try:
            problem.check(plan)
            seconds = iteration_s(problem, plan, costs)
        except (OutOfMemoryError, PlanError, ProfileError):
            continue
        best.append(Alone(rank=rank, device=problem.cluster.devices[rank].name, seconds=seconds))
    return min(best, key=lambda alone: (alone.seconds, alone.rank), default=None)


def why_slower(problem: Problem, plan: Plan, seconds: float) -> str:
    """Say why a plan that takes so many seconds is slower than the fastest device alone; nothing where it is not.

    Told is who computes longest, and what would be left without messages and all-reduces: the plan is counted anew on a
    network that takes no time.
    """
    alone = fastest_alone(problem)
    if alone is None or seconds <= alone.seconds * (1 + _SAME):
        return ""
    slower = f"{seconds / alone.seconds:.3g} times as long as {alone.device} alone ({show(alone.seconds, 's')})"
    if any(stage.divides_blocks for stage in plan.stages):
        return slower
    busiest, computed_s = _busiest(problem, plan)
    ranks = len(problem.ranks)
    free = Network.pairs(
        bytes_per_s=[[inf] * ranks] * ranks, latency_s=0.0, goodput=1.0, origin=Origin.ASSUMED, source="takes no time"
    )
    unsent_s = iteration_s(replace(problem, cluster=replace(problem.cluster, network=free)), plan)
    said = f"{slower}: rank {busiest} ({problem.cluster.devices[busiest].name}) computes for {show(computed_s, 's')}"
    if unsent_s > seconds:
        return said  # the formula is of iterations that wait for each other, and these do not
    return f"{said}, and if messages and all-reduces took no time it would be {show(unsent_s, 's')}"


def _busiest(problem: Problem, plan: Plan) -> tuple[int, float]:
    """Return the rank that computes longest, and for how many seconds of an iteration."""
    costs = StageCosts(problem)
    seconds = {
        rank: computing_s(costs, stage, rank, samples, plan.micro_batches)
        for stage in plan.stages
        for rank, samples in zip(stage.ranks, stage.samples, strict=True)
    }
    busiest = max(seconds, key=seconds.__getitem__)
    return busiest, seconds[busiest]
