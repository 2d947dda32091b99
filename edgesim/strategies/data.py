"""Data parallelism: every rank holds the whole model and computes its samples; one all-reduce adds the gradients."""

from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.activation_cache import NO_CACHE, CacheTasks
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload


def data(
    plan: Plan, model: Model, workload: Workload, *, bucket_bytes: float | None = None, cache: CacheTasks = NO_CACHE
) -> Schedule:
    """Return the schedule of a one-stage plan; micro-batches accumulate gradients, which are added up once.

    ``bucket_bytes`` and ``cache`` as in :func:`hybrid_pipeline`. Raises PlanError for more stages.
    """
    if len(plan.stages) != 1:
        raise PlanError(f"data: the plan has {len(plan.stages)} stages; use hybrid_pipeline")
    return hybrid_pipeline(plan, model, workload, bucket_bytes=bucket_bytes, cache=cache)
