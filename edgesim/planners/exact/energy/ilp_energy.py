"""Which hybrid pipeline takes the least energy within a time, and in which power modes, provably?

The integer programme of ``ilp_hybrid_pipeline`` with joules: modes are columns, an iteration has a limit, a battery may
have to last. ``energy_front`` gives all plans that are worth having, from the fastest to the least energy.
"""

from math import inf
from time import perf_counter

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.exact.energy.few_boards import FewBoards
from edgesim.planners.exact.energy.front import EnergyFront
from edgesim.planners.exact.energy.power_modes import in_all_modes
from edgesim.planners.exact.pipelines.candidates import TooManyStagesError
from edgesim.planners.exact.pipelines.many_kinds.affordable import half_way
from edgesim.planners.exact.pipelines.search import SearchOptions
from edgesim.planners.planning_time import LateError, planning_until
from edgesim.planners.problem import NO_MODES, Modes, Problem

ANY_PIPELINE = SearchOptions()


def ilp_energy(
    problem: Problem,
    *,
    modes: Modes = NO_MODES,
    latency_s: float | None = None,
    iterations: int | None = None,
    idle_devices: bool = True,
    depth: Depth = Depth.ASTEROID,
    replicas: int | None = None,
    stages: int | None = None,
    time_limit_s: float = 60.0,
    gap: float = 1e-6,
) -> Plan:
    """Return the pipeline with the fewest joules per iteration of at most ``latency_s``, proven within gap or time.

    ``modes`` are the other power modes of devices, by name; the plan says which it takes. ``iterations`` is how many a
    charge must last, for every device with a battery. ``idle_devices`` counts the idle watts of ranks without work, as
    ``metrics.py`` does. Raises PlanError for options that make no sense, ProfileError for a mode that the profile does
    not know, InfeasibleError naming what forbids a plan and a number that would be enough.
    """
    options = SearchOptions(depth=depth, replicas=replicas, stages=stages, time_limit_s=time_limit_s, gap=gap)
    if latency_s is not None and not latency_s > 0:
        raise PlanError(f"an iteration takes time, got latency_s={latency_s} (leave it out for any time)")
    began_s, limit_s = perf_counter(), inf if latency_s is None else latency_s
    expansion, until_s = in_all_modes(problem, modes), began_s + time_limit_s
    try:
        with planning_until(half_way(until_s)):
            front = EnergyFront(expansion, options, iterations=iterations, idle_devices=idle_devices)
    except (LateError, TooManyStagesError):
        few = FewBoards(
            modes=expansion,
            options=options,
            iterations=iterations,
            idle_devices=idle_devices,
            began_s=began_s,
            until_s=until_s,
        )
        return few.plan_within(limit_s)
    return front.plan_within(limit_s)


def energy_front(
    problem: Problem,
    points: int = 10,
    *,
    modes: Modes = NO_MODES,
    iterations: int | None = None,
    idle_devices: bool = True,
    options: SearchOptions = ANY_PIPELINE,
) -> tuple[Plan, ...]:
    """Return at most so many plans that no other dominates in seconds and joules, from the fastest to the thriftiest.

    All are checked. Each has the proof of its own limit. Points are sought where the seconds between two neighbours are
    most; there are fewer where there is nothing between, or the time, which they share, is over. Raises what
    :func:`ilp_energy` does.
    """
    if points < 2:
        raise PlanError(f"a front has two ends, got points={points} (ilp_energy finds one plan)")
    expansion = in_all_modes(problem, modes)
    plans = EnergyFront(expansion, options, iterations=iterations, idle_devices=idle_devices).plans(points)
    return tuple(problem.in_modes_of(plan, modes).check(plan) for plan in plans)
