"""How is a family of pipelines searched that may be too large to list? As it is; else between the best and the worst.

Where the stages that fit are too many to list in half of the time, or to keep in memory, devices are merged into fewer
kinds (``merged_kinds.py``): a search with each kind at its best gives the bound, and plans that happen to fit, one with
each kind at its worst gives a plan that does. Fewer kinds are tried until one is listed in time: one kind always is.
"""

from dataclasses import replace
from time import perf_counter

import numpy as np

from edgesim.errors import PlanError
from edgesim.planners.exact.pipelines.branch_and_bound import SearchResult
from edgesim.planners.exact.pipelines.candidates import PipelineFamily, TooManyStagesError
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.many_kinds.merged_kinds import MergedCandidates, merged_kinds
from edgesim.planners.exact.pipelines.search import PipelineSearch
from edgesim.planners.planning_time import LateError, planning_until
from edgesim.planners.problem import Problem

FEWER_KINDS = (8, 4, 2, 1)
LISTING_S = 2.0  # that listing may take at least, however short the time
Found = tuple[PipelineSearch, SearchResult]


def searched(
    problem: Problem,
    family: PipelineFamily,
    *,
    planner: str,
    time_limit_s: float,
    gap: float = 1e-6,
    keep: int = 1,
    to_beat_s: float = np.inf,
) -> Found:
    """Return a search of the family, ended in time, and its result."""
    ends_s = perf_counter() + time_limit_s
    how = {"gap": gap, "keep": keep, "to_beat_s": to_beat_s}
    try:
        with planning_until(_half_way(ends_s)):
            search = PipelineSearch(problem, family, planner=planner)
    except (LateError, TooManyStagesError):
        return _between(problem, family, planner, ends_s, how)
    return search, search.run(time_limit_s=time_limit_s, gap=gap, keep=keep, to_beat_s=to_beat_s)


def _half_way(ends_s: float) -> float:
    now_s = perf_counter()
    return now_s + max((ends_s - now_s) / 2, LISTING_S)


def _between(problem: Problem, family: PipelineFamily, planner: str, ends_s: float, how: dict[str, float]) -> Found:
    """Return the search that has the better plan, with the bound of kinds at their best."""
    for most in FEWER_KINDS:
        try:
            with planning_until(_half_way(ends_s) if most > FEWER_KINDS[-1] else np.inf):
                at_best, at_worst = (
                    MergedSearch(problem, family, planner=planner, most=most, at_best=best) for best in (True, False)
                )
            break
        except (LateError, TooManyStagesError):
            if most == FEWER_KINDS[-1]:
                raise
    found = at_worst, at_worst.search(_half_way(ends_s), how)
    bounding = at_best.search(ends_s, how)
    better = bounding.value_s < found[1].value_s
    search, result = (at_best, bounding) if better else found
    solver = f"{bounding.solver}, {len(at_best.candidates.kinds)} merged kinds of devices"
    return search, replace(
        result,
        bound_s=min(bounding.bound_s, result.value_s),
        proven=bounding.proven and (bool(result.choice) or not bounding.choice),
        solver=solver,
    )


class MergedSearch(PipelineSearch):
    """The search of pipelines of merged kinds; what does not fit its real devices costs infinitely much."""

    def __init__(self, problem: Problem, family: PipelineFamily, *, planner: str, most: int, at_best: bool) -> None:
        kinds = merged_kinds(problem, most)
        super().__init__(
            problem, family, planner=planner, candidates=MergedCandidates(problem, family, kinds, at_best=at_best)
        )

    def search(self, ends_s: float, how: dict[str, float]) -> SearchResult:
        """Search until then."""
        return self.run(
            time_limit_s=ends_s - self.began_s, gap=how["gap"], keep=int(how["keep"]), to_beat_s=how["to_beat_s"]
        )

    def seconds(self, choice: Choice) -> float:
        """Seconds of an iteration of the choice's plan, on the devices that it really has."""
        try:
            self.problem.check(self.draft(choice))
        except PlanError:
            return np.inf
        return super().seconds(choice)
