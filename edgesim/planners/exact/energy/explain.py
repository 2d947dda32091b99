"""Why does no plan keep its limits? The latency, battery or channel that forbids it, and a number that would do."""

from math import floor, inf
from time import perf_counter

from edgesim.errors import InfeasibleError
from edgesim.planners.exact.energy.evaluation import Evaluation
from edgesim.planners.exact.energy.search import NAME, EnergyResult, EnergySearch
from edgesim.planners.exact.pipelines.candidates import TooManyStagesError
from edgesim.planners.exact.pipelines.explain import EXPLAIN_S, why_no_pipeline
from edgesim.planners.exact.pipelines.search import PipelineSearch
from edgesim.planners.planning_time import LateError, planning_until


def why_nothing_fits(
    search: EnergySearch, limit_s: float, result: EnergyResult, *, time_limit_s: float, until_s: float
) -> InfeasibleError:
    """Return the error to raise; ``result`` is a search that ended without a choice.

    ``until_s`` is until when the planner has time, by ``perf_counter``; a little later, what is not known is not said.
    """
    if not result.proven:
        return not_excluded(time_limit_s)
    until_s = max(until_s, perf_counter() + EXPLAIN_S)
    try:
        with planning_until(until_s):
            return _why(search, limit_s, until_s)
    except (LateError, TooManyStagesError):
        return _nothing_keeps(search)


def not_excluded(time_limit_s: float) -> InfeasibleError:
    """Return the error of a time that was too short."""
    return InfeasibleError(
        f"no plan within the limits was found in {time_limit_s:g} s, and none is excluded "
        "(raise time_limit_s, or loosen latency_s or iterations)"
    )


def _nothing_keeps(search: EnergySearch) -> InfeasibleError:
    problem = search.modes.original
    return InfeasibleError(
        f"no pipeline of {problem.model.name} on {problem.cluster.name} keeps all limits; there was no time to find "
        "out which forbids it (raise time_limit_s to know, or loosen latency_s or iterations)"
    )


def _why(search: EnergySearch, limit_s: float, until_s: float) -> InfeasibleError:
    without = search.without_batteries()
    fastest = without.fastest(time_limit_s=until_s - perf_counter(), gap=1e-6)
    if not fastest.choice:
        return _memory(search, until_s)
    if fastest.value > limit_s:
        return _too_slow(search, fastest, limit_s)
    if search.budget_j:
        left_s = until_s - perf_counter()
        least = without.least_joules(limit_s, at_least_s=fastest.bound, time_limit_s=left_s, gap=1e-6)
        return _batteries(search, without.evaluate(least.choice), limit_s) if least.choice else _nothing_keeps(search)
    return _channel(search, without.evaluate(fastest.choice), limit_s)


def _memory(search: EnergySearch, until_s: float) -> InfeasibleError:
    plain = PipelineSearch(search.modes.original, search.candidates.family, planner=NAME)
    result = plain.run(time_limit_s=until_s - plain.began_s)
    return why_no_pipeline(plain.candidates, result, until_s=until_s)


def _too_slow(search: EnergySearch, fastest: EnergyResult, limit_s: float) -> InfeasibleError:
    problem = search.modes.original
    slower = "" if fastest.value - fastest.bound <= 1e-4 * fastest.value else f" (none below {fastest.bound:.4g} s)"
    return InfeasibleError(
        f"no pipeline of {problem.model.name} on {problem.cluster.name} takes at most {limit_s:.6g} s an iteration: "
        f"the fastest takes {fastest.value * (1 + 1e-6):.6g} s{slower} (set latency_s to that or more, add devices, "
        "or allow faster modes)"
    )


def _batteries(search: EnergySearch, least: Evaluation, limit_s: float) -> InfeasibleError:
    """Explain by the plan of the fewest joules without batteries: the one that any of their limits excludes last."""
    over = {rank: least.by_board_j.get(rank, 0.0) / budget_j for rank, budget_j in search.budget_j.items()}
    worst = max(over, key=lambda rank: over[rank])
    device, within = search.modes.original.cluster.devices[worst], f" within {limit_s:.6g} s" if limit_s < inf else ""
    assert search.iterations is not None, "batteries matter"
    needs_j, lasts = least.by_board_j[worst] * search.iterations, floor(search.iterations / over[worst])
    others = "" if sum(ratio > 1 for ratio in over.values()) == 1 else ", and other batteries are too small as well"
    return InfeasibleError(
        f"no plan{within} lets every battery last {search.iterations} iterations: the plan of the fewest joules takes "
        f"{least.by_board_j[worst]:.4g} J of rank {worst} ({device.name}) in each, which are {needs_j:.4g} J of the "
        f"{device.power.battery_j:.4g} J in its battery{others} (with iterations={lasts} it would last)"
    )


def _channel(search: EnergySearch, fastest: Evaluation, limit_s: float) -> InfeasibleError:
    cluster = search.modes.original.cluster
    return InfeasibleError(
        f"no plan's messages fit on the air of {cluster.name} within {limit_s:.6g} s: those of the "
        f"fastest take {fastest.channel_s:.4g} s (set latency_s to that or more, or a faster rate)"
    )
