"""My planner: where does a model live if ...? One sentence, and the paper it is from.

Kept of the paper: ... Not kept: ..., because a plan cannot say it.
"""

from edgesim.plan import Depth, Plan
from edgesim.planners.problem import Problem


def my_planner(problem: Problem, *, depth: str) -> Plan:
    """Return all layers on the fastest device. Raises PlanError where the model does not fit there.

    Seconds come from ``problem.seconds``, which asks the profile, and memory from ``problem.check``. A plan without a
    bound has no proof. A planner that cannot plan says why by raising PlanError.
    """
    problem.require_training("my_planner", instead="planner=prima")
    layers, samples = len(problem.model.layers), problem.workload.micro_batch_samples
    fastest = min(problem.ranks, key=lambda rank: problem.seconds(rank=rank, layers=(0, layers), samples=samples))
    stages = problem.stages(cuts=[0, layers], groups=[[fastest]], samples=[[samples]], depth=Depth(depth))
    plan = problem.plan(planner="my_planner", stages=stages)
    return problem.check(plan)
