"""Between which of n residuals does the next one lie, with a given probability? Split conformal prediction.

Of n + 1 exchangeable numbers without ties the last one takes each of n + 1 places with the same probability. So it
lies between the k-th and the l-th smallest of the others with probability (l - k) / (n + 1), and l - k =
ceil((n + 1) level) places are enough for a level; what is left over is cut off in equal parts at both ends. Source:
Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, chapter 2; Lei et al., Distribution-Free
Predictive Inference for Regression, JASA 2018, theorem 2.1, which cuts off one end, of absolute residuals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

LEVEL = 0.9
"""The probability with which intervals hold, unless another is asked for."""
_ROUNDING = 1e-9  # (n + 1) level is a whole number where it is one but for this


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Between which seconds something lies with probability ``level``, as so many residuals of executed plans say.

    ``left_out`` are how many more plans were executed, and disturbed by other load.
    """

    low_s: float
    high_s: float
    level: float
    residuals: int
    left_out: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.low_s <= self.high_s:
            raise ValueError(f"interval: needs 0 <= low_s <= high_s, got {self.low_s} and {self.high_s}")

    def __contains__(self, seconds: float) -> bool:
        return self.low_s <= seconds <= self.high_s

    def __str__(self) -> str:
        return f"[{self.low_s:.3g}, {self.high_s:.3g}] s at {self.level:.0%}"


def fewest(level: float) -> int:
    """Return of how many residuals an interval of this level can be made: both of its ends must be among them.

    >>> fewest(0.9)
    19
    """
    _refuse_level(level)
    n = 1
    while _places(n, level) > n - 1:
        n += 1
    return n


def bounds(residuals: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Return the residuals between which the next one lies with at least this probability, for any distribution.

    Raises ValueError for too few of them, and for a level that is no probability.

    >>> bounds([float(i) for i in range(1, 20)])
    (1.0, 19.0)
    """
    n = len(residuals)
    if n < (need := fewest(level)):
        raise ValueError(
            f"{n} executed plans are too few for an interval at {level:.0%}: it needs {need} (validate more plans)"
        )
    width, ordered = _places(n, level), sorted(residuals)
    low = (n + 1 - width) // 2
    return ordered[low - 1], ordered[low + width - 1]


def _places(n: int, level: float) -> int:
    return ceil((n + 1) * level - _ROUNDING)


def _refuse_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"interval: level must be a probability between 0 and 1, like 0.9, got {level}")
