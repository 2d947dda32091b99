"""What did a meter read, when, and of what? Readings on one clock, with all that must be known to believe them."""

from dataclasses import dataclass
from math import inf

import numpy as np

from edgesim.since_3_11 import StrEnum
from edgesim.trace import Floats


class Evidence(StrEnum):
    """Where readings come from: only what a sensor read is measured."""

    MEASURED = "measured"  # a sensor read it
    ESTIMATED = "estimated"  # reckoned from what a processor did
    SYNTHETIC = "synthetic"  # reckoned from declared watts: neither a sensor nor a board was there


class Covers(StrEnum):
    """What the readings are the power of; whatever is not in it was not read."""

    BOARD = "board"  # all that the supply delivers
    MODULE = "module"  # the computing module, without its carrier board, disks and fans
    PACKAGE = "package"  # processors, with their memory where that has a counter
    CARD = "card"  # one accelerator
    PROCESS = "process"  # some processes


class Quantity(StrEnum):
    """What a value is: the power at a time, or a counter of energy from any beginning."""

    POWER = "power_w"
    ENERGY = "energy_j"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFacts:
    """What is known of a meter before it reads anything.

    Attributes:
        source: which sensor or file it is, for people.
        covers: what the readings are the power of.
        evidence: where they come from.
        quantity: what a value is.
        period_s: from one reading to the next.
        resolution: the least difference of two values, in W or J.
        averages_s: each power is the mean over so long before its time; 0 of the moment. Counters need none.
    """

    source: str
    covers: Covers
    evidence: Evidence
    quantity: Quantity
    period_s: float
    resolution: float
    averages_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.period_s < inf:
            raise ValueError(f"meter {self.source}: period_s must be positive and finite, got {self.period_s:g}")
        if not 0 <= self.resolution < inf:
            raise ValueError(f"meter {self.source}: resolution must be finite and >= 0, got {self.resolution:g}")
        if not 0 <= self.averages_s < inf:
            raise ValueError(f"meter {self.source}: averages_s must be finite and >= 0, got {self.averages_s:g}")

    def __str__(self) -> str:
        unit = "W" if self.quantity is Quantity.POWER else "J"
        return (
            f"{self.source} ({self.evidence}; covers the {self.covers}; every {self.period_s:g} s, "
            f"in steps of {self.resolution:g} {unit})"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class PowerLog:
    """Readings of one meter.

    Attributes:
        facts: of the meter.
        ranks: whose hosts it reads, together.
        at_s: [reading] when, on the monotonic clock of the machine whose traces it goes with; ever later.
        value: [reading] in W or J; NaN where there was no reading. A counter has no wraps any more.
        notes: what went wrong while it was read, each with its second.
    """

    facts: MeterFacts
    ranks: tuple[int, ...]
    at_s: Floats
    value: Floats
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        source = self.facts.source
        if self.at_s.shape != self.value.shape or self.at_s.ndim != 1:
            raise ValueError(f"power log of {source}: {len(self.at_s)} times, but {len(self.value)} values")
        if not self.ranks or len(set(self.ranks)) < len(self.ranks):
            raise ValueError(f"power log of {source}: needs distinct ranks, at least one, got {self.ranks}")
        if not np.isfinite(self.at_s).all():
            raise ValueError(f"power log of {source}: a time is no finite number")
        if (back := np.flatnonzero(np.diff(self.at_s) <= 0)).size:
            i = int(back[0])
            raise ValueError(
                f"power log of {source}: the clock steps from {self.at_s[i]:.6f} to {self.at_s[i + 1]:.6f} s between "
                f"readings {i} and {i + 1} (cut the log there, or take a meter on the monotonic clock)"
            )
        there = self.value[~np.isnan(self.value)]
        if (bad := there[(there < 0) | np.isinf(there)]).size:
            raise ValueError(f"power log of {source}: a reading is {bad[0]:g} (a reading that is missing is nan)")
        if self.facts.quantity is Quantity.ENERGY and (np.diff(there) < 0).any():
            raise ValueError(
                f"power log of {source}: the counter falls (unwrap it: add its range whenever it begins anew)"
            )

    def __len__(self) -> int:
        return len(self.at_s)

    def __str__(self) -> str:
        missing = int(np.isnan(self.value).sum())
        return f"{len(self)} readings of {self.facts}, {missing} missing"

    def shifted(self, by_s: float) -> "PowerLog":
        """Return the same readings, later by so many seconds: of a meter whose clock was behind."""
        return PowerLog(facts=self.facts, ranks=self.ranks, at_s=self.at_s + by_s, value=self.value, notes=self.notes)
