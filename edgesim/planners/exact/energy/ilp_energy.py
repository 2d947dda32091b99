"""Which hybrid pipeline takes the least energy within a time, and in which power modes, provably?

The integer programme of ``ilp_hybrid_pipeline`` with joules: modes are columns, an iteration has a limit, a battery may
have to last. One limit after the other gives all plans that are worth having, from the fastest to the least energy: the
epsilon-constraint method (Haimes, Lasdon & Wismer, IEEE Trans. SMC 1971).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from time import perf_counter

from edgesim.cluster import Device
from edgesim.errors import InfeasibleError, PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.exact.energy.explain import why_nothing_fits
from edgesim.planners.exact.energy.power_modes import in_all_modes
from edgesim.planners.exact.energy.search import EnergyResult, EnergySearch
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.search import most_replicas
from edgesim.planners.problem import Problem

NO_MODES: Mapping[str, Sequence[Device]] = {}
EDGE = 1e-6  # relative: how much longer than the fastest an iteration may be and still be called the fastest


def ilp_energy(
    problem: Problem,
    *,
    modes: Mapping[str, Sequence[Device]] = NO_MODES,
    latency_s: float | None = None,
    iterations: int | None = None,
    idle_devices: bool = True,
    depth: Depth = Depth.ASTEROID,
    replicas: int | None = None,
    stages: int | None = None,
    time_limit_s: float = 60.0,
    gap: float = 1e-6,
) -> Plan:
    """The pipeline with the fewest joules per iteration of at most ``latency_s``, proven within the gap or the time.

    ``modes`` are the other power modes of devices, by name; the plan says which it takes. ``iterations`` is how many a
    charge must last, for every device with a battery. ``idle_devices`` counts idle watts of ranks without work, as
    ``metrics.py`` does. Raises PlanError for options that make no sense, ProfileError for a mode that the profile does
    not know, InfeasibleError naming what forbids a plan and a number that would do.
    """
    front = EnergyFront(
        problem,
        planner="ilp_energy",
        modes=modes,
        iterations=iterations,
        idle_devices=idle_devices,
        depth=depth,
        replicas=replicas,
        stages=stages,
        time_limit_s=time_limit_s,
        gap=gap,
    )
    if latency_s is not None and not latency_s > 0:
        raise PlanError(f"an iteration takes time, got latency_s={latency_s} (leave it out for any time)")
    return front.point(inf if latency_s is None else latency_s)


def energy_front(
    problem: Problem,
    points: int = 10,
    *,
    modes: Mapping[str, Sequence[Device]] = NO_MODES,
    iterations: int | None = None,
    idle_devices: bool = True,
    depth: Depth = Depth.ASTEROID,
    replicas: int | None = None,
    stages: int | None = None,
    time_limit_s: float = 60.0,
    gap: float = 1e-6,
) -> tuple[Plan, ...]:
    """At most so many plans that no other beats in both seconds and joules, from the fastest to the least energy.

    Each has the proof of its own limit. Points are sought where the seconds between two neighbours are most; there are
    fewer where there is nothing between, or the time, which they share, is over. Raises what :func:`ilp_energy` does.
    """
    if points < 2:
        raise PlanError(f"a front has two ends, got points={points} (ilp_energy finds one plan)")
    front = EnergyFront(
        problem,
        planner="ilp_energy",
        modes=modes,
        iterations=iterations,
        idle_devices=idle_devices,
        depth=depth,
        replicas=replicas,
        stages=stages,
        time_limit_s=time_limit_s,
        gap=gap,
    )
    return front.walk(points)


class EnergyFront:
    """The plans of one problem within one limit after the other."""

    def __init__(
        self,
        problem: Problem,
        *,
        planner: str,
        modes: Mapping[str, Sequence[Device]],
        iterations: int | None,
        idle_devices: bool,
        depth: Depth,
        replicas: int | None,
        stages: int | None,
        time_limit_s: float,
        gap: float,
    ) -> None:
        if iterations is not None and iterations < 1:
            raise PlanError(f"a charge lasts at least one iteration, got iterations={iterations} (leave it out)")
        self.began_s = perf_counter()
        self.deadline_s, self.time_limit_s, self.gap = self.began_s + time_limit_s, time_limit_s, gap
        expanded = in_all_modes(problem, modes)
        self.search = EnergySearch(
            expanded,
            planner=planner,
            depth=depth,
            replicas=most_replicas(problem, replicas, expanded.types),
            stages=stages,
            idle_devices=idle_devices,
            iterations=iterations,
        )
        self.fastest_s = 0.0  # a bound

    def point(self, limit_s: float) -> Plan:
        """The plan within one limit. Raises InfeasibleError."""
        if self.search.idle.spread:
            self.fastest_s = self.search.fastest(time_limit_s=self._left_s(4), gap=self.gap).bound
        result = self._least(limit_s, among=1)
        if not result.choice:
            raise InfeasibleError(why_nothing_fits(self.search, limit_s, result, time_limit_s=self.time_limit_s))
        return self._plan(result, limit_s)

    def walk(self, points: int) -> tuple[Plan, ...]:
        """The two ends, then the middles of the widest gaps between limits that are answered."""
        fastest = self.search.fastest(time_limit_s=self._left_s(points), gap=self.gap)
        if not fastest.choice:
            raise InfeasibleError(why_nothing_fits(self.search, inf, fastest, time_limit_s=self.time_limit_s))
        self.fastest_s = fastest.bound
        found = dict[Choice, tuple[float, EnergyResult]]()  # each with the latest limit that it answers

        def ask(limit_s: float, among: int) -> None:
            result = self._least(limit_s, among=among)
            if limit_s > found.get(result.choice, (0.0, result))[0]:
                found[result.choice] = limit_s, result

        ask(fastest.value * (1 + EDGE), points)
        ask(inf, points)
        for asked in range(2, 2 * points):
            at = self._along(found)
            limit_s = self._next_limit_s(at) if len(at) < points else None
            if limit_s is None or perf_counter() > self.deadline_s:
                break
            ask(limit_s, max(1, points - asked))
        return tuple(self._plan(result, limit_s) for limit_s, result in self._along(found))

    def _next_limit_s(self, at: Sequence[tuple[float, EnergyResult]]) -> float | None:
        """In the widest gap: its middle, or just before its end if its first half has no plan; None without a gap."""
        gaps = [(self._seconds(later) - limit_s, limit_s, one) for (limit_s, one), (_, later) in pairwise(at)]
        width_s, limit_s, one = max(gaps, key=lambda gap: gap[0], default=(0.0, 0.0, None))
        if one is None or width_s <= 3 * EDGE * limit_s:
            return None
        empty_so_far = limit_s > self._seconds(one) * (1 + 2 * EDGE)
        return (limit_s + width_s) * (1 - EDGE) if empty_so_far else limit_s + width_s / 2

    def _along(self, found: Mapping[Choice, tuple[float, EnergyResult]]) -> list[tuple[float, EnergyResult]]:
        """By rising seconds, those that take less than all before them."""
        kept, least_j = list[tuple[float, EnergyResult]](), inf
        for limit_s, result in sorted(found.values(), key=lambda entry: (self._seconds(entry[1]), entry[1].value)):
            if result.value < least_j * (1 - EDGE):
                kept.append((limit_s, result))
                least_j = result.value
        return kept

    def _seconds(self, result: EnergyResult) -> float:
        return self.search.judge(result.choice).seconds

    def _least(self, limit_s: float, *, among: int) -> EnergyResult:
        return self.search.least_joules(
            limit_s, at_least_s=self.fastest_s, time_limit_s=self._left_s(among), gap=self.gap
        )

    def _left_s(self, among: int) -> float:
        return max(0.05, (self.deadline_s - perf_counter()) / among)

    def _plan(self, result: EnergyResult, limit_s: float) -> Plan:
        return self.search.plan(result, limit_s=limit_s, seconds=perf_counter() - self.began_s)
