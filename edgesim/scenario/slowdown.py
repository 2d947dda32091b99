"""When does a device compute slower, and by how much? One slow-down, and what all of a rank leave of its speed."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, prod

from edgesim.units import LEAST, is_reckonable, require_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """A device computes at ``factor`` of its speed from ``start_s`` until ``end_s`` (which may be infinite)."""

    rank: int
    start_s: float
    end_s: float
    factor: float
    source: str

    def __post_init__(self) -> None:
        require_numbers(f"slow-down of rank {self.rank}", self)
        if not 0 <= self.start_s < self.end_s:
            raise ValueError(
                f"slow-down of rank {self.rank}: needs 0 <= start_s < end_s, got {self.start_s} and {self.end_s}"
            )
        if not LEAST <= self.factor <= 1:
            raise ValueError(
                f"slow-down of rank {self.rank}: factor must lie in (0, 1], got {self.factor} (at least {LEAST:g})"
            )

    def __str__(self) -> str:
        end = f"to {self.end_s:g} s" if self.end_s < inf else "on"
        return f"rank {self.rank} computes at {self.factor:g} of its speed from {self.start_s:g} s {end}"

    @property
    def named(self) -> tuple[int, ...]:
        """The rank that the slow-down names."""
        return (self.rank,)


def speeds_under(mine: Sequence[Slowdown], rank: int) -> tuple[tuple[float, float], ...]:
    """Return (from when, factor of the rank's speed). Raises ValueError for slow-downs that leave nothing of it."""
    times = {0.0, *(event.start_s for event in mine), *(event.end_s for event in mine)} - {inf}
    coming = deque(sorted(range(len(mine)), key=lambda i: mine[i].start_s))
    steps, holds = [], dict[int, float]()  # what slows the rank down now, by the place of the event
    for at_s in sorted(times):
        while coming and mine[coming[0]].start_s <= at_s:
            i = coming.popleft()
            holds[i] = mine[i].factor
        holds = {i: factor for i, factor in holds.items() if at_s < mine[i].end_s}
        steps.append((at_s, prod(holds[i] for i in sorted(holds))))
    for at_s, speed in steps:
        if not is_reckonable(speed):
            raise ValueError(f"scenario: slow-downs leave rank {rank} {speed:g} of its speed at {at_s:g} s (drop one)")
    return (steps[0], *(then for before, then in pairwise(steps) if then[1] != before[1]))
