"""Asteroid's planner (Ye et al., MobiCom 2024, arXiv 2408.08015): where should a hybrid pipeline's stages be?

A dynamic programme over suffixes. ``Q(l, n, p)`` is the lowest latency of the last l layers on the last n devices in p
stages: a head stage and its message are put before every ``Q(l', n', p - 1)``, and ``asteroid_latency.py`` gives the
latency of one iteration (an HPP-Round) of the whole. Devices are ordered by memory, largest first, because early stages
keep most micro-batches in flight: the p-th from the end 2p - 1. Keeping one best suffix per state is what makes it a
heuristic: the best pipeline may have a head whose suffix is not the best by itself.

The answer is the least ``Q(L, N, p)``: all N devices work, each with a sample at least, as published. So many devices
make long pipelines and large groups, whose messages and all-reduces take longer than what they save: a hundred slow
boards on slow links are planned worse than sixteen. With ``leave_out``, which is ours, devices may stay idle: a
state is then the best suffix of any of its devices that keeps their order. On equal devices and links more of them are
never planned worse; where they differ, another device in the midst of the order can part a group that was good.
"""

from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.literature.asteroid_heads import Heads
from edgesim.planners.literature.asteroid_suffixes import SuffixSearch
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof


def asteroid(problem: Problem, *, leave_out: bool = False) -> Plan:
    """Return the fastest pipeline that the dynamic programme meets, on all devices.

    With ``leave_out`` some may stay idle, and it is never slower than that. Raises PlanError for inference,
    InfeasibleError naming what does not fit.
    """
    problem.require_training("asteroid", instead="galaxy")
    order = tuple(sorted(problem.ranks, key=lambda r: (-problem.cluster.devices[r].memory_bytes, r)))
    costs = StageCosts(problem)
    heads = Heads(costs, order)
    pipelines = [
        pipeline for idle in {False, leave_out} for pipeline in SuffixSearch(heads, leave_out=idle).pipelines()
    ]
    if not pipelines:
        raise nothing_fits(costs, "pipeline with 2p - 1 micro-batches in flight")
    latency_s, best = min(pipelines, key=lambda pipeline: (pipeline[0], len(pipeline[1])))
    proof = Proof(
        method="asteroid, devices may stay out" if leave_out else "asteroid",
        objective=Objective.HPP_ROUND,
        value=latency_s,
    )
    return problem.plan(
        planner="asteroid",
        stages=problem.stages(
            cuts=(0, *(stage.layers[1] for stage in best)),
            groups=[stage.ranks for stage in best],
            samples=[stage.samples for stage in best],
            depth=Depth.ASTEROID,
        ),
        proof=proof,
        predicted_s=latency_s,
    )
