"""PAC's planner (Pluto and Charon, Ouyang et al., ICPP 2024, arXiv 2408.10746): where are the stages of fine-tuning?

For every number of stages s, a recurrence balances them: the slowest stage of the first y layers on the first n devices

    W(y, n, s) = min over q, m of max(W(q, n - m, s - 1), T(q..y, last m devices))

with equal shares inside a group, and T = ∞ where a device does not fit. Then s is chosen by three phases:

    beginning   Σ_{i<s} (e_f(i) + c_f(i))
    execution   M (e_f(s) + e_b(s)), as if the last stage were the slowest
    ending      max over i of AR(i) + Σ_{i<=j<s} (e_b(j) + c_b(j))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import inf

from edgesim.apportion import even_shares
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.asteroid_latency import PipelineStep
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import Layers, StageCosts
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """The first stages of a pipeline, and the seconds per micro-batch of the slowest of them."""

    slowest_s: float
    cuts: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def pac(problem: Problem) -> Plan:
    """Return the balanced pipeline whose three phases together are shortest. Raises PlanError and InfeasibleError."""
    problem.require_training("pac", instead="galaxy")
    costs = StageCosts(problem)
    most = min(len(problem.model.layers), len(problem.ranks))
    pipelines = [(each, _three_phases_s(costs, each)) for s in range(1, most + 1) if (each := _balanced(costs, s))]
    if not pipelines:
        raise nothing_fits(costs, f"balanced pipeline of 1 to {most} stages with equal shares")
    best, seconds = min(pipelines, key=lambda entry: (entry[1], len(entry[0].groups)))
    proof = Proof(method="pac", objective=Objective.THREE_PHASES, value=seconds)
    plan = problem.plan(
        planner="pac",
        stages=problem.stages(
            cuts=best.cuts,
            groups=best.groups,
            samples=[_equal(problem, group) for group in best.groups],
            depth=Depth.ONE_F_ONE_B,
        ),
        proof=proof,
        predicted_s=seconds,
    )
    return plan


def _equal(problem: Problem, group: Sequence[int]) -> tuple[int, ...]:
    return even_shares(problem.workload.micro_batch_samples, len(group))


def _balanced(costs: StageCosts, stages: int) -> Balanced | None:
    """Return W(all layers, all devices, stages); None where nothing fits. Ties go to early cuts, then larger heads."""
    problem = costs.problem

    @cache
    def stage_s(layers: Layers, first: int, stop: int, stage: int) -> float:
        """Return T: the slowest device of ranks first..stop, each with an equal share; ∞ where one does not fit."""
        group = range(first, stop)
        if len(group) > problem.workload.micro_batch_samples:
            return inf
        shares = _equal(problem, group)
        in_flight = min(stages - stage, problem.workload.micro_batches)
        if not costs.all_fit(group, layers, shares, in_flight):
            return inf
        return max(costs.both_s(rank, layers, share) for rank, share in zip(group, shares, strict=True))

    @cache
    def best(y: int, n: int, s: int) -> Balanced | None:
        if s == 1:
            alone_s = stage_s((0, y), 0, n, 0)
            return None if alone_s == inf else Balanced(slowest_s=alone_s, cuts=(0, y), groups=(tuple(range(n)),))
        candidates = []
        for q in range(s - 1, y):
            for m in range(1, n - s + 2):
                before, here_s = best(q, n - m, s - 1), stage_s((q, y), n - m, n, s - 1)
                if before is not None and here_s < inf:
                    slowest_s = max(before.slowest_s, here_s)
                    groups = (*before.groups, tuple(range(n - m, n)))
                    candidates.append(Balanced(slowest_s=slowest_s, cuts=(*before.cuts, y), groups=groups))
        return min(candidates, key=lambda candidate: candidate.slowest_s, default=None)

    return best(len(problem.model.layers), len(problem.ranks), stages)


def _three_phases_s(costs: StageCosts, plan: Balanced) -> float:
    """Return the seconds of beginning, execution and ending."""
    layers = list(zip(plan.cuts, plan.cuts[1:], strict=False))
    stages = [
        costs.stage(held, group, _equal(costs.problem, group)) for held, group in zip(layers, plan.groups, strict=True)
    ]
    messages = [
        costs.message(held[1], group, after)
        for held, group, after in zip(layers, plan.groups, plan.groups[1:], strict=False)
    ]
    forward_s = [stage.forward_s + message.forward_s for stage, message in zip(stages, messages, strict=False)]
    backward_s = [stage.backward_s + message.backward_s for stage, message in zip(stages, messages, strict=False)]
    from_here_s = (*reversed(tuple(accumulate(reversed(backward_s)))), 0.0)  # Σ of all from i on
    ending_s = max(stage.all_reduce_s + rest_s for stage, rest_s in zip(stages, from_here_s, strict=True))
    last: PipelineStep = stages[-1]
    return sum(forward_s) + costs.problem.workload.micro_batches * last.both_s + ending_s
