"""How is a family of pipelines searched that may be too large to list? As it is; else between the best and the worst.

Where the stages that fit are too many to list in half of the time, or to keep in memory, devices are merged into fewer
kinds (``merged_kinds.py``): a search with each kind at its best gives the bound, and plans that happen to fit, one with
each kind at its worst gives a plan that does. Fewer kinds are tried until one is listed in time: one kind always is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import TypeVar

import numpy as np

from edgesim.errors import PlanError
from edgesim.planners.exact.pipelines.branch_and_bound import SearchResult
from edgesim.planners.exact.pipelines.candidates import PipelineFamily, TooManyStagesError
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.many_kinds.merged_kinds import MergedCandidates, merged_kinds
from edgesim.planners.exact.pipelines.many_kinds.programme_cost import programme_s
from edgesim.planners.exact.pipelines.search import PipelineSearch
from edgesim.planners.planning_time import LateError, planning_until
from edgesim.planners.problem import Problem

FEWER_KINDS = (8, 4, 2, 1)
LISTING_S = 1.0  # that listing may take at least, however short the time
JUDGED = 64  # choices of the bound's search whose plans are looked at
AnySearch = TypeVar("AnySearch", bound=PipelineSearch)
Found = tuple[PipelineSearch, SearchResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEnd:
    """When a search ends: then, or within its gap; it is for the best few that beat something."""

    until_s: float
    gap: float = 1e-6
    keep: int = 1
    to_beat_s: float = np.inf


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
    end = SearchEnd(until_s=perf_counter() + time_limit_s, gap=gap, keep=keep, to_beat_s=to_beat_s)
    try:
        with planning_until(half_way(end.until_s)):
            search = PipelineSearch(problem, family, planner=planner)
    except (LateError, TooManyStagesError):
        return between(problem, family, partial(PipelineSearch, problem, family, planner=planner), end)
    return search, search.run(time_limit_s=time_limit_s, gap=gap, keep=keep, to_beat_s=to_beat_s)


def half_way(until_s: float) -> float:
    """Return until when stages may be listed."""
    now_s = perf_counter()
    return now_s + max((until_s - now_s) / 2, LISTING_S)


def between(
    problem: Problem,
    family: PipelineFamily,
    make_search: Callable[..., AnySearch],
    end: SearchEnd,
    *,
    ranks: Sequence[int] | None = None,
) -> tuple[AnySearch, SearchResult]:
    """Return the search that has the better plan, with the bound of kinds at their best.

    ``make_search`` is called with the ``candidates`` that it shall search, which take only these ranks, if any are
    given; its ``seconds`` judge plans, and are at least those of the programme.
    """
    began_s = perf_counter()
    at_best, at_worst = _listed(problem, family, make_search, end, ranks)
    at_best.began_s = at_worst.began_s = began_s
    found = at_worst.run(
        time_limit_s=half_way(end.until_s) - began_s,
        gap=end.gap,
        keep=end.keep,
        to_beat_s=end.to_beat_s,
        judge=partial(_real_s, at_worst),
    )
    bounding = at_best.run(
        time_limit_s=end.until_s - began_s,
        gap=end.gap,
        to_beat_s=min(end.to_beat_s, found.value_s),
        judge=partial(programme_s, at_best.milp),
    )
    search, result = min(((at_worst, found), (at_best, _judged(at_best, bounding))), key=lambda each: each[1].value_s)
    return search, replace(
        result,
        bound_s=min(bounding.bound_s, result.value_s),
        proven=bounding.proven and (bool(result.choice) or not bounding.choice),
        solver=f"{bounding.solver}, {len(at_best.candidates.kinds)} merged kinds of devices",
    )


def _listed(
    problem: Problem,
    family: PipelineFamily,
    make_search: Callable[..., AnySearch],
    end: SearchEnd,
    ranks: Sequence[int] | None,
) -> tuple[AnySearch, AnySearch]:
    """Return the searches of kinds at their best and at their worst: of as many kinds as are listed in time."""
    like: MergedCandidates | None = None
    for most in FEWER_KINDS:
        searches, kinds = list[AnySearch](), merged_kinds(problem, most, ranks)
        try:
            with planning_until(half_way(end.until_s) if most > FEWER_KINDS[-1] else np.inf):
                for at_best in (True, False):
                    like = MergedCandidates(problem, family, kinds, at_best=at_best, like=like)
                    searches.append(make_search(candidates=like))
            return searches[0], searches[1]
        except (LateError, TooManyStagesError):
            if most == FEWER_KINDS[-1]:
                raise
    raise AssertionError("one kind is listed, or refused")


def _judged(search: PipelineSearch, bounding: SearchResult) -> SearchResult:
    """The choices of a search for a bound by what their plans really take."""
    choices = [choice for _, choice in bounding.pool[:JUDGED]]
    pool = sorted((seconds, choice) for choice in choices if np.isfinite(seconds := _real_s(search, choice)))
    value_s, choice = pool[0] if pool else (np.inf, ())
    return replace(bounding, choice=choice, value_s=value_s, pool=tuple(pool))


def _real_s(search: PipelineSearch, choice: Choice) -> float:
    """What a choice's plan takes on the devices that it really has; infinite if it does not fit them."""
    try:
        search.problem.check(search.draft(choice))
    except PlanError:
        return np.inf
    return search.seconds(choice)
