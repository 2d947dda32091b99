"""What is kept of a computation that was timed again and again?"""

import statistics
from collections.abc import Callable, Sequence
from enum import StrEnum


class Statistic(StrEnum):
    """What of a computation's repeats is kept.

    A dilated host charges the least (Dilation). A quota stops whichever task runs when it is used up, and lets the
    short ones before it pass at full speed: only the mean adds up to the time of them all. A whole core is timed as it
    is, by the median.
    """

    LEAST = "least"
    MEAN = "mean"
    MEDIAN = "median"

    def of(self, seconds: Sequence[float]) -> float:
        """The one number that stands for all of them."""
        return _STATISTICS[self](seconds)


_STATISTICS: dict[Statistic, Callable[[Sequence[float]], float]] = {
    Statistic.LEAST: min,
    Statistic.MEAN: statistics.fmean,
    Statistic.MEDIAN: statistics.median,
}
