"""Eco-FL's planner (Ye et al., ICPP 2022): where are the stages of a pipeline over unequal devices with little memory?

There is one stage per device in rank order. Layers are cut so that the slowest stage, or message after one, is fastest;
a micro-batch's forward and backward pass count in both. Then 1F1B, but no stage keeps more micro-batches in flight than
its device's memory holds. Recalled: the partition's recurrence is PipeDream's for unequal devices.

Ours: a stage keeps no more in flight than the stage before it, because a stage cannot forward what has not been sent.
Not modelled: federated aggregation between groups, and the re-planning while devices change.
"""

from dataclasses import replace
from functools import partial
from itertools import pairwise

from edgesim.plan import Depth, Plan, Stage
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.partitioning import fastest_cuts, most
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof


def eco_fl(problem: Problem) -> Plan:
    """Return the pipeline of all devices with the fastest slowest stage or message.

    Raises PlanError for inference, InfeasibleError naming what does not fit.
    """
    problem.require_training("eco_fl", instead="pipeedge or prima")
    costs, groups = StageCosts(problem), problem.group("pipeline")
    samples = problem.workload.micro_batch_samples

    def slowest_s(p: int, start: int, stop: int) -> float:
        """Return the seconds of stage p, or of the message after it, whichever is longer."""
        message_s = costs.message_s(stop, p, p + 1) if p + 1 < len(groups) else 0.0
        return max(costs.both_s(p, (start, stop), samples), message_s)

    def fits(p: int, start: int, stop: int) -> bool:
        """Return whether stage p fits with one micro-batch in flight."""
        return costs.fits(p, (start, stop), samples, 1, 1)

    cuts = fastest_cuts(len(problem.model.layers), len(groups), slowest_s, fits)
    if not cuts:
        raise nothing_fits(costs, "pipeline of all devices in rank order", samples=samples)
    value = max(slowest_s(p, start, stop) for p, (start, stop) in enumerate(pairwise(cuts)))
    plan = problem.plan(
        planner="eco_fl",
        stages=problem.stages(cuts=cuts, groups=groups, samples=[[samples]] * len(groups), depth=Depth.ONE_F_ONE_B),
        proof=Proof(method="eco_fl", objective=Objective.SLOWEST_STAGE, value=value),
    )
    return replace(plan, stages=_as_deep_as_fits(costs, plan.stages))


def _as_deep_as_fits(costs: StageCosts, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Reduce the micro-batches in flight where memory is short, and in all later stages."""
    limited: list[Stage] = []
    deepest = stages[0].in_flight
    for stage in stages:
        fits = partial(_fits, costs, stage)
        deepest = most(min(deepest, stage.in_flight), fits)
        limited.append(replace(stage, in_flight=deepest))
    return tuple(limited)


def _fits(costs: StageCosts, stage: Stage, in_flight: int) -> bool:
    return costs.fits(stage.ranks[0], stage.layers, stage.samples[0], in_flight, 1)
