"""What do runs say together that differ in their seeds alone? Their mean, and a 95 % t interval of it.

The interval is Student's: mean ± t(97.5 %, n - 1) · s / √n, with the standard deviation s of the n runs. In 95 % of
such studies it covers the mean over all seeds, if their distribution is about normal. One run has none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
INTERVAL = f"{CONFIDENCE:.0%} t interval".replace("%", " %")  # what it is called wherever one is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """Of ``count`` runs; the interval is ``value`` ± ``half_width``, None of a single run."""

    value: float
    half_width: float | None
    count: int


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of at least one value, and its interval.

    >>> round(mean_of([1.0, 2.0, 3.0]).half_width, 3)  # 4.303 / √3
    2.484
    >>> mean_of([4.0])
    Mean(value=4.0, half_width=None, count=1)
    """
    count = len(values)
    if count == 1:
        return Mean(value=values[0], half_width=None, count=1)
    return Mean(value=fmean(values), half_width=float(half_width(stdev(values), count)), count=count)


def half_width(deviation: Any, count: Any) -> Any:
    """Half of the interval around the mean of ``count`` runs with this standard deviation, or of columns."""
    return stdtrit(count - 1, (1 + CONFIDENCE) / 2) * deviation / np.sqrt(count)


def seeds(columns: Iterable[str]) -> list[str]:
    """The columns that tell repeats of a run apart: ``seed``, ``scenario.seed`` and the like.

    >>> seeds(["cluster", "seed", "scenario.seed", "seeds"])
    ['seed', 'scenario.seed']
    """
    return [name for name in columns if name.rpartition(".")[2] == "seed"]


def how_many(counts: Iterable[int]) -> str:
    """``n = 5``, or ``n = 3 to 5`` where some repeats failed.

    >>> how_many([5, 5]), how_many([3, 5])
    ('n = 5', 'n = 3 to 5')
    """
    fewest, most = min(counts := list(counts)), max(counts)
    return f"n = {fewest}" if fewest == most else f"n = {fewest} to {most}"
