"""When is a trace of several iterations in its steady state? Asynchronous ones overlap, and none stands for all.

An iteration of training ends with the last of its updates. The first iterations fill pipelines and use up what
staleness allows, the last ones drain: what counts are those in between. A trace of one iteration counts whole.
"""

from typing import NamedTuple

import numpy as np

from edgesim.schedule import Op
from edgesim.trace import Floats, RankSpans, Trace

_SAME = 1e-6  # relative


class SteadyWindow(NamedTuple):
    """Some iterations of a trace, from a second to a second."""

    first_s: float
    last_s: float
    iterations: int

    @property
    def seconds(self) -> float:
        """How long all of them take."""
        return self.last_s - self.first_s

    def ending(self, spans: RankSpans) -> RankSpans:
        """Return the spans that end in it, whole: what began before it makes up for what ends behind it."""
        return spans.chosen((spans.end_s > self.first_s) & (spans.end_s <= self.last_s))


def steady_window(trace: Trace) -> SteadyWindow:
    """Return all of a trace of one iteration; of several, those in the steady state."""
    if trace.schedule.iterations == 1:
        return SteadyWindow(trace.first_s, trace.last_s, 1)
    columns = trace.schedule.columns
    updates = columns.each(lambda kind: kind.op is Op.UPDATE, bool)
    _, iteration = np.unique(columns.micro_batch[updates], return_inverse=True)
    ends_s = np.zeros(trace.schedule.iterations)
    np.maximum.at(ends_s, iteration, np.asarray(trace.end_s, dtype=np.float64)[updates])
    last = len(ends_s) - (2 if len(ends_s) > 3 else 1)
    first = last // 2
    first = last - _whole_periods(np.diff(ends_s[first : last + 1]))
    return SteadyWindow(float(ends_s[first]), float(ends_s[last]), last - first)


def _whole_periods(seconds: Floats) -> int:
    """Return how many of the last iterations are whole periods, if the same seconds return; else all of them.

    Who may be D iterations ahead rests once in D + 1 iterations.
    """
    for period in range(1, len(seconds) // 2 + 1):
        if np.allclose(seconds[period:], seconds[:-period], rtol=_SAME, atol=0.0):
            return len(seconds) // period * period
    return len(seconds)


def seconds_per_iteration(trace: Trace) -> float:
    """Return the makespan of one iteration; of several, the mean in their steady state."""
    window = steady_window(trace)
    return window.seconds / window.iterations
