"""What is known of a plan before it is played? Its analytic seconds by one evaluator for all planners, and a bound.

A planner's own objective is not comparable with another's; these are. What nobody can tell here is None.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edgesim.plan import Plan
from edgesim.planners import Problem
from experiments.compose import Nouns

Evaluator = Callable[[Problem, Plan], float]

# Seconds per iteration of plans that share samples, of plans that divide blocks, and at least of any plan of the same
# problem and kind; None where there is no such function.
PIPELINE_S: Evaluator | None = None
BLOCKS_S: Evaluator | None = None
LEAST_S: Evaluator | None = None

# How the objectives of planners begin whose bound is one of seconds per iteration.
_SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a plan promises.

    Attributes:
        predicted_s: by its own planner.
        analytic_s: by the evaluator that all planners share.
        bound_s: that no plan is faster than.
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


def problem_of(words: Nouns) -> Problem:
    """What these nouns ask a planner."""
    return Problem(
        model=words.model, cluster=words.cluster, profile=words.profile, workload=words.workload,
        head_room=words.head_room,
    )  # fmt: skip


def analytic_s(problem: Problem, plan: Plan) -> float | None:
    """Seconds per iteration by the evaluator for this kind of plan."""
    divides = any(stage.divides_blocks for stage in plan.stages)
    evaluator = BLOCKS_S if divides else PIPELINE_S
    return None if evaluator is None else evaluator(problem, plan)


def bound_s(problem: Problem, plan: Plan) -> float | None:
    """Seconds per iteration that no plan of this problem and kind beats."""
    return None if LEAST_S is None else LEAST_S(problem, plan)


def prediction(problem: Problem, plan: Plan) -> Prediction:
    """All that is known; a bound of the planner's own counts where there is no other, if it is one of seconds."""
    analytic, bound = analytic_s(problem, plan), bound_s(problem, plan)
    gap = None if analytic is None or not bound else analytic / bound - 1
    if bound is None and plan.proof.objective.startswith(_SECONDS):
        bound, gap = plan.proof.bound, plan.proof.gap
    return Prediction(predicted_s=plan.predicted_s, analytic_s=analytic, bound_s=bound, gap=gap)
