"""Is an activation cache worth it, and where do both phases of fine-tuning then live? The search over both phases.

    without a cache   E I first_s
    with one          I first_s + redistribution_s + (E - 1) I second_s

for E epochs of I iterations. ``first_s`` is an iteration of a hybrid pipeline of the whole model
(``pipeline_time.py``), in which disks that write the cache are links like others; ``cached_phase.py`` and
``redistribution.py`` have the rest.

Shares of the second phase are tried in the order of their seconds. For each, the integer programme of stages finds the
first phase, redistribution being a one-time cost besides its iterations. Devices that are idle in the first phase
receive most, so there is a programme for each set of devices that may be idle. The search ends when no shares that are
left can win any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.pipelines.branch_and_bound import SearchResult
from edgesim.planners.exact.pipelines.candidates import TooManyStagesError
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.milp import INF, OneTimeCosts
from edgesim.planners.exact.pipelines.search import PipelineSearch
from edgesim.planners.exact.two_phases.cached_phase import CachedPhase
from edgesim.planners.exact.two_phases.candidates import CachingCandidates
from edgesim.planners.exact.two_phases.redistribution import Redistribution
from edgesim.planners.exact.two_phases.share_order import by_seconds
from edgesim.planners.planning_time import LateError, planning_until


@dataclass(kw_only=True)
class Incumbent:
    """The best plan of both phases so far: the seconds of all epochs, and which search's choice takes them."""

    total_s: float
    bound_s: float
    search: PipelineSearch
    choice: Choice
    to: Redistribution | None = None
    second_s: float = 0.0
    solvers: dict[str, None] = field(default_factory=dict)


class CachingSearch(PipelineSearch):
    """The search of first phases that write a cache for given shares of the second, redistribution included."""

    def __init__(self, candidates: CachingCandidates, one_time: OneTimeCosts, *, planner: str) -> None:
        self.to = candidates.to
        super().__init__(
            candidates.problem,
            candidates.family,
            planner=planner,
            candidates=candidates,
            one_time=one_time,
        )

    def first_s(self, choice: Choice) -> float:
        """Return the seconds of an iteration of the first phase."""
        plan = self.draft(choice)
        return iteration_s(self.problem, plan, self.candidates.costs, also=self.to.written_s(plan))

    def redistribution_s(self, choice: Choice) -> float:
        """Return the seconds between the phases."""
        return self.to.seconds(self.draft(choice))

    def seconds(self, choice: Choice) -> float:
        """Return the seconds of an iteration, with its part of the redistribution."""
        return self.first_s(choice) + self.redistribution_s(choice) / self.to.phase.iterations


def without_cache(search: PipelineSearch, result: SearchResult, iterations: int) -> Incumbent:
    """Return the plan whose iterations, so many in all epochs, are all like those of the first epoch."""
    return Incumbent(
        total_s=iterations * result.value_s,
        bound_s=iterations * result.bound_s,
        search=search,
        choice=result.choice,
        solvers={result.solver: None},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSearch:
    """The search for a plan with a cache that is better than an incumbent without one."""

    phase: CachedPhase
    epochs: int
    deadline_s: float
    gap: float

    def _late(self) -> bool:
        return perf_counter() > self.deadline_s

    def improve(self, best: Incumbent, first_bound_s: float) -> None:
        """Make the incumbent better where a cache does, and its bound one of plans with and without a cache."""
        iterations = self.phase.iterations
        later = (self.epochs - 1) * iterations
        like = best.search.candidates
        bounds_s, open_s = [best.bound_s], iterations * first_bound_s  # no plan with a cache is below
        for second_s, shares, kept in by_seconds(self.phase, interchangeable(self.phase.problem.cluster), self._late):
            open_s = max(open_s, iterations * first_bound_s + later * second_s)
            if open_s >= best.total_s * (1 - self.gap) or self._late():
                break
            to = Redistribution(phase=self.phase, shares=shares, kept=kept)
            try:
                with planning_until(self.deadline_s):
                    candidates = CachingCandidates(to, like)
                for search, result in self._first_phases(candidates, best, later * second_s):
                    total_s = iterations * result.value_s + later * second_s
                    bounds_s.append(max(open_s, iterations * result.bound_s + later * second_s))
                    best.solvers[result.solver] = None
                    if result.choice and total_s < best.total_s * (1 - 1e-12):
                        best.total_s, best.search, best.choice = total_s, search, result.choice
                        best.to, best.second_s = to, second_s
            except (LateError, TooManyStagesError):
                break  # too little time to list the stages, or too many: what is left stays open
        else:
            open_s = open_s if self._late() else INF  # all shares have been tried
        best.bound_s = min(*bounds_s, open_s, best.total_s)

    def _first_phases(
        self, candidates: CachingCandidates, best: Incumbent, later_s: float
    ) -> Iterator[tuple[CachingSearch, SearchResult]]:
        """Yield the best first phase for shares of the second, by which devices may be idle in it."""
        for one_time in _by_idle(candidates):
            with planning_until(self.deadline_s):
                search = CachingSearch(candidates, one_time, planner=best.search.planner)
            to_beat_s = (best.total_s - later_s) / self.phase.iterations
            time_limit_s = self.deadline_s - search.began_s
            yield search, search.run(time_limit_s=time_limit_s, gap=self.gap, to_beat_s=to_beat_s)


def _by_idle(candidates: CachingCandidates) -> list[OneTimeCosts]:
    """Return the cases: all devices work; or one is idle that then receives so much, and any that receive less."""
    to, iterations, ranks = candidates.to, candidates.to.phase.iterations, [kind[0] for kind in candidates.kinds]
    idle_s = [float(to.own_s(rank, to.idle(rank))) / iterations for rank in ranks]
    air = sum(float(to.air_s(rank, to.idle(rank))) for kind in candidates.kinds for rank in kind) / iterations
    shared = (air,) if to.transfers.shares_air else ()
    return [
        OneTimeCosts(least_s=least_s, shared_least_s=shared, all_work=tuple(s > least_s for s in idle_s))
        for least_s in sorted({0.0, *idle_s})
    ]
