"""What is kept of a computation that was timed again and again?"""

import statistics
from collections.abc import Callable, Sequence
from itertools import accumulate

from edgesim.since_3_11 import StrEnum

_KEPT = 21  # repeats: of more as many, evenly chosen among them by size


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

    def charged(self, seconds: Sequence[float]) -> list[float]:
        """What a run would have charged for each repeat, over the one number.

        A dilated host charges the least so far, and nothing that is counted before as many repeats have warmed it up.

        >>> Statistic.LEAST.charged([1.5, 1.2, 1.3, 1.0])
        [1.0, 1.2]
        >>> Statistic.MEDIAN.charged([2.0, 1.0, 3.0])
        [0.5, 1.0, 1.5]
        """
        took = list(accumulate(seconds, min))[len(seconds) // 2 :] if self is Statistic.LEAST else list(seconds)
        if (kept := self.of(seconds)) <= 0:
            return []  # less than the clock tells
        ratios = sorted(each / kept for each in took if each > 0)
        if len(ratios) <= _KEPT:
            return ratios
        return [ratios[round(i * (len(ratios) - 1) / (_KEPT - 1))] for i in range(_KEPT)]


_STATISTICS: dict[Statistic, Callable[[Sequence[float]], float]] = {
    Statistic.LEAST: min,
    Statistic.MEAN: statistics.fmean,
    Statistic.MEDIAN: statistics.median,
}
