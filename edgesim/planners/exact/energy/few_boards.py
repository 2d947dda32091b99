"""Which pipeline takes few joules if unlike boards are too many to list their stages? Few of them, with a bound of all.

    E >= P T + joules of computing        P the idle watts that every plan draws, T the least seconds of an iteration

T is bounded by merged kinds of devices (``pipelines/many_kinds``), computing by each layer where it takes the fewest
joules. Plans are sought among few boards: those of a fast pipeline, then the thriftiest.
"""

from dataclasses import dataclass, replace
from functools import partial
from math import inf
from time import perf_counter

import numpy as np

from edgesim.errors import InfeasibleError
from edgesim.plan import Plan
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.exact.energy.evaluation import Evaluation, evaluation_of
from edgesim.planners.exact.energy.explain import not_excluded
from edgesim.planners.exact.energy.idle_watts import IdleWatts
from edgesim.planners.exact.energy.power_modes import ModeExpansion, of_types
from edgesim.planners.exact.energy.search import NAME, EnergySearch
from edgesim.planners.exact.pipelines.branch_and_bound import SearchResult
from edgesim.planners.exact.pipelines.candidate_links import Floats
from edgesim.planners.exact.pipelines.candidates import PipelineFamily, TooManyStagesError
from edgesim.planners.exact.pipelines.explain import why_no_pipeline
from edgesim.planners.exact.pipelines.many_kinds.affordable import FEWER_KINDS, SearchEnd, between, half_way
from edgesim.planners.exact.pipelines.search import PipelineSearch, SearchOptions
from edgesim.planners.planning_time import LateError, planning_until
from edgesim.profile import BACKWARD, FORWARD
from edgesim.proof import Objective, Proof, bound_or_none


@dataclass(frozen=True, slots=True, kw_only=True)
class FewBoards:
    """The search of a problem in modes whose stages are too many; ``until_s`` is its end, by ``perf_counter``."""

    modes: ModeExpansion
    options: SearchOptions
    iterations: int | None
    idle_devices: bool
    began_s: float
    until_s: float

    def plan_within(self, limit_s: float) -> Plan:
        """Return a plan of at most so many seconds, and a bound of all. Raises InfeasibleError."""
        modes, gap = self.modes, self.options.gap
        family = self.options.family(modes.original, modes.types)
        make_search = partial(PipelineSearch, modes.expanded, family, planner=NAME)
        fast, found = between(modes.expanded, family, make_search, SearchEnd(until_s=half_way(self.until_s), gap=gap))
        if not found.choice and found.proven:
            raise why_no_pipeline(fast.candidates, found, until_s=self.until_s)
        if found.bound_s > limit_s:
            raise InfeasibleError(
                f"no pipeline of {modes.original.model.name} on {modes.original.cluster.name} takes at most "
                f"{limit_s:.6g} s an iteration: none is below {found.bound_s:.4g} s (set latency_s to more, add "
                "devices, or allow faster modes)"
            )
        costs = fast.candidates.costs
        quick = fast.draft(found.choice) if found.choice else None
        few = self._searched(family, quick)
        left_s = max(0.05, self.until_s - perf_counter())
        result = few.least_joules(limit_s, at_least_s=found.bound_s, time_limit_s=left_s, gap=gap)
        plans: list[tuple[float, float, Plan]] = []
        if result.choice:
            chosen = few.evaluator.in_all_modes(result.choice)
            plans.append((result.value, few.evaluate(result.choice).seconds, chosen))
        if quick is not None and len({modes.board_of[rank] for rank in quick.ranks}) == len(quick.ranks):
            each: Evaluation = evaluation_of(modes, costs, quick, idle_devices=self.idle_devices)
            if few.fits(each, limit_s):
                plans.append((each.joules, each.seconds, quick))
        if not plans:
            raise not_excluded(self.options.time_limit_s)
        joules, seconds, plan = min(plans, key=lambda entry: entry[:2])
        bound_j = self._least_j(found, costs)
        proof = Proof(
            method=f"branch and bound over stages of {len(few.modes.kinds)} kinds of boards in power modes",
            objective=Objective.ITERATION_ENERGY,
            details=f"of at most {limit_s:.6g} s" if limit_s < inf else "",
            value=joules,
            bound=bound_or_none(bound_j, joules),
            seconds=perf_counter() - self.began_s,
            solver=f"{found.solver}, each layer where it takes the fewest joules",
        )
        stages = tuple(map(modes.stage, plan.stages))
        return replace(plan, stages=stages, planner=NAME, proof=proof, predicted_s=seconds)

    def _searched(self, family: PipelineFamily, quick: Plan | None) -> EnergySearch:
        """Return the search of as many types of boards as are listed in time, the most promising ones."""
        order = self._promising(quick)
        for most in FEWER_KINDS:
            try:
                with planning_until(half_way(self.until_s) if most > FEWER_KINDS[-1] else inf):
                    return EnergySearch(
                        of_types(self.modes, order[:most]),
                        family,
                        idle_devices=self.idle_devices,
                        iterations=self.iterations,
                    )
            except (LateError, TooManyStagesError):
                if most == FEWER_KINDS[-1]:
                    raise
        raise AssertionError("one type is listed, or refused")

    def _promising(self, quick: Plan | None) -> list[int]:
        """Return all types: those of a fast plan first, then by the joules that a sample takes at least."""
        modes, working = self.modes, quick.ranks if quick else ()
        of_fast = [modes.type_of[k] for rank in working for k, kind in enumerate(modes.kinds) if rank in kind]
        least = dict.fromkeys(range(len(modes.types)), inf)
        for kind, number in zip(modes.kinds, modes.type_of, strict=True):
            power, layers = modes.expanded.cluster.devices[kind[0]].power, (0, len(modes.original.model.layers))
            seconds = modes.expanded.seconds(rank=kind[0], layers=layers, samples=1)
            least[number] = min(least[number], (power.compute_w - power.idle_w) * seconds)  # about: an order, no bound
        return list(dict.fromkeys([*of_fast, *sorted(least, key=lambda number: (least[number], number))]))

    def _least_j(self, found: SearchResult, costs: StageCosts) -> float:
        """Return joules that no plan is below."""
        always_w = IdleWatts.of(self.modes, idle_devices=self.idle_devices).always_w
        return always_w * found.bound_s + least_computing_j(self.modes, costs)


def least_computing_j(modes: ModeExpansion, costs: StageCosts) -> float:
    """Return the joules above idle of an iteration whose layers all are where, and shared so that, they take least."""
    problem, least_j = modes.expanded, np.full(len(modes.original.model.layers), inf)
    devices = {problem.cluster.devices[kind[0]].name: kind[0] for kind in modes.kinds}
    ops = (FORWARD, BACKWARD) if problem.workload.trains else (FORWARD,)
    for rank in devices.values():
        for samples in range(1, problem.workload.micro_batch_samples + 1):
            joules = sum(_at_least_j(costs, rank, op, samples) for op in ops)
            least_j = np.minimum(least_j, joules / samples)
    return float(np.sum(least_j)) * problem.workload.micro_batch_samples * problem.workload.micro_batches


def _at_least_j(costs: StageCosts, rank: int, op: str, samples: int) -> Floats:
    """[layer] Joules above idle that a layer takes at least, in whatever stage it is.

    The seconds of a stage are shared out by estimates: where kinds of blocks draw their own watts, a layer's seconds
    count with the least of them.
    """
    seconds, computing = np.diff(costs.sums(rank, op, samples)), costs.computing
    if not costs.problem.cluster.devices[rank].power.by_kind:
        return computing.by_pass(rank, op).watts * seconds
    return computing.least_w(rank, op) * seconds + np.diff(computing.layers(rank, op, samples).joules)
