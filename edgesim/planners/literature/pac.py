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
from itertools import accumulate

import numpy as np

from edgesim.apportion import even_shares
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.asteroid_latency import PipelineStep
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.cost_models.stage_memory import Floats, Ints
from edgesim.planners.literature.pac_stages import EqualShares
from edgesim.planners.planning_time import require_time
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
    table = EqualShares(costs)
    balanced = (_balanced(costs, table, s) for s in range(1, most + 1))
    pipelines = [(each, _three_phases_s(costs, each)) for each in balanced if each]
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


def _balanced(costs: StageCosts, table: EqualShares, stages: int) -> Balanced | None:
    """Return W(all layers, all devices, stages); None where nothing fits. Ties go to early cuts, then smaller tails.

    ``W[y, n]`` of s stages follows for all n from those of s - 1, tail by tail: m devices hold the layers from q on.
    """
    L, N, largest = table.layers, table.ranks, table.largest
    tails: list[tuple[Ints, Ints]] = []  # [stages - 1] the last stage's first layer and devices, by layers and devices
    best_s: Floats = np.full((L + 1, N + 1), np.inf)
    best_s[1:, 1 : largest + 1] = table.slowest_s(min(stages, costs.problem.workload.micro_batches))[
        table.range_of[0, 1:], 0
    ]
    for s in range(2, stages + 1):
        here_s = table.slowest_s(min(stages - s + 1, costs.problem.workload.micro_batches))
        further_s = np.full_like(best_s, np.inf)
        cut, devices = np.zeros(further_s.shape, dtype=np.int64), np.zeros(further_s.shape, dtype=np.int64)
        for y in range(s, L + 1):
            require_time("pac")
            q = np.arange(s - 1, y)
            # [cut, first, size - 1]: the first devices are those of the stages before
            slowest_s = np.maximum(best_s[q][:, :N, None], here_s[table.range_of[q, y]])
            for n in range(s, N + 1):
                at, own = n - np.arange(1, largest + 1), np.arange(largest)
                of_n = slowest_s[:, at[at >= 0], own[at >= 0]]  # [cut, devices - 1]
                chosen = int(np.argmin(of_n))
                further_s[y, n] = of_n.flat[chosen]
                cut[y, n], devices[y, n] = q[chosen // of_n.shape[1]], chosen % of_n.shape[1] + 1
        tails.append((cut, devices))
        best_s = further_s
    if not np.isfinite(best_s[L, N]):
        return None
    cuts, groups, y, n = [L], list[tuple[int, ...]](), L, N
    for cut, devices in reversed(tails):
        m = int(devices[y, n])
        groups.insert(0, tuple(range(n - m, n)))
        y, n = int(cut[y, n]), n - m
        cuts.insert(0, y)
    return Balanced(slowest_s=float(best_s[L, N]), cuts=(0, *cuts), groups=(tuple(range(n)), *groups))


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
