"""How far can a plan be from the best? A proven bound for any planner's plan, by the one common objective.

The bound is over all plans with the same depth, or any depth where the plan's is nobody's rule, with as many replicas a
stage as the plan has and those that ``ilp_hybrid_pipeline`` allows.
"""

from dataclasses import replace

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan, in_flight
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.pipelines.candidates import PipelineFamily
from edgesim.planners.exact.pipelines.many_kinds.affordable import searched
from edgesim.planners.exact.pipelines.search import most_replicas
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof, bound_or_none


def certify(problem: Problem, plan: Plan, *, time_limit_s: float = 60.0) -> Plan:
    """The same plan with its value, a bound and the gap between; the bound holds whether or not time was too short.

    Raises PlanError for a plan that does not fit the problem.
    """
    problem.check(plan)
    if any(stage.divides_blocks for stage in plan.stages):
        raise PlanError(f"certify judges pipelines; ranks divide blocks in {plan} (take ilp_blocks)")
    if any(stage.recompute for stage in plan.stages):
        raise PlanError(
            f"certify bounds pipelines that keep activations, some are recomputed in {plan} (planner.recompute=never)"
        )
    value = iteration_s(problem, plan)
    most = most_replicas(problem, None, interchangeable(problem.cluster))
    replicas = max(most, *(len(stage.ranks) for stage in plan.stages))
    family = PipelineFamily(depth=depth_of(plan), replicas=replicas)
    _, result = searched(problem, family, planner=plan.planner, time_limit_s=time_limit_s, to_beat_s=value * (1 + 1e-9))
    proof = Proof(
        method=plan.proof.method if plan.proof else plan.planner,
        objective=Objective.ITERATION_TIME,
        value=value,
        bound=bound_or_none(result.bound_s, value),
        seconds=plan.proof.seconds if plan.proof else None,
        solver=result.solver,
    )
    return replace(plan, proof=proof, predicted_s=value)


def depth_of(plan: Plan) -> Depth | None:
    """The rule that a plan's micro-batches in flight follow; None if they follow none."""
    stages, micro_batches = len(plan.stages), plan.micro_batches
    for depth in (Depth.ONE_F_ONE_B, Depth.ASTEROID, Depth.GPIPE):
        if all(
            stage.in_flight == in_flight(depth, stage=p, stages=stages, micro_batches=micro_batches)
            for p, stage in enumerate(plan.stages)
        ):
            return depth
    return None
