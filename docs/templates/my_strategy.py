"""My strategy: when does each rank run what? One sentence, and the paper it is from."""

from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload


def my_strategy(plan: Plan, model: Model, workload: Workload) -> Schedule:
    """Return the hybrid pipeline's schedule. Raises PlanError for plans of more than two stages.

    A schedule has a program of tasks for every rank, with bytes and needs, and no seconds: see
    ``edgesim/strategies/hybrid_pipeline.py`` for how one is written task by task.
    """
    if len(plan.stages) > 2:
        raise PlanError(f"my_strategy plays at most two stages, the plan has {len(plan.stages)} (form fewer groups)")
    return hybrid_pipeline(plan, model, workload)
