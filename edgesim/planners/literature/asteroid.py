"""Asteroid's planner (Ye et al., MobiCom 2024, arXiv 2408.08015): where should a hybrid pipeline's stages be?

A dynamic programme over suffixes. ``Q(l, n, p)`` is the lowest latency of the last l layers on the last n devices in p
stages: a head stage and its message are put before every ``Q(l', n', p - 1)``, and ``asteroid_latency.py`` gives the
latency of one iteration (an HPP-Round) of the whole. Devices are ordered by memory, largest first, because early stages
keep most micro-batches in flight: the p-th from the end 2p - 1. Keeping one best suffix per state is what makes it a
heuristic: the best pipeline may have a head whose suffix is not the best by itself.
"""

from dataclasses import dataclass

from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.asteroid_latency import PipelineStep, hpp_round_latency_s
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.literature.asteroid_allocation import allocate
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Suffix:
    """The last stages of a pipeline, first stage first: cuts, ranks, samples, steps, and the iteration's latency."""

    latency_s: float
    cuts: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    samples: tuple[tuple[int, ...], ...]
    steps: tuple[PipelineStep, ...]


def asteroid(problem: Problem) -> Plan:
    """Return the fastest pipeline that the dynamic programme meets, on all devices.

    Raises PlanError for inference, InfeasibleError naming what does not fit.
    """
    problem.require_training("asteroid", instead="galaxy")
    order = tuple(sorted(problem.ranks, key=lambda r: (-problem.cluster.devices[r].memory_bytes, r)))
    costs, layers = StageCosts(problem), len(problem.model.layers)
    pipelines = [whole for states in _suffixes(costs, order) if (whole := states.get((layers, len(order)))) is not None]
    if not pipelines:
        raise nothing_fits(costs, "pipeline with 2p - 1 micro-batches in flight")
    best = min(pipelines, key=lambda suffix: (suffix.latency_s, len(suffix.groups)))
    proof = Proof(method="asteroid", objective=Objective.HPP_ROUND, value=best.latency_s)
    plan = problem.plan(
        planner="asteroid",
        stages=problem.stages(cuts=best.cuts, groups=best.groups, samples=best.samples, depth=Depth.ASTEROID),
        proof=proof,
        predicted_s=best.latency_s,
    )
    return plan


States = dict[tuple[int, int], Suffix]  # by the number of last layers and last devices


def _suffixes(costs: StageCosts, order: tuple[int, ...]) -> list[States]:
    """Return the best suffix of each state, by [stages - 1]."""
    layers, devices = len(costs.problem.model.layers), len(order)
    tables: list[States] = []
    for p in range(1, min(layers, devices) + 1):
        shorter: States = tables[-1] if tables else {}
        states: States = {}
        for held in range(p, layers + 1):
            for n in range(p, devices + 1):
                if candidates := _with_heads(costs, order, (held, n), p, shorter):
                    states[held, n] = min(candidates, key=lambda suffix: suffix.latency_s)
        tables.append(states)
    return tables


def _with_heads(
    costs: StageCosts, order: tuple[int, ...], state: tuple[int, int], p: int, shorter: States
) -> list[Suffix]:
    """Return all suffixes of a state in p stages whose head is followed by a best suffix."""
    held, n = state
    start, first = len(costs.problem.model.layers) - held, len(order) - n
    if p == 1:
        return _headed(costs, order[first:], (start, start + held), 1, None)
    return [
        suffix
        for (later_held, later_n), later in shorter.items()
        if later_held < held and later_n < n
        for suffix in _headed(costs, order[first : len(order) - later_n], (start, start + held - later_held), p, later)
    ]


def _headed(
    costs: StageCosts, ranks: tuple[int, ...], layers: tuple[int, int], p: int, later: Suffix | None
) -> list[Suffix]:
    """Return the head stage, its message, and what follows it; nothing where the head does not fit."""
    samples = allocate(costs, layers, ranks, in_flight=2 * p - 1)
    if samples is None:
        return []
    rest = later or Suffix(latency_s=0.0, cuts=layers[1:], groups=(), samples=(), steps=())
    message = () if later is None else (costs.message(layers[1], ranks, later.groups[0]),)
    steps = (costs.stage(layers, ranks, samples), *message, *rest.steps)
    return [
        Suffix(
            latency_s=hpp_round_latency_s(steps, costs.problem.workload.micro_batches),
            cuts=(layers[0], *rest.cuts),
            groups=(ranks, *rest.groups),
            samples=(samples, *rest.samples),
            steps=steps,
        )
    ]
