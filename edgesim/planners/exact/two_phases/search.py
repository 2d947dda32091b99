"""Is an activation cache worth it, and where do both phases of fine-tuning then live? The answer, and its search.

    without a cache   E I first_s
    with one          I first_s + redistribution_s + (E - 1) I second_s

for E epochs of I iterations. ``first_s`` is an iteration of a hybrid pipeline of the whole model
(``pipeline_time.py``), in which disks that write the cache are links like others; ``cached_phase.py`` and
``redistribution.py`` have the rest.

Shares of the second phase are tried in the order of their seconds. For each, the integer programme of stages finds the
first phase, redistribution being what moves once beside its iterations; who has no part in the first phase needs most,
so programmes differ in which devices may stay out. It ends when what is left cannot win any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.pipelines.branch_and_bound import SearchResult
from edgesim.planners.exact.pipelines.candidates import Candidates
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.milp import INF, OneTimeCosts
from edgesim.planners.exact.pipelines.search import PipelineSearch
from edgesim.planners.exact.two_phases.cached_phase import CachedPhase
from edgesim.planners.exact.two_phases.candidates import CachingColumns
from edgesim.planners.exact.two_phases.redistribution import Redistribution
from edgesim.planners.exact.two_phases.share_order import by_seconds


@dataclass(kw_only=True)
class Incumbent:
    """What a search has found so far: how many seconds all epochs take, with which search's choice."""

    total_s: float
    bound_s: float
    search: PipelineSearch
    choice: Choice
    to: Redistribution | None = None
    second_s: float = 0.0
    solvers: dict[str, None] = field(default_factory=dict)


class CachingSearch(PipelineSearch):
    """First phases that write a cache for given shares of the second, redistribution included."""

    def __init__(self, candidates: CachingColumns, one_time: OneTimeCosts, *, planner: str) -> None:
        self.to = candidates.to
        super().__init__(
            candidates.problem,
            candidates.family,
            planner=planner,
            candidates=candidates,
            one_time=one_time,
        )

    def first_s(self, choice: Choice) -> float:
        """Of an iteration of the first phase."""
        plan = self.draft(choice)
        return iteration_s(self.problem, plan, self.candidates.costs, also=self.to.written_s(plan))

    def redistribution_s(self, choice: Choice) -> float:
        """Between the phases."""
        return self.to.seconds(self.draft(choice))

    def seconds(self, choice: Choice) -> float:
        """Of an iteration, with its part of the redistribution."""
        return self.first_s(choice) + self.redistribution_s(choice) / self.to.phase.iterations


def plain(search: PipelineSearch, found: SearchResult, phases: tuple[int, int]) -> Incumbent:
    """Every epoch like the first."""
    epochs, iterations = phases
    times = epochs * iterations
    return Incumbent(
        total_s=times * found.value_s,
        bound_s=times * found.bound_s,
        search=search,
        choice=found.choice,
        solvers={found.solver: None},
    )


def with_cache(
    phase: CachedPhase, best: Incumbent, *, epochs: int, first_bound_s: float, deadline_s: float, gap: float
) -> None:
    """Make the best better where a cache does, and its bound one of both ways."""
    like = best.search.candidates
    later = (epochs - 1) * phase.iterations

    def late() -> bool:
        return perf_counter() > deadline_s

    bounds_s, open_s = [best.bound_s], phase.iterations * first_bound_s  # no plan with a cache is below
    for second_s, shares, kept in by_seconds(phase, interchangeable(phase.problem.cluster), late):
        open_s = max(open_s, phase.iterations * first_bound_s + later * second_s)
        if open_s >= best.total_s * (1 - gap) or late():
            break
        to = Redistribution(phase=phase, shares=shares, kept=kept)
        for search, found in _first_phases(to, like, best, later * second_s, deadline_s, gap):
            total_s = phase.iterations * found.value_s + later * second_s
            bounds_s.append(max(open_s, phase.iterations * found.bound_s + later * second_s))
            best.solvers[found.solver] = None
            if found.choice and total_s < best.total_s * (1 - 1e-12):
                best.total_s, best.search, best.choice = total_s, search, found.choice
                best.to, best.second_s = to, second_s
    else:
        open_s = open_s if late() else INF  # all shares have been tried
    best.bound_s = min(*bounds_s, open_s, best.total_s)


def _first_phases(
    to: Redistribution, like: Candidates, best: Incumbent, later_s: float, deadline_s: float, gap: float
) -> Iterator[tuple[CachingSearch, SearchResult]]:
    """The best first phase for shares of the second, by who may stay out of it."""
    candidates = CachingColumns(to, like)
    for one_time in _by_idle(to, candidates):
        search = CachingSearch(candidates, one_time, planner=best.search.planner)
        to_beat_s = (best.total_s - later_s) / to.phase.iterations
        yield search, search.run(time_limit_s=deadline_s - search.began_s, gap=gap, to_beat_s=to_beat_s)


def _by_idle(to: Redistribution, candidates: Candidates) -> list[OneTimeCosts]:
    """All devices work; or one stays out that then receives so much, and with it any that would receive less."""
    rounds, ranks = to.phase.iterations, [kind[0] for kind in candidates.kinds]
    idle_s = [float(to.own_s(rank, to.idle(rank))) / rounds for rank in ranks]
    air = sum(float(to.air_s(rank, to.idle(rank))) for kind in candidates.kinds for rank in kind) / rounds
    shared = (air,) if to.transfers.shares_air else ()
    return [
        OneTimeCosts(least_s=least_s, shared_least_s=shared, all_work=tuple(s > least_s for s in idle_s))
        for least_s in sorted({0.0, *idle_s})
    ]
