"""How long may a planner go on that somebody else asks? Until the time that is set around the question.

Published planners know no time limit. One that may have to try millions of stages looks here between them, so that
whoever asks several planners (``simulate_and_choose.py``) keeps its own limit; asked alone, it takes the time it needs.
A planner that never looks cannot be stopped.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from time import perf_counter, process_time
from typing import TypeVar

from edgesim.errors import PlanError

Item = TypeVar("Item")
FIRST_PLAN_S = 0.5  # of computing, or a tenth of the limit: how much longer a search goes on that has found nothing
_deadline_s: ContextVar[float] = ContextVar("deadline_s", default=inf)


class LateError(PlanError):
    """A planner was not finished in the time that it was given."""


@contextmanager
def planning_until(deadline_s: float) -> Iterator[None]:
    """Give the planners that are asked in here until then, by ``perf_counter``, or less if they have less already."""
    token = _deadline_s.set(min(deadline_s, _deadline_s.get()))
    try:
        yield
    finally:
        _deadline_s.reset(token)


def time_is_over() -> bool:
    """Return whether a planner should end with what it has."""
    return perf_counter() > _deadline_s.get()


def require_time(planner: str) -> None:
    """Raise LateError, naming the planner, if its time is over."""
    if time_is_over():
        raise LateError(f"{planner} was not finished in the time that it was given (ask it alone, or raise the limit)")


def timely(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items as long as there is time. Raises LateError."""
    for item in items:
        require_time("listing stages")
        yield item


class SearchTime:
    """The time of one search, which begins now: to its limit, and while nothing is found a little more computing."""

    def __init__(self, limit_s: float) -> None:
        self.deadline_s = perf_counter() + limit_s
        self.more_s = max(FIRST_PLAN_S, limit_s / 10)
        self.overtime_s: float | None = None  # of this process, when time was over

    def is_over(self, *, found: bool) -> bool:
        """Whether to end, by what has been found."""
        if perf_counter() <= self.deadline_s:
            return False
        if self.overtime_s is None:
            self.overtime_s = process_time()
        return found or process_time() > self.overtime_s + self.more_s
