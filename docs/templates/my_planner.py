"""My planner: where does a model live if ...? One sentence, and the paper it is from.

Kept of the paper: ... Not kept: ..., because a plan cannot say it.
"""

from edgesim.plan import Depth, Plan
from edgesim.planners.problem import Problem


def my_planner(problem: Problem, *, depth: str) -> Plan:
    """Return all layers on the fastest device.

    Seconds come from ``problem.seconds``, which asks the profile. Who asks a planner checks that its plan fits. A plan
    without a value that its planner minimised has no proof. A planner that cannot plan raises PlanError, with a reason.
    """
    problem.require_training("my_planner", instead="planner=prima")
    layers, samples = len(problem.model.layers), problem.workload.micro_batch_samples
    fastest = min(problem.ranks, key=lambda rank: problem.seconds(rank=rank, layers=(0, layers), samples=samples))
    stages = problem.stages(cuts=[0, layers], groups=[[fastest]], samples=[[samples]], depth=Depth(depth))
    return problem.plan(planner="my_planner", stages=stages)
