"""My planner: where does a model live if ...? One sentence, and the paper it is from.

Kept of the paper: ... Not kept: ..., because a plan cannot say it.
"""

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.problem import Problem


def my_planner(problem: Problem, *, depth: str) -> Plan:
    """Return all layers on the fastest device. Raises PlanError where the model does not fit there.

    Seconds come from ``problem.seconds``, which asks the profile, and memory from ``problem.check``. A plan without a
    bound has no proof. A planner that cannot plan says why by raising PlanError.
    """
    layers, samples = len(problem.model.layers), problem.workload.micro_batch_samples
    if layers < 1:
        raise PlanError(f"my_planner needs at least one layer, {problem.model.name} has none")
    fastest = min(problem.ranks, key=lambda rank: problem.seconds(rank=rank, layers=(0, layers), samples=samples))
    plan = problem.plan(
        planner="my_planner", cuts=[0, layers], groups=[[fastest]], samples=[[samples]], depth=Depth(depth)
    )
    return problem.check(plan)
