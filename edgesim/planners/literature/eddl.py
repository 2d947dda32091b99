"""EDDL's planner (Hao & Zhang, SEC 2021): how do devices share the samples of data parallelism, evenly or by speed?

EDDL: A Distributed Deep Learning System for Resource-limited Edge Computing Environment, IEEE/ACM SEC. Every device
holds the whole model. Only its division of samples is a plan: its compression of gradients, and workers that come and
go, are not modelled. Recalled, as Asteroid and PAC compare with it (arXiv 2408.08015, 2408.10746).
"""

from typing import Literal

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.even import even
from edgesim.planners.baselines.proportional import proportional
from edgesim.planners.problem import Problem, in_the_name_of
from edgesim.proof import Objective


def eddl(problem: Problem, *, shares: Literal["even", "proportional"]) -> Plan:
    """Return one stage of all devices, samples shared evenly or by speed; gradients accumulate. Raises PlanError."""
    planners = {"even": even, "proportional": proportional}
    if shares not in planners:
        raise PlanError(f"unknown shares {shares!r} (try 'even' or 'proportional')")
    plan = planners[shares](problem, groups="data", depth=Depth.ONE_F_ONE_B)
    (stage,) = plan.stages
    slowest_s = max(
        problem.seconds(rank=rank, layers=stage.layers, samples=share)
        for rank, share in zip(stage.ranks, stage.samples, strict=True)
    )
    return in_the_name_of("eddl", plan, objective=Objective.SLOWEST_DEVICE, value=slowest_s)
