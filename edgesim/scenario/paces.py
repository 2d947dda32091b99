"""How long does work take at a speed that changes? A pace is (from when, speed), from 0 s on, until the next step."""

from bisect import bisect_right
from collections.abc import Sequence
from math import inf

Pace = Sequence[tuple[float, float]]

TOUCH = 1 - 1e-12
"""Of a time: what ends as something else begins has touched it and not met it, whatever rounding says."""


def lasts_s(pace: Pace, start_s: float, work: float) -> float:
    """Return how long work takes from ``start_s`` on; infinitely long where it meets a speed of 0.

    >>> lasts_s([(0, 1), (4, 0.25), (8, 1)], 0, 10)
    13.0
    """
    step = bisect_right(pace, (start_s, inf)) - 1
    at_s, speed = start_s, pace[step][1]
    for following_step in range(step + 1, len(pace)):
        until_s, following = pace[following_step]
        fits = (until_s - at_s) * speed
        if work < fits * TOUCH:
            break
        work, at_s, speed = work - fits, until_s, following
        if not speed:
            break
    if not speed:
        return inf
    return at_s - start_s + (work if work > 0 else 0.0) / speed  # rounding may have left less than nothing
