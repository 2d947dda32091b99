"""Which plans are worth having in seconds and joules? The Pareto front, by one limit of the iteration after the other.

The epsilon-constraint method (Haimes, Lasdon & Wismer, IEEE Trans. SMC 1971): the fewest joules within a limit are a
point of the front. Limits are set in the middle of the widest gap between two points.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from time import perf_counter

from edgesim.errors import InfeasibleError, PlanError
from edgesim.plan import Plan
from edgesim.planners.exact.energy.explain import why_nothing_fits
from edgesim.planners.exact.energy.power_modes import ModeExpansion
from edgesim.planners.exact.energy.search import EnergyResult, EnergySearch
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.search import SearchOptions

EDGE = 1e-6  # relative: how much longer than the fastest an iteration may be and still be called the fastest
Point = tuple[float, EnergyResult]  # a limit in seconds, and what takes the fewest joules within it


class EnergyFront:
    """The plans of one problem within one limit after the other; all share the time limit."""

    def __init__(
        self, modes: ModeExpansion, options: SearchOptions, *, iterations: int | None, idle_devices: bool
    ) -> None:
        """Plan so that every battery lasts ``iterations``, if any; ``idle_devices`` counts ranks without work."""
        if iterations is not None and iterations < 1:
            raise PlanError(f"a charge lasts at least one iteration, got iterations={iterations} (leave it out)")
        self.began_s, self.options = perf_counter(), options
        self.deadline_s = self.began_s + options.time_limit_s
        family = options.family(modes.original, modes.types)
        self.search = EnergySearch(modes, family, idle_devices=idle_devices, iterations=iterations)
        self.fastest_s = 0.0  # a bound

    def plan_within(self, limit_s: float) -> Plan:
        """Return the plan of the fewest joules within one limit. Raises InfeasibleError."""
        if self.search.idle.spread:
            self.fastest_s = self.search.fastest(time_limit_s=self._left_s(4), gap=self.options.gap).bound
        result = self._least_joules(limit_s, among=1)
        if not result.choice:
            raise self._infeasible(limit_s, result)
        return self._plan(limit_s, result)

    def plans(self, points: int) -> tuple[Plan, ...]:
        """Return plans of the two ends, then of the middles of the widest gaps. Raises InfeasibleError."""
        fastest = self.search.fastest(time_limit_s=self._left_s(points), gap=self.options.gap)
        if not fastest.choice:
            raise self._infeasible(inf, fastest)
        self.fastest_s = fastest.bound
        known = dict[Choice, Point]()  # each with the latest limit within which it is the best

        def solve(limit_s: float, among: int) -> None:
            result = self._least_joules(limit_s, among=among)
            if limit_s > known.get(result.choice, (0.0, result))[0]:
                known[result.choice] = limit_s, result

        solve(fastest.value * (1 + EDGE), points)
        solve(inf, points)
        for solved in range(2, 2 * points):
            front = self._non_dominated(known)
            limit_s = self._next_limit_s(front) if len(front) < points else None
            if limit_s is None or perf_counter() > self.deadline_s:
                break
            solve(limit_s, max(1, points - solved))
        return tuple(self._plan(*point) for point in self._non_dominated(known))

    def _infeasible(self, limit_s: float, result: EnergyResult) -> InfeasibleError:
        time_limit_s = self.options.time_limit_s
        return why_nothing_fits(self.search, limit_s, result, time_limit_s=time_limit_s, until_s=self.deadline_s)

    def _next_limit_s(self, front: Sequence[Point]) -> float | None:
        """Return the middle of the widest gap, or just before its end if its first half is empty; or None."""
        gaps = [(self._seconds(later) - limit_s, limit_s, one) for (limit_s, one), (_, later) in pairwise(front)]
        width_s, limit_s, one = max(gaps, key=lambda gap: gap[0], default=(0.0, 0.0, None))
        if one is None or width_s <= 3 * EDGE * limit_s:
            return None
        empty_so_far = limit_s > self._seconds(one) * (1 + 2 * EDGE)
        return (limit_s + width_s) * (1 - EDGE) if empty_so_far else limit_s + width_s / 2

    def _non_dominated(self, known: Mapping[Choice, Point]) -> list[Point]:
        """Return, by rising seconds, the points that take fewer joules than all before them."""
        front, least_j = list[Point](), inf
        for limit_s, result in sorted(known.values(), key=lambda point: (self._seconds(point[1]), point[1].value)):
            if result.value < least_j * (1 - EDGE):
                front.append((limit_s, result))
                least_j = result.value
        return front

    def _seconds(self, result: EnergyResult) -> float:
        return self.search.evaluate(result.choice).seconds

    def _least_joules(self, limit_s: float, *, among: int) -> EnergyResult:
        return self.search.least_joules(
            limit_s, at_least_s=self.fastest_s, time_limit_s=self._left_s(among), gap=self.options.gap
        )

    def _left_s(self, among: int) -> float:
        return max(0.05, (self.deadline_s - perf_counter()) / among)

    def _plan(self, limit_s: float, result: EnergyResult) -> Plan:
        return self.search.plan(result, limit_s=limit_s, seconds=perf_counter() - self.began_s)
