"""Which pipeline takes the fewest joules within a time, and how far below can any be? The stages' search with energy.

    E = P T + Σ joules[c] x[c] + T Σ idle[c] x[c]        joules above idle; P and idle in watts

P are the idle watts that every plan draws, idle[c] what working devices add: nothing where all ranks count and a
board idles alike in all modes. Over P, E is an iteration with a cost beside it: ``branch_and_bound.py`` minimises it.
The last term is a product of unknowns: where T >= a it is at least a Σ idle x. So the interval of T is cut until value
and bound meet, or time is over (McCormick, Math. Programming 1976): at the plan whose joules were counted too low.

A battery that must last is a limit of T for each stage that its device could hold: idle_w T + joules <= budget.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter

import numpy as np

from edgesim.plan import Depth, Plan
from edgesim.planners.exact.energy.candidates import PowerCandidates
from edgesim.planners.exact.energy.evaluation import Choices, Judged
from edgesim.planners.exact.energy.idle_watts import IdleWatts
from edgesim.planners.exact.energy.power_modes import InModes
from edgesim.planners.exact.pipelines.branch_and_bound import BranchAndBound, SearchLimits
from edgesim.planners.exact.pipelines.candidate_links import Floats
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.milp import Shape, StageMilp
from edgesim.planners.exact.pipelines.windows import WarmStart
from edgesim.proof import Objective, Proof, bound_or_none

SLACK = 1e-9  # relative: by how much a limit may be exceeded
ROOM = (
    1e-6  # relative: by how much programmes may exceed it, whose solvers are not exact; choices are judged after them
)
EDGE = 1e-7  # relative: where an interval of T is cut, before the plan that asks for it
NARROW = 1.05  # ratio of an interval's ends from which on cuts follow plans exactly
TINY = 1e-6  # of a plan's joules, as a price of time where no device draws anything idle
METHOD = "branch and bound over stages in power modes"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyResult:
    """The best choice within a limit of the iteration, none where there is none, and the bound: joules, or seconds."""

    choice: Choice
    value: float
    bound: float
    proven: bool
    solver: str


class EnergySearch:
    """All hybrid pipelines of a problem in power modes, asked for the fewest joules or seconds within limits.

    ``iterations`` is how many a charge must last, for every board with a battery; None: batteries do not matter.
    ``idle_devices`` counts ranks without work.
    """

    def __init__(
        self,
        modes: InModes,
        *,
        planner: str,
        depth: Depth,
        replicas: int,
        stages: int | None = None,
        idle_devices: bool = True,
        iterations: int | None = None,
    ) -> None:
        self.modes, self.planner, self.idle_devices, self.iterations = modes, planner, idle_devices, iterations
        self.idle = IdleWatts.of(modes, idle_devices=idle_devices)
        self.budget_j = {
            rank: board.power.battery_j / iterations
            for rank, board in enumerate(modes.boards.cluster.devices)
            if iterations and board.power.battery_j
        }
        self.candidates = PowerCandidates(
            modes,
            depth=Depth(depth),
            replicas=replicas,
            stages=stages,
            idle_w=self.idle.added_w,
            budget_j=[self.budget_j.get(modes.board_of[kind[0]], inf) for kind in modes.kinds],
        )
        c, workload = self.candidates, modes.boards.workload
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
        self.choices = Choices(modes, c, planner=planner, idle_devices=idle_devices)
        self.judge = self.choices.judge
        self.warm_start: WarmStart | None = None  # of the search before

    def without_batteries(self) -> "EnergySearch":
        """The same, however long batteries last."""
        c = self.candidates
        return EnergySearch(
            self.modes,
            planner=self.planner,
            depth=c.depth,
            replicas=c.replicas,
            stages=c.stages,
            idle_devices=self.idle_devices,
        )

    @property
    def most_s(self) -> float:
        """The longest iteration that batteries allow of boards that may have no work; infinite without any."""
        idle_w = self.idle.least_w
        idling = [budget_j / idle_w[rank] for rank, budget_j in self.budget_j.items() if idle_w[rank]]
        return min(idling, default=inf) if self.idle_devices else inf

    # --- questions ---

    def fastest(self, *, time_limit_s: float, gap: float) -> EnergyResult:
        """The fewest seconds that batteries allow."""
        nothing = np.zeros(len(self.columns))
        return self._search(
            nothing, lambda judged: judged.seconds, limit_s=self.most_s, time_limit_s=time_limit_s, gap=gap
        )

    def least_joules(self, limit_s: float, *, at_least_s: float = 0.0, time_limit_s: float, gap: float) -> EnergyResult:
        """The fewest joules of an iteration of at most so many seconds; none is shorter than ``at_least_s``.

        One search where T x idle is no product of unknowns, else one for each interval of T, the lowest bound first.
        """
        deadline_s, limit_s = perf_counter() + time_limit_s, min(limit_s, self.most_s, self._dear_s())
        heap, closed, solvers = [(-inf, at_least_s, limit_s)], inf, dict[str, None]()
        best = self._known(limit_s)
        while heap and heap[0][0] < best.value * (1 - gap) and (not solvers or perf_counter() < deadline_s):
            _, low_s, high_s = heapq.heappop(heap)
            high_s = min(high_s, self._longest_s(best.value)) if self.idle.spread else high_s
            if low_s > high_s:
                continue
            found = self._between(low_s, high_s, time_limit_s=deadline_s - perf_counter(), gap=gap)
            solvers |= dict.fromkeys([found.solver])
            best = self._known(limit_s)
            if not self.idle.spread or not found.choice or found.bound >= best.value * (1 - gap):
                closed = min(closed, found.bound)
                continue
            cut_s = _cut_s(low_s, high_s, self.judge(found.choice).seconds)
            heapq.heappush(heap, (found.bound, low_s, cut_s))
            heapq.heappush(heap, (found.bound, cut_s, high_s))
        bound = min([closed, best.value, *(bound for bound, *_ in heap)])
        solver = " and ".join(filter(None, solvers))
        return replace(best, bound=bound, proven=perf_counter() < deadline_s, solver=solver or "path")

    def _known(self, limit_s: float) -> EnergyResult:
        """The best that was met within a limit; without a bound."""
        fitting = [
            (judged.joules, choice) for choice, judged in self.choices.judged.items() if self._fits(judged, limit_s)
        ]
        joules, choice = min(fitting, default=(inf, ()))
        return EnergyResult(choice=choice, value=joules, bound=-inf, proven=False, solver="")

    def _longest_s(self, joules: float) -> float:
        """Longer iterations take more joules than so many: idle watts alone."""
        if not self.idle.always_w:
            return inf
        return max(0.0, joules) / self.idle.always_w * (1 + EDGE)

    def _between(self, low_s: float, high_s: float, *, time_limit_s: float, gap: float) -> EnergyResult:
        """Of iterations in an interval, joules as if what is idle beyond ``always_w`` were so for ``low_s`` only."""
        per_s, constant_j, always_w = self._per_s(), low_s * self.idle.offset_w, self.idle.always_w
        more_w = per_s - always_w  # time must have a price: what it is beyond its joules is taken off the bound

        def value(judged: Judged) -> float:
            joules = judged.above_j + per_s * judged.seconds + low_s * (judged.idle_w - always_w)
            return (joules - constant_j) / per_s

        beside_s = (self.columns.beside_s + low_s * self.added_w) / per_s
        found = self._search(beside_s, value, limit_s=high_s, time_limit_s=time_limit_s, gap=gap)
        less_j = more_w * high_s if more_w else 0.0
        return replace(found, value=found.value * per_s + constant_j, bound=found.bound * per_s + constant_j - less_j)

    def _search(
        self, beside_s: Floats, value: Callable[[Judged], float], *, limit_s: float, time_limit_s: float, gap: float
    ) -> EnergyResult:
        """The choice of the least value among those that keep the limits, and the stages' search's bound."""
        if limit_s >= self._dear_s() and not np.isfinite(self.columns.latest_s).any():
            limit_s = inf  # which no row has to say

        def seconds(choice: Choice) -> float:
            judged = self.judge(choice)
            return value(judged) if self._fits(judged, limit_s) else inf

        known = [(seconds(choice), choice) for choice in self.choices.judged]
        to_beat_s = min((each for each, _ in known), default=inf)
        search = BranchAndBound(
            StageMilp(replace(self.columns, beside_s=beside_s), replace(self.shape, limit_s=limit_s * (1 + ROOM))),
            SearchLimits(time_limit_s=time_limit_s, gap=gap, to_beat_s=to_beat_s),
            seconds=seconds,
            warm_start=self.warm_start,
        )
        found = search.run(choice for each, choice in known if each < inf)
        self.warm_start = search.warm_start
        best, choice = min([*known, *found.pool[:1]], default=(inf, ()))
        return EnergyResult(
            choice=choice if best < inf else (),
            value=best,
            bound=min(found.bound_s, best),
            proven=found.proven,
            solver=found.solver,
        )

    def _per_s(self) -> float:
        """Watts at which joules are counted as seconds: those that all plans draw, or nearly nothing."""
        return self.idle.always_w or float(np.max(self.columns.beside_s, initial=1.0)) / self._dear_s() * TINY

    def _dear_s(self) -> float:
        """More seconds than any pipeline takes: every micro-batch through the slowest candidates, one by one."""
        c = self.columns
        messages_s = c.sent_s + c.received_s + c.returned_s + c.taken_back_s
        slowest_s = np.max(c.both_s + messages_s, initial=0.0) * self.shape.positions * self.shape.micro_batches
        return float(2 * slowest_s + np.max(c.ending_s, initial=0.0)) or 1.0

    # --- judging ---

    def _fits(self, judged: Judged, limit_s: float) -> bool:
        return max(judged.seconds, judged.channel_s) <= limit_s * (1 + SLACK) and all(
            judged.by_board_j.get(rank, 0.0) <= budget_j * (1 + SLACK) for rank, budget_j in self.budget_j.items()
        )

    def plan(self, result: EnergyResult, *, limit_s: float, seconds: float) -> Plan:
        """The checked plan of an answer in joules, with its proof; planning took so many seconds."""
        proof = Proof(
            method=METHOD,
            objective=Objective.ITERATION_ENERGY,
            details=f"of at most {limit_s:.6g} s" if limit_s < inf else "",
            value=result.value,
            bound=bound_or_none(result.bound, result.value),
            seconds=seconds,
            solver=result.solver,
        )
        return self.choices.plan(result.choice, proof)


def _cut_s(low_s: float, high_s: float, seconds: float) -> float:
    """Where to cut an interval: before the plan that was counted too low, but not near an end of a wide one."""
    wanted_s = seconds * (1 - EDGE)
    if low_s <= 0:
        return wanted_s
    ratio = high_s / low_s
    if ratio > NARROW:
        wanted_s = min(max(wanted_s, low_s * ratio**0.1), low_s * ratio**0.9)
    return wanted_s
