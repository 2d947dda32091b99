"""Pipeline parallelism: consecutive layers on one rank each (GPipe, 1F1B: the plan's depth decides)."""

from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.activation_cache import NO_CACHE, CacheTasks
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload


def pipeline(plan: Plan, model: Model, workload: Workload, *, cache: CacheTasks = NO_CACHE) -> Schedule:
    """Return the schedule of a plan whose stages have one rank each; ``cache`` as in :func:`hybrid_pipeline`.

    Raises PlanError for any other plan.
    """
    for stage in plan.stages:
        if len(stage.ranks) != 1:
            raise PlanError(f"pipeline: stage {stage.layers} has ranks {stage.ranks}; use hybrid_pipeline")
    return hybrid_pipeline(plan, model, workload, cache=cache)
