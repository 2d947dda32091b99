"""Which of many good plans is fastest when simulated? Formulas err on slow links; the simulator has the last word.

Candidates are the best few of the integer programmes, at Asteroid's depth and at 1F1B's, and what the published
planners say. So the choice is never slower, in simulated time, than any of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from edgesim.errors import InfeasibleError, PlanError, ProfileError
from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.even import even
from edgesim.planners.baselines.even_blocks import even_blocks
from edgesim.planners.baselines.proportional import proportional
from edgesim.planners.baselines.proportional_blocks import proportional_blocks
from edgesim.planners.cost_models.block_time import block_latency_s
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.blocks.ilp_blocks import ilp_blocks
from edgesim.planners.exact.pipelines.candidates import PipelineFamily
from edgesim.planners.exact.pipelines.certify import depth_of
from edgesim.planners.exact.pipelines.search import PipelineSearch, most_replicas
from edgesim.planners.literature.asteroid import asteroid
from edgesim.planners.literature.dapple import dapple
from edgesim.planners.literature.eco_fl import eco_fl
from edgesim.planners.literature.eddl import eddl
from edgesim.planners.literature.exo import exo
from edgesim.planners.literature.galaxy import galaxy
from edgesim.planners.literature.gpipe import gpipe
from edgesim.planners.literature.hetpipe import hetpipe
from edgesim.planners.literature.pac import pac
from edgesim.planners.literature.pipedream import pipedream
from edgesim.planners.literature.pipeedge import pipeedge
from edgesim.planners.literature.prima import prima
from edgesim.planners.problem import Planner, Problem
from edgesim.proof import Objective, Proof, bound_or_none

PIPELINES: tuple[Planner, ...] = (
    asteroid,
    pac,
    pipedream,
    dapple,
    hetpipe,
    eco_fl,
    gpipe,
    pipeedge,
    prima,
    exo,
    partial(eddl, shares="even"),
    partial(eddl, shares="proportional"),
    partial(even, groups="pipeline", depth=Depth.ONE_F_ONE_B),
    partial(proportional, groups="pipeline", depth=Depth.ONE_F_ONE_B),
    partial(proportional, groups="halves", depth=Depth.ONE_F_ONE_B),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plan, and who proposed it."""

    name: str
    plan: Plan


def simulate_and_choose(
    problem: Problem,
    *,
    evaluate: Callable[[Plan], float],
    keep: int = 8,
    units: bool = False,
    tokens: bool = False,
    overlap: bool = False,
    time_limit_s: float = 60.0,
) -> Plan:
    """The candidate with the fewest seconds per iteration, as ``evaluate`` judges them; the first of equals.

    ``keep`` are the best of each integer programme, which share the time limit. For a strategy that divides blocks by
    ``units``, ``tokens`` or both, candidates are divisions of them. The proof is of the formula, for the chosen plan's
    depth: it says how far simulation led away from the formula's best. Raises InfeasibleError if nobody has a plan.
    """
    began_s = perf_counter()
    found = _distinct(
        _divisions(problem, units, tokens, overlap, time_limit_s)
        if units or tokens
        else pipelines(problem, keep=keep, time_limit_s=time_limit_s)
    )
    if not found:
        raise InfeasibleError(
            f"no planner has a plan for {problem.model.name} on {problem.cluster.name} "
            "(ilp_hybrid_pipeline or ilp_blocks say what is missing)"
        )
    judged = [(seconds, each) for each in found if (seconds := _seconds(evaluate, each.plan)) is not None]
    if not judged:
        raise PlanError(
            "the strategy plays none of the plans that planners have (take hybrid_pipeline or hybrid_model)"
        )
    _, best = min(judged, key=lambda entry: entry[0])
    proof = best.plan.proof and replace(
        best.plan.proof,
        method=f"{best.name}, fastest of {len(judged)} when simulated",
        seconds=perf_counter() - began_s,
    )
    return problem.check(replace(best.plan, planner="simulate_and_choose", proof=proof))


def pipelines(problem: Problem, *, keep: int, time_limit_s: float) -> Iterator[Candidate]:
    """The best few of each depth, then what other planners say; with the bound of their depth."""
    most, proofs = most_replicas(problem, None, interchangeable(problem.cluster)), dict[Depth, Proof]()
    depths = (Depth.ASTEROID, Depth.ONE_F_ONE_B)
    for depth in depths:
        search = PipelineSearch(problem, PipelineFamily(depth=depth, replicas=most), planner="ilp_hybrid_pipeline")
        found = search.run(time_limit_s=time_limit_s / len(depths), keep=keep)
        for _, choice in found.pool[:keep]:
            plan = search.plan(choice, found)
            if plan.proof is not None:
                proofs.setdefault(depth, plan.proof)
            yield Candidate(name=f"ilp_hybrid_pipeline, {depth}", plan=plan)
    for planner in PIPELINES:
        if (theirs := _asked(planner, problem)) is not None:
            yield Candidate(name=theirs.planner, plan=_judged(problem, theirs, proofs, most))


def _judged(problem: Problem, plan: Plan, proofs: dict[Depth, Proof], most: int) -> Plan:
    """With the formula's value, and the bound of its depth where there is one for its numbers of replicas."""
    value, depth = iteration_s(problem, plan), depth_of(plan)
    within = all(len(stage.ranks) <= most for stage in plan.stages)
    proven = proofs.get(depth) if depth is not None and within else None
    proof = Proof(
        method=plan.planner,
        objective=Objective.ITERATION_TIME,
        value=value,
        bound=None if proven is None or proven.bound is None else bound_or_none(proven.bound, value),
        solver=None if proven is None else proven.solver,
    )
    return replace(plan, proof=proof, predicted_s=value)


def _divisions(problem: Problem, units: bool, tokens: bool, overlap: bool, time_limit_s: float) -> Iterator[Candidate]:
    """Blocks divided by the integer programme, and by those that it should beat."""
    planners: list[Planner] = [
        partial(
            ilp_blocks, units=units, tokens=tokens, overlap=overlap, leave_out=leave_out, time_limit_s=time_limit_s / 2
        )
        for leave_out in (True, False)
    ]
    planners += [
        partial(proportional_blocks, units=units, tokens=tokens, connective_tokens="equal"),
        partial(even_blocks, units=units, tokens=tokens),
        partial(even_blocks, units=units, tokens=tokens, ranks="fastest"),
    ]
    for planner in [*planners, galaxy] if units and tokens else planners:
        if (plan := _asked(planner, problem)) is not None:
            yield Candidate(name=plan.planner, plan=plan if plan.proof else _reckoned(problem, plan, overlap))


def _reckoned(problem: Problem, plan: Plan, overlap: bool) -> Plan:
    """With the formula's value, where the profile knows the plan's shares; nobody has a bound for all divisions."""
    try:
        value = block_latency_s(problem, plan, overlap=overlap)
    except (PlanError, ProfileError):
        return plan
    proof = Proof(method=plan.planner, objective=Objective.BLOCK_ITERATION_TIME, value=value)
    return replace(plan, proof=proof, predicted_s=value)


def _asked(planner: Planner, problem: Problem) -> Plan | None:
    """What a planner says; None where it declines."""
    try:
        return planner(problem)
    except (PlanError, InfeasibleError):
        return None


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Plans that differ; of equal ones the first."""
    found: dict[object, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.plan.stages, candidate)
    return list(found.values())


def _seconds(evaluate: Callable[[Plan], float], plan: Plan) -> float | None:
    """None for a plan that the strategy is not made for."""
    try:
        return evaluate(plan)
    except PlanError:
        return None
