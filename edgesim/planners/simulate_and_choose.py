"""Which of many good plans is fastest when simulated? Formulas err on slow links; the simulator has the last word.

Candidates are the best few of the integer programmes, at Asteroid's depth and at 1F1B's, and the plans of the planners
that contend, which the caller names. So the choice is never slower, in simulated time, than any of them that was tried:
programmes, planners and simulations share one time limit, and what it left no time for is named in the proof.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from time import perf_counter

from edgesim.errors import InfeasibleError, PlanError, ProfileError
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.block_time import block_latency_s
from edgesim.planners.cost_models.least_work import LEAST_WORK, least_division_s, least_iteration_s
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.blocks.ilp_blocks import ilp_blocks
from edgesim.planners.exact.certify import depth_of
from edgesim.planners.exact.pipelines.branch_and_bound import SearchResult
from edgesim.planners.exact.pipelines.candidates import PipelineFamily
from edgesim.planners.exact.pipelines.explain import why_no_pipeline
from edgesim.planners.exact.pipelines.many_kinds.affordable import searched
from edgesim.planners.exact.pipelines.search import PipelineSearch, most_replicas
from edgesim.planners.planning_time import LateError, planning_until
from edgesim.planners.problem import Planner, Problem, ask
from edgesim.proof import Objective, Proof, bound_or_none

FOR_PROGRAMMES = 0.75  # of the time limit, at most
FOR_PLANS = 0.9  # of the time limit, when only simulations are left


@dataclass(slots=True, kw_only=True)
class TimeTable:
    """Until when plans are sought, by ``perf_counter``, and who had no time for one."""

    plans_s: float = inf
    late: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plan that fits, and who proposed it."""

    name: str
    plan: Plan


def simulate_and_choose(
    problem: Problem,
    *,
    evaluate: Callable[[Plan], float],
    contenders: Sequence[Planner] = (),
    keep: int = 8,
    units: bool = False,
    tokens: bool = False,
    overlap: bool = False,
    time_limit_s: float = 60.0,
) -> Plan:
    """The candidate with the fewest seconds per iteration, as ``evaluate`` judges them; the first of equals.

    ``contenders`` are planners whose plans compete with those of the integer programmes; without any, the programmes'
    plans compete among themselves. One that raises PlanError or InfeasibleError has declined. ``keep`` are the best of
    each integer programme. At the time limit the fastest that was simulated is taken; the proof's method names who had
    no time, and how many plans were not simulated. For a strategy that divides blocks by ``units``, ``tokens`` or
    both, candidates are divisions of them. The proof is of the formula, for the chosen plan's depth: it says how far
    simulation led away from the formula's best. Raises InfeasibleError if nobody has a plan.
    """
    began_s = perf_counter()
    times = TimeTable(plans_s=began_s + FOR_PLANS * time_limit_s)
    programmes = [
        partial(
            ilp_blocks,
            units=units,
            tokens=tokens,
            overlap=overlap,
            leave_out=leave_out,
            time_limit_s=share * FOR_PROGRAMMES * time_limit_s,
        )
        for leave_out, share in ((True, 2 / 3), (False, 1 / 3))  # which are more teams, and one
    ]
    searches: list[tuple[PipelineSearch, SearchResult]] = []
    candidates = _distinct(
        divisions(problem, [*programmes, *contenders], overlap=overlap, times=times)
        if units or tokens
        else pipelines(
            problem,
            contenders,
            keep=keep,
            time_limit_s=FOR_PROGRAMMES * time_limit_s,
            searches=searches,
            times=times,
        )
    )
    if not candidates:
        for search, result in searches:
            raise why_no_pipeline(search.candidates, result, until_s=began_s + time_limit_s)
        raise InfeasibleError(
            f"no planner has a plan for {problem.model.name} on {problem.cluster.name} "
            "(ilp_blocks says what is missing)"
        )
    judged, refused = list[tuple[float, Candidate]](), 0
    for each in candidates:
        if judged and perf_counter() > began_s + time_limit_s:
            break
        seconds = _seconds(evaluate, each.plan)
        judged, refused = (judged, refused + 1) if seconds is None else ([*judged, (seconds, each)], refused)
    if not judged:
        raise PlanError(
            "the strategy plays none of the plans that planners have (take hybrid_pipeline or hybrid_model)"
        )
    _, best = min(judged, key=lambda entry: entry[0])
    untried = _untried(times.late, len(candidates) - len(judged) - refused)
    proof = best.plan.proof and replace(
        best.plan.proof,
        method=f"{best.name}, fastest of {len(judged)} when simulated{untried}",
        seconds=perf_counter() - began_s,
    )
    return replace(best.plan, planner="simulate_and_choose", proof=proof)


def _untried(late: Sequence[str], unsimulated: int) -> str:
    """What the time limit left no time for."""
    whom = [f"no time for {', '.join(dict.fromkeys(late))}"] if late else []
    plans = [f"{unsimulated} plans not simulated"] if unsimulated else []
    return f" ({'; '.join([*whom, *plans])})" if whom or plans else ""


def pipelines(
    problem: Problem,
    contenders: Sequence[Planner],
    *,
    keep: int,
    time_limit_s: float,
    searches: list[tuple[PipelineSearch, SearchResult]] | None = None,
    times: TimeTable | None = None,
) -> Iterator[Candidate]:
    """The best few pipelines of each depth, then the contenders' plans, with the bound of their depth.

    ``searches`` takes what was searched, which knows why it has found nothing.
    """
    most, proofs = most_replicas(problem, None, interchangeable(problem.cluster)), dict[Depth, Proof]()
    depths = (Depth.ASTEROID, Depth.ONE_F_ONE_B)
    for depth in depths:
        search, result = searched(
            problem,
            PipelineFamily(depth=depth, replicas=most),
            planner="ilp_hybrid_pipeline",
            time_limit_s=time_limit_s / len(depths),
            keep=keep,
        )
        if searches is not None:
            searches.append((search, result))
        for _, choice in result.pool[:keep]:
            plan = problem.check(search.plan(choice, result))
            if plan.proof is not None:
                proofs.setdefault(depth, plan.proof)
            yield Candidate(name=f"ilp_hybrid_pipeline, {depth}", plan=plan)
    for candidate in proposals(problem, contenders, times or TimeTable()):
        yield replace(candidate, plan=_judged(problem, candidate.plan, proofs, most))


def _judged(problem: Problem, plan: Plan, proofs: dict[Depth, Proof], most: int) -> Plan:
    """With the formula's value, and the bound of its depth, or a weak one of all its numbers of replicas."""
    value, depth = iteration_s(problem, plan), depth_of(plan)
    within = all(len(stage.ranks) <= most and not stage.recompute for stage in plan.stages)
    proven = proofs.get(depth) if depth is not None and within else None
    bound, solver = (proven.bound, proven.solver) if proven else (None, None)
    if bound is None:
        bound, solver = bound_or_none(least_iteration_s(problem), value), LEAST_WORK
    proof = Proof(
        method=plan.planner,
        objective=Objective.ITERATION_TIME,
        value=value,
        bound=None if bound is None else min(bound, value),
        solver=solver,
    )
    return replace(plan, proof=proof, predicted_s=value)


def divisions(problem: Problem, planners: Iterable[Planner], *, overlap: bool, times: TimeTable) -> Iterator[Candidate]:
    """The plans of all planners of blocks, by the formula where the planner has no bound of its own."""
    for candidate in proposals(problem, planners, times):
        plan = candidate.plan
        yield candidate if _bounded(plan) else replace(candidate, plan=_reckoned(problem, plan, overlap))


def _bounded(plan: Plan) -> bool:
    """Whether a planner of blocks has proven how good its plan is."""
    proof = plan.proof
    return proof is not None and proof.objective is Objective.BLOCK_ITERATION_TIME and proof.bound is not None


def _reckoned(problem: Problem, plan: Plan, overlap: bool) -> Plan:
    """With the formula's value, where the profile knows the plan's shares, and a weak bound of all divisions."""
    try:
        value = block_latency_s(problem, plan, overlap=overlap)
    except (PlanError, ProfileError):
        return plan
    stage = plan.stages[0]
    least_s = least_division_s(problem, units=bool(stage.heads), tokens=bool(stage.tokens), overlap=overlap)
    proof = Proof(
        method=plan.planner,
        objective=Objective.BLOCK_ITERATION_TIME,
        value=value,
        bound=bound_or_none(least_s, value),
        solver=LEAST_WORK,
    )
    return replace(plan, proof=proof, predicted_s=value)


def proposals(problem: Problem, planners: Iterable[Planner], times: TimeTable) -> Iterator[Candidate]:
    """The plans of all planners that do not decline and whose plan fits, in their order.

    Each may take half of the time that is left for plans, so that those after it have some too.
    """
    for planner in planners:
        now_s = perf_counter()
        if now_s > times.plans_s:
            times.late.append(_name(planner))
            continue
        try:
            with planning_until(now_s + (times.plans_s - now_s) / 2):
                plan = ask(planner, problem)
        except LateError:
            times.late.append(_name(planner))
        except (PlanError, InfeasibleError):
            continue
        else:
            yield Candidate(name=plan.planner, plan=plan)


def _name(planner: object) -> str:
    """The name of a planner's function, whatever options are bound to it."""
    while isinstance(planner, partial):
        planner = planner.func
    return str(getattr(planner, "__name__", type(planner).__name__))


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Plans that differ; of equal ones the first."""
    by_stages: dict[object, Candidate] = {}
    for candidate in candidates:
        by_stages.setdefault(candidate.plan.stages, candidate)
    return list(by_stages.values())


def _seconds(evaluate: Callable[[Plan], float], plan: Plan) -> float | None:
    """None for a plan that the strategy is not made for."""
    try:
        return evaluate(plan)
    except PlanError:
        return None
