"""How does bandwidth wander that nobody recorded? Up or down by a ratio, as a coin says."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from math import inf, sqrt

from edgesim.recording import BandwidthChange
from edgesim.scenario.chance import uniform
from edgesim.units import LEAST, MOST, require_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Bandwidth that wanders: each ``interval_s`` a coin multiplies its factor by ``ratio``, or divides it.

    A step that would leave [low, high] goes the other way. Factors are of the network's rate.

    Attributes:
        together: one walk for all (a channel that fades for everyone), or one for each rank (see :class:`Recording` for
            what a rank's bandwidth is).
        ranks: those concerned; none named: all.
        since_s: how long it has been going on at 0 s.
    """

    interval_s: float
    ratio: float
    low: float
    high: float
    start: float
    together: bool
    source: str
    ranks: tuple[int, ...] = ()
    since_s: float = 0.0

    def __post_init__(self) -> None:
        require_numbers("walk", self)
        object.__setattr__(self, "ranks", tuple(self.ranks))
        if not 0 < self.interval_s < inf:
            raise ValueError(f"walk: interval_s must be positive and finite, got {self.interval_s}")
        if not 0 <= self.since_s < inf:
            raise ValueError(f"walk: since_s must be finite and >= 0, got {self.since_s}")
        if not LEAST <= self.low <= self.start <= self.high <= MOST:
            raise ValueError(
                f"walk: needs 0 < low <= start <= high, got low {self.low}, start {self.start}, high {self.high} "
                f"(from {LEAST:g} to {MOST:g})"
            )
        if not 1 <= self.ratio <= sqrt(self.high / self.low):
            raise ValueError(
                f"walk: ratio must be at least 1, and two steps must fit between low {self.low} and high {self.high}, "
                f"got {self.ratio}"
            )

    def __str__(self) -> str:
        ranks = f" of ranks {', '.join(map(str, self.ranks))}" if self.ranks else ""
        return f"bandwidth{ranks} walks between {self.low:g} and {self.high:g} of its rate"

    @property
    def named(self) -> tuple[int, ...]:
        """The ranks that the walk names."""
        return self.ranks

    def whose(self, rank: int) -> str:
        """Return whose walk the rank's is: "all", the rank's own by its number, or "" if the walk is not for it."""
        if self.ranks and rank not in self.ranks:
            return ""
        return "all" if self.together else str(rank)

    def changes(self, rank: int, seed: int) -> Iterator[BandwidthChange]:
        """Yield the rank's bandwidth over time, without an end, or nothing if the walk is not for this rank."""
        if not (whose := self.whose(rank)):
            return
        steps = _steps(replace(self, since_s=0.0, ranks=()), seed, whose)
        first = int(self.since_s // self.interval_s)
        yield BandwidthChange(0.0, self._factor(steps.exponent(first)))
        for i in count(first + 1):
            # Rounding may put a step that is now just behind.
            if (at_s := i * self.interval_s - self.since_s) > 0:
                yield BandwidthChange(at_s, self._factor(steps.exponent(i)))

    def _factor(self, exponent: int) -> float:
        return self.start * self.ratio**exponent

    def _inside(self, exponent: int) -> bool:
        return self.low <= self._factor(exponent) <= self.high

    def stepped(self, exponent: int, seed: int, whose: str, i: int) -> int:
        """Return the exponent after step i; each is of ``ratio`` in the factor."""
        toss = 1 if uniform(seed, "walk", whose, i)[0] < 0.5 else -1
        # 0 only where rounding puts both neighbours just outside.
        return next(to for to in (exponent + toss, exponent - toss, exponent) if self._inside(to))


class _WalkedSteps:
    """The steps of a walk as far as somebody asked for them: a job asks again and again, each time a little further."""

    def __init__(self, walk: Walk, seed: int, whose: str) -> None:
        self.walk, self.seed, self.whose, self._exponents = walk, seed, whose, [0]

    def exponent(self, i: int) -> int:
        known = self._exponents
        while len(known) <= i:
            known.append(self.walk.stepped(known[-1], self.seed, self.whose, len(known)))
        return known[i]


@lru_cache(maxsize=1024)  # each rank may walk on its own
def _steps(walk: Walk, seed: int, whose: str) -> _WalkedSteps:
    return _WalkedSteps(walk, seed, whose)
