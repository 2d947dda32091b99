"""How long does a byte take on a rank's links now, and until when? A scenario's changes, one after the other.

A scenario may go on for ever; its changes are looked at when somebody asks.
"""

from math import inf, prod

from edgesim.recording import BandwidthChange, Unit
from edgesim.scenario import Scenario
from edgesim.units import LEAST, MOST

OUTAGE_S_PER_BYTE = inf
NEVER = BandwidthChange(inf, 1.0)  # and before the first change
_LOOKED_AT = 1000  # changes to the same value at a time: there may be no end of them
MOST_CHANGES = 10_000_000  # of one rank's bandwidth in an iteration: minutes of playing


class Bandwidth:
    """What a rank's links allow, change by change: what holds now, and when that ends."""

    def __init__(self, scenario: Scenario, rank: int) -> None:
        self.rank = rank
        self._changes = [event.changes(rank, scenario.seed) for event in scenario.bandwidths]
        self._now = [next(changes, NEVER) for changes in self._changes]
        # Without a look at how long it stays: for many simulations it need not be known.
        self._next = [next(changes, NEVER) for changes in self._changes]
        self.next_s = min((change.at_s for change in self._next), default=inf)
        self.steps = 0

    def step(self) -> bool:
        """Go on to the next change, and return whether it changes anything."""
        before, at_s = list(self._now), self.next_s
        self.steps += 1
        if self.steps > MOST_CHANGES:
            raise ValueError(
                f"scenario: bandwidth of rank {self.rank} changes more than {MOST_CHANGES} times until {at_s:g} s, and "
                "bytes are still to be sent (let it change less often, or send less)"
            )
        for i, change in enumerate(self._next):
            if change.at_s <= at_s:
                self._now[i] = change
                self._next[i] = self._following(i)
        self.next_s = min((change.at_s for change in self._next), default=inf)
        return any(a.value != b.value or a.unit != b.unit for a, b in zip(before, self._now, strict=True))

    def _following(self, i: int) -> BandwidthChange:
        """The next change of an event to another value; in a long row of equal ones, the last that was looked at."""
        now = self._now[i]
        for _ in range(_LOOKED_AT):
            change = next(self._changes[i], NEVER)
            if change is NEVER or (change.value, change.unit) != (now.value, now.unit):
                break
        return change

    def seconds_per_byte(self, nominal: float, goodput: float) -> float:
        """Return what a byte takes that nominally takes so long, which is 0 where there is no limit."""
        rate = min((change.value for change in self._now if change.unit is Unit.RATE), default=None)
        factor = prod(change.value for change in self._now if change.unit is Unit.FACTOR)
        if rate is None and not nominal and not factor:
            raise ValueError(
                f"scenario: rank {self.rank} has unlimited bandwidth, factor 0 of it is none (name a rate)"
            )
        if rate == 0 or not factor:
            return OUTAGE_S_PER_BYTE
        seconds = nominal / factor if rate is None else 1 / (rate * factor * goodput)
        if not (nominal == 0 and rate is None) and not LEAST <= seconds <= MOST:
            raise ValueError(
                f"scenario: bandwidth of rank {self.rank} is such that a byte takes {seconds:g} s "
                f"(it must take between {LEAST:g} and {MOST:g} s; 0 is an outage)"
            )
        return seconds
