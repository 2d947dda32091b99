"""When does a line's rate change, whosever it is? A scenario's bandwidths as one row of steps, for who plays them live.

A row may be endless, and a step may change nothing: it is taken step by step, as time passes.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from math import prod
from operator import attrgetter

from edgesim.recording import BandwidthChange, Unit
from edgesim.scenario.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From ``at_s`` on, a rank's line has this factor of its own rate, both ways; 0 is an outage."""

    at_s: float
    rank: int
    factor: float


def rate_steps(scenario: Scenario, bytes_per_s: Sequence[float]) -> Iterator[Step]:
    """Yield all ranks' steps in time, the first of each at 0 s; none for a rank that no event concerns.

    ``bytes_per_s`` are the ranks' own rates, in whose place a recording may have others.
    """
    own = (_steps_of(scenario, rank, rate) for rank, rate in enumerate(bytes_per_s))
    return merge(*own, key=attrgetter("at_s"))


def _steps_of(scenario: Scenario, rank: int, bytes_per_s: float) -> Iterator[Step]:
    def numbered(event: int) -> Iterator[tuple[float, int, BandwidthChange]]:
        return ((change.at_s, event, change) for change in scenario.bandwidths[event].changes(rank, scenario.seed))

    now: dict[int, BandwidthChange] = {}
    changes = merge(*(numbered(event) for event in range(len(scenario.bandwidths))), key=lambda each: each[0])
    for at_s, together in groupby(changes, key=lambda each: each[0]):
        now |= {event: change for _, event, change in together}
        yield Step(at_s=at_s, rank=rank, factor=_factor(now.values(), bytes_per_s))


def _factor(changes: Collection[BandwidthChange], bytes_per_s: float) -> float:
    """Factors multiply; of rates in the place of the line's, the lowest counts."""
    factor = prod(change.value for change in changes if change.unit is Unit.FACTOR)
    rate = min((change.value for change in changes if change.unit is Unit.RATE), default=bytes_per_s)
    return factor * rate / bytes_per_s
