"""Which stages compute their activations a second time, instead of keeping them? Those that are asked to, or must.

A stage with several micro-batches in flight then keeps their inputs, and the activations of one (GPipe, Huang et al.,
2019): less memory for a second forward pass. With one in flight there is nothing to gain.
"""

from dataclasses import replace
from typing import Literal

from edgesim.errors import PlanError
from edgesim.plan import Plan, Stage
from edgesim.planners.problem import Problem

Recompute = Literal["never", "where_needed", "always"]
_CHOICES = ("never", "where_needed", "always")


def recomputed(problem: Problem, plan: Plan, recompute: Recompute) -> Plan:
    """Return the plan whose stages recompute never, where a rank could not hold all activations, or always.

    Raises PlanError for another word.
    """
    if recompute not in _CHOICES:
        raise PlanError(f"unknown recompute {recompute!r} (try {', '.join(map(repr, _CHOICES))})")
    if recompute == "never" or not problem.workload.trains:
        return plan
    needs = plan.memory(problem.model, problem.cluster, problem.workload)

    def gains(stage: Stage) -> bool:
        full = any(needs[rank].total_bytes > problem.budget_bytes(rank) for rank in stage.ranks)
        return min(stage.in_flight, plan.micro_batches) > 1 and (full or recompute == "always")

    return replace(plan, stages=tuple(replace(stage, recompute=gains(stage)) for stage in plan.stages))
