"""Where should a hybrid pipeline's stages be, provably? An integer linear programme over all stages that fit.

Groups may mix devices, share a micro-batch unevenly and leave devices out; memory counts the micro-batches in flight at
a stage's position. The objective is ``pipeline_time.py``, all-reduces and updates included. ``milp.py`` has
the rows. Their structure, a shortest path that counts devices, is what ``branch_and_bound.py`` solves them by.
"""

from time import perf_counter

from edgesim.plan import Depth, Plan
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.pipelines.candidates import PipelineFamily
from edgesim.planners.exact.pipelines.explain import why_no_pipeline
from edgesim.planners.exact.pipelines.many_kinds.affordable import searched
from edgesim.planners.exact.pipelines.search import most_replicas
from edgesim.planners.problem import Problem


def ilp_hybrid_pipeline(
    problem: Problem,
    *,
    depth: Depth = Depth.ASTEROID,
    replicas: int | None = None,
    stages: int | None = None,
    time_limit_s: float = 60.0,
    gap: float = 1e-6,
) -> Plan:
    """The best pipeline with at most so many replicas a stage and so many stages, proven within the gap or the time.

    Where too many stages fit to be listed, unlike devices are merged into few kinds, at their best for the bound.

    Raises InfeasibleError naming a device and what it lacks, or saying that the time was too short.
    """
    until_s = perf_counter() + time_limit_s
    most = most_replicas(problem, replicas, interchangeable(problem.cluster))
    family = PipelineFamily(depth=depth, replicas=most, stages=stages)
    search, result = searched(problem, family, planner="ilp_hybrid_pipeline", time_limit_s=time_limit_s, gap=gap)
    if not result.choice:
        raise why_no_pipeline(search.candidates, result, until_s=until_s)
    return search.plan(result.choice, result)
