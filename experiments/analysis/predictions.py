"""What is known of a plan before it is played? Its analytic seconds, by one evaluator for all planners, and a bound.

A planner's own objective is not comparable with another's; the evaluators' seconds are. What nobody can tell is None.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgesim.errors import PlanError, ProfileError
from edgesim.plan import Plan
from edgesim.planners.cost_models.block_time import block_latency_s
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.problem import Problem

# How the objectives of planners begin whose bound is one of seconds per iteration.
_SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a plan promises.

    Attributes:
        predicted_s: by its own planner.
        analytic_s: by the evaluator that all planners share.
        bound_s: that no plan is faster than, by its planner's proof.
        gap: of the plan over the bound, as a share; None where no bound is known.
    """

    predicted_s: float | None
    analytic_s: float | None
    bound_s: float | None
    gap: float | None

    @property
    def seconds(self) -> float | None:
        """The shared evaluator's, or where there is none the planner's own."""
        return self.predicted_s if self.analytic_s is None else self.analytic_s


def analytic_s(problem: Problem, plan: Plan, strategy: Callable[..., Any]) -> float | None:
    """Seconds per iteration by the evaluator for this kind of plan; None where it cannot count the strategy's ways."""
    if not any(stage.divides_blocks for stage in plan.stages):
        return iteration_s(problem, plan)
    options = getattr(strategy, "keywords", {})
    if options.get("exchange", "ring") != "ring":
        return None
    try:
        return block_latency_s(problem, plan, overlap=bool(options.get("overlap", False)))
    except (PlanError, ProfileError):
        return None


def prediction(problem: Problem, plan: Plan, strategy: Callable[..., Any]) -> Prediction:
    """All that is known; a planner's bound counts if it is one of seconds."""
    proven = plan.proof if plan.proof.objective.startswith(_SECONDS) else None
    return Prediction(
        predicted_s=plan.predicted_s,
        analytic_s=analytic_s(problem, plan, strategy),
        bound_s=proven and proven.bound,
        gap=proven and proven.gap,
    )
