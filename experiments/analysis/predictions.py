"""What is known of a plan before it is played? Its analytic seconds, by one evaluator for all planners, and a bound.

A planner's own objective is not comparable with another's; the evaluators' seconds are. What nobody can tell is None.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isclose
from typing import Any

from edgesim.errors import PlanError, ProfileError
from edgesim.plan import Plan
from edgesim.planners.cost_models.block_time import block_latency_s
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.problem import Problem
from edgesim.proof import Proof

_SAME = 1e-6  # relative: how near two ways to reckon the same seconds are


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a plan promises. The bound and the gap are of ``analytic_s``, which is what they are comparable with.

    Attributes:
        predicted_s: by its own planner.
        analytic_s: by the evaluator that all planners share.
        bound_s: of the iteration time; None where the planner proved none, or one of another objective.
        gap: of ``analytic_s`` over ``bound_s``, as a share; None where no bound is known.
        own: what the planner minimised and proved, where that is not ``analytic_s``.
    """

    predicted_s: float | None
    analytic_s: float | None
    bound_s: float | None
    gap: float | None
    own: Proof | None = None

    @property
    def seconds(self) -> float | None:
        """The shared evaluator's, or where there is none the planner's own."""
        return self.predicted_s if self.analytic_s is None else self.analytic_s


def analytic_s(problem: Problem, plan: Plan, strategy: Callable[..., Any]) -> float | None:
    """Seconds per iteration by the evaluator for this kind of plan; None where it cannot count the strategy's ways."""
    options = getattr(strategy, "keywords", {})
    if "staleness" in options:
        return None  # iterations that overlap
    if not any(stage.divides_blocks for stage in plan.stages):
        return iteration_s(problem, plan)
    if options.get("exchange", "ring") != "ring":
        return None
    try:
        return block_latency_s(problem, plan, overlap=bool(options.get("overlap", False)))
    except (PlanError, ProfileError):
        return None


def prediction(problem: Problem, plan: Plan, strategy: Callable[..., Any]) -> Prediction:
    """All that is known; a planner's bound counts if it is one of the seconds that the shared evaluator reckons."""
    seconds, proof = analytic_s(problem, plan, strategy), plan.proof
    is_of_seconds = (
        proof is not None
        and proof.objective.is_common
        and seconds is not None
        and isclose(proof.value, seconds, rel_tol=_SAME)
    )
    common = proof if is_of_seconds else None
    return Prediction(
        predicted_s=plan.predicted_s,
        analytic_s=seconds,
        bound_s=common and common.bound,
        gap=common and common.gap,
        own=None if is_of_seconds else proof,
    )


def proof_columns(proof: Proof | None) -> dict[str, Any]:
    """What a planner minimised, in its own unit, as columns of a table; all empty without a proof."""
    if proof is None:
        return dict.fromkeys(PROOF_COLUMNS)
    values = (
        str(proof.objective),
        proof.details or None,
        proof.objective.unit,
        proof.value,
        proof.bound,
        proof.gap,
        str(proof.status),
        proof.solver,
    )
    return dict(zip(PROOF_COLUMNS, values, strict=True))


PROOF_COLUMNS = (
    "objective",
    "objective_details",
    "objective_unit",
    "objective_value",
    "objective_bound",
    "objective_gap",
    "objective_proof",
    "solver",
)
