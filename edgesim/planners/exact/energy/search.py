"""Which pipeline takes the fewest joules within a time, and how far below can any be? The stages' search with energy.

    E = P T + Σ joules[c] x[c] + T Σ idle[c] x[c]        joules above idle; P and idle in watts

P is the idle watts that every plan draws, idle[c] what working devices add: nothing where all ranks count and a board
idles alike in all modes. Divided by P, E is an iteration with an additional cost: ``branch_and_bound.py`` minimises it.
The last term is bilinear: where T >= a it is at least a Σ idle x. So the interval of T is branched on until value and
bound meet, or time is over (McCormick, Math. Programming 1976): at the plan whose joules were underestimated.

A battery that must last is a limit of T for each stage that its device could hold: idle_w T + joules <= budget.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter

import numpy as np

from edgesim.plan import Plan
from edgesim.planners.exact.energy.candidates import PowerCandidates
from edgesim.planners.exact.energy.evaluation import Evaluation, Evaluator
from edgesim.planners.exact.energy.idle_watts import IdleWatts
from edgesim.planners.exact.energy.power_modes import ModeExpansion
from edgesim.planners.exact.pipelines.branch_and_bound import BranchAndBound, SearchLimits
from edgesim.planners.exact.pipelines.candidate_links import Floats
from edgesim.planners.exact.pipelines.candidates import PipelineFamily
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.milp import Shape, StageMilp
from edgesim.planners.exact.pipelines.windows import WarmStart
from edgesim.proof import Objective, Proof, bound_or_none

NAME = "ilp_energy"
SLACK = 1e-9  # relative: by how much a limit may be exceeded
ROOM = (
    1e-6  # relative: by how much integer programmes may, whose solvers are not exact; choices are evaluated after them
)
EDGE = 1e-7  # relative: how far before a plan's seconds an interval of T is cut
NARROW = 1.05  # ratio of an interval's ends below which cuts follow plans exactly
TINY = 1e-6  # of a plan's joules, as a price of time where no device draws anything idle


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyResult:
    """The best choice within the limits, empty where there is none; value and bound are joules, or seconds."""

    choice: Choice
    value: float
    bound: float
    proven: bool
    solver: str


class EnergySearch:
    """The search of a family's pipelines in power modes for the fewest joules or seconds within limits.

    ``iterations`` is how many a charge must last, for every board with a battery; None: batteries do not matter.
    ``idle_devices`` counts ranks without work.
    """

    def __init__(
        self, modes: ModeExpansion, family: PipelineFamily, *, idle_devices: bool, iterations: int | None = None
    ) -> None:
        self.modes, self.idle_devices, self.iterations = modes, idle_devices, iterations
        self.idle = IdleWatts.of(modes, idle_devices=idle_devices)
        self.budget_j = {
            rank: board.power.battery_j / iterations
            for rank, board in enumerate(modes.original.cluster.devices)
            if iterations and board.power.battery_j
        }
        self.candidates = PowerCandidates(
            modes,
            family,
            idle_w=self.idle.added_w,
            budget_j=[self.budget_j.get(modes.board_of[kind[0]], inf) for kind in modes.kinds],
        )
        c, workload = self.candidates, modes.original.workload
        self.columns = c.columns
        self.shape = Shape(
            layers=c.layers,
            positions=c.most,
            devices=c.devices,
            micro_batches=workload.micro_batches,
            depths=tuple(c.depths),
            phases=not workload.trains or c.depths[0] >= workload.micro_batches,
        )
        self.added_w = np.array([c.idle_w_of(group) for group in c.groups])[self.columns.group]
        self.evaluator = Evaluator(modes, c, planner=NAME, idle_devices=idle_devices)
        self.evaluate = self.evaluator.evaluate
        self.warm_start: WarmStart | None = None  # of the search before

    def without_batteries(self) -> "EnergySearch":
        """Return the same search, however long batteries last."""
        return EnergySearch(self.modes, self.candidates.family, idle_devices=self.idle_devices)

    @property
    def most_s(self) -> float:
        """The longest iteration that the batteries of idle boards allow; infinite where none has to last."""
        idle_w = self.idle.least_w
        idling = [budget_j / idle_w[rank] for rank, budget_j in self.budget_j.items() if idle_w[rank]]
        return min(idling, default=inf) if self.idle_devices else inf

    def fastest(self, *, time_limit_s: float, gap: float) -> EnergyResult:
        """Return the choice of the fewest seconds that batteries allow."""
        limits = SearchLimits(time_limit_s=time_limit_s, gap=gap)
        return self._search(np.zeros(len(self.columns)), lambda each: each.seconds, limit_s=self.most_s, limits=limits)

    def least_joules(self, limit_s: float, *, at_least_s: float = 0.0, time_limit_s: float, gap: float) -> EnergyResult:
        """Return the choice of the fewest joules in an iteration of ``at_least_s``, a bound, to ``limit_s``.

        One search where T is multiplied by no unknown, else one for each interval of T, the lowest bound first.
        """
        deadline_s, limit_s = perf_counter() + time_limit_s, min(limit_s, self.most_s, self._above_all_s())
        heap, closed, solvers = [(-inf, at_least_s, limit_s)], inf, dict[str, None]()
        best = self._best_known(limit_s)
        while heap and heap[0][0] < best.value * (1 - gap) and (not solvers or perf_counter() < deadline_s):
            _, low_s, high_s = heapq.heappop(heap)
            high_s = min(high_s, self._longest_s(best.value)) if self.idle.spread else high_s
            if low_s > high_s:
                continue
            limits = SearchLimits(time_limit_s=deadline_s - perf_counter(), gap=gap)
            result = self._between(low_s, high_s, limits)
            solvers |= dict.fromkeys([result.solver])
            best = self._best_known(limit_s)
            if not self.idle.spread or not result.choice or result.bound >= best.value * (1 - gap):
                closed = min(closed, result.bound)
                continue
            cut_s = _cut_s(low_s, high_s, self.evaluate(result.choice).seconds)
            heapq.heappush(heap, (result.bound, low_s, cut_s))
            heapq.heappush(heap, (result.bound, cut_s, high_s))
        bound = min([closed, best.value, *(bound for bound, *_ in heap)])
        solver = " and ".join(filter(None, solvers))
        return replace(best, bound=bound, proven=perf_counter() < deadline_s, solver=solver or "path")

    def _best_known(self, limit_s: float) -> EnergyResult:
        """Return the best choice evaluated so far that keeps the limits; without a bound."""
        evaluated = self.evaluator.evaluated.items()
        fitting = [(each.joules, choice) for choice, each in evaluated if self.fits(each, limit_s)]
        joules, choice = min(fitting, default=(inf, ()))
        return EnergyResult(choice=choice, value=joules, bound=-inf, proven=False, solver="")

    def _longest_s(self, joules: float) -> float:
        """Return the seconds above which an iteration takes more joules than these for its idle watts alone."""
        if not self.idle.always_w:
            return inf
        return max(0.0, joules) / self.idle.always_w * (1 + EDGE)

    def _between(self, low_s: float, high_s: float, limits: SearchLimits) -> EnergyResult:
        """Search an interval of T, the idle watts that exceed ``always_w`` being counted for ``low_s`` only."""
        per_s, constant_j, always_w = self._joules_per_s(), low_s * self.idle.offset_w, self.idle.always_w
        more_w = per_s - always_w  # time must have a price: the part of it that is no joules is taken off the bound

        def value(each: Evaluation) -> float:
            joules = each.above_j + per_s * each.seconds + low_s * (each.idle_w - always_w)
            return (joules - constant_j) / per_s

        beside_s = (self.columns.beside_s + low_s * self.added_w) / per_s
        result = self._search(beside_s, value, limit_s=high_s, limits=limits)
        less_j = more_w * high_s if more_w else 0.0
        value_j, bound_j = result.value * per_s + constant_j, result.bound * per_s + constant_j - less_j
        return replace(result, value=value_j, bound=bound_j)

    def _search(
        self, beside_s: Floats, value: Callable[[Evaluation], float], *, limit_s: float, limits: SearchLimits
    ) -> EnergyResult:
        """Return the choice of the least value that takes at most ``limit_s``, and the bound of the stages' search."""
        if limit_s >= self._above_all_s() and not np.isfinite(self.columns.latest_s).any():
            limit_s = inf  # for which no row is needed

        def seconds(choice: Choice) -> float:
            evaluation = self.evaluate(choice)
            return value(evaluation) if self.fits(evaluation, limit_s) else inf

        known = [(seconds(choice), choice) for choice in self.evaluator.evaluated]
        to_beat_s = min((each for each, _ in known), default=inf)
        search = BranchAndBound(
            StageMilp(replace(self.columns, beside_s=beside_s), replace(self.shape, limit_s=limit_s * (1 + ROOM))),
            replace(limits, to_beat_s=to_beat_s),
            seconds=seconds,
            warm_start=self.warm_start,
        )
        result = search.run(choice for each, choice in known if each < inf)
        self.warm_start = search.warm_start
        best, choice = min([*known, *result.pool[:1]], default=(inf, ()))
        return EnergyResult(
            choice=choice if best < inf else (),
            value=best,
            bound=min(result.bound_s, best),
            proven=result.proven,
            solver=result.solver,
        )

    def _joules_per_s(self) -> float:
        """Return how many joules count as one second: the watts that all plans draw, or nearly nothing."""
        return self.idle.always_w or float(np.max(self.columns.beside_s, initial=1.0)) / self._above_all_s() * TINY

    def _above_all_s(self) -> float:
        """Return more seconds than any pipeline takes: every micro-batch through the slowest candidates, one by one."""
        c = self.columns
        messages_s = c.sent_s + c.received_s + c.returned_s + c.taken_back_s
        slowest_s = np.max(c.both_s + messages_s, initial=0.0) * self.shape.positions * self.shape.micro_batches
        return float(2 * slowest_s + np.max(c.ending_s, initial=0.0)) or 1.0

    def fits(self, evaluation: Evaluation, limit_s: float) -> bool:
        """Return whether a plan keeps the limits of an iteration, the channel and batteries."""
        return max(evaluation.seconds, evaluation.channel_s) <= limit_s * (1 + SLACK) and all(
            evaluation.by_board_j.get(rank, 0.0) <= budget_j * (1 + SLACK) for rank, budget_j in self.budget_j.items()
        )

    def plan(self, result: EnergyResult, *, limit_s: float, seconds: float) -> Plan:
        """Return the plan of a result in joules, with its proof; planning took so many seconds."""
        proof = Proof(
            method="branch and bound over stages in power modes",
            objective=Objective.ITERATION_ENERGY,
            details=f"of at most {limit_s:.6g} s" if limit_s < inf else "",
            value=result.value,
            bound=bound_or_none(result.bound, result.value),
            seconds=seconds,
            solver=result.solver,
        )
        return self.evaluator.plan(result.choice, proof)


def _cut_s(low_s: float, high_s: float, seconds: float) -> float:
    """Return where to cut an interval: before the plan that was underestimated, but not near an end of a wide one."""
    wanted_s = seconds * (1 - EDGE)
    if low_s <= 0:
        return wanted_s
    ratio = high_s / low_s
    if ratio > NARROW:
        wanted_s = min(max(wanted_s, low_s * ratio**0.1), low_s * ratio**0.9)
    return wanted_s
