"""What happens to devices and links while the work runs? A seed and events: bandwidth that changes, slow-downs, jitter.

Times count from the start of the iteration. Latency, disks and memory stay as they are. Chance is drawn from a hash of
the seed and of what it is for, not from a generator with a state: no draw depends on the order of the simulation, on
other events, or on a library's version.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from itertools import count, pairwise
from math import cos, exp, inf, log, log1p, pi, prod, sqrt

from edgesim.recording import Change, Course, Drawn, Recorded, Recording
from edgesim.units import LEAST, MOST, is_reckonable


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Bandwidth that wanders: each ``interval_s`` a coin multiplies its factor by ``ratio``, or divides it.

    A step that would leave [low, high] goes the other way. Factors are of the network's rate.

    Attributes:
        together: one walk for all (a channel that fades for everyone), or one for each rank (see :class:`Recording` for
            what a rank's bandwidth is).
        ranks: those concerned; none named: all.
    """

    interval_s: float
    ratio: float
    low: float
    high: float
    start: float
    together: bool
    source: str
    ranks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranks", tuple(self.ranks))
        if not 0 < self.interval_s < inf:
            raise ValueError(f"walk: interval_s must be positive and finite, got {self.interval_s}")
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

    def changes(self, rank: int, seed: int) -> Iterator[Change]:
        """Yield the rank's bandwidth over time, without an end, or nothing if the walk is not for this rank."""
        if not (whose := self.whose(rank)):
            return
        exponent = 0
        yield Change(0.0, self.start)
        for i in count(1):
            toss = 1 if _uniform(seed, "walk", whose, i)[0] < 0.5 else -1
            # 0 only where rounding puts both neighbours just outside.
            exponent = next(to for to in (exponent + toss, exponent - toss, exponent) if self._inside(to))
            yield Change(i * self.interval_s, self._factor(exponent))

    def _factor(self, exponent: int) -> float:
        return self.start * self.ratio**exponent

    def _inside(self, exponent: int) -> bool:
        return self.low <= self._factor(exponent) <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """A device computes at ``factor`` of its speed from ``start_s`` until ``end_s`` (which may be infinite)."""

    rank: int
    start_s: float
    end_s: float
    factor: float
    source: str

    def __post_init__(self) -> None:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter:
    """Every computation's duration is multiplied by a log-normal factor of mean 1.

    ``variation`` is the coefficient of variation: standard deviation over mean.
    """

    variation: float
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.variation <= MOST:
            raise ValueError(f"jitter: variation must be finite and >= 0, got {self.variation} (at most {MOST:g})")

    def __str__(self) -> str:
        return f"durations vary by {self.variation:.3g} of their mean"

    @property
    def named(self) -> tuple[int, ...]:
        """Jitter concerns all ranks and names none."""
        return ()

    def factor(self, seed: int, iteration: int, task: str) -> float:
        """Return the factor of one task, by the task's name."""
        first, second = _uniform(seed, "jitter", iteration, task)
        normal = sqrt(-2 * log(first)) * cos(2 * pi * second)  # Box & Muller, 1958
        variance = log1p(self.variation**2)
        return exp(sqrt(variance) * normal - variance / 2)


Event = Recording | Walk | Slowdown | Jitter


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What happens during one iteration. Events act together: factors of bandwidth and of speed multiply.

    It may be of thousands of events, and thousands of plans are simulated under it; so it is read once.

    Attributes:
        seed: of all that is drawn.
        iteration: which one is played; jitter differs from one to the next.
    """

    events: tuple[Event, ...] = ()
    seed: int = 0
    iteration: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", tuple(self.events))
        if self.iteration < 0:
            raise ValueError(f"scenario: iteration must be >= 0, got {self.iteration}")
        for kind in (Recording, Walk, Jitter):  # two recorded rates contradict, and two draws toss the same coins
            if len(same := [event for event in self.events if isinstance(event, kind)]) > 1:
                raise ValueError(f"scenario: {same[0]}; {same[1]}: only one {kind.__name__} can be played (drop one)")

    def __str__(self) -> str:
        return "; ".join(map(str, self.events)) + f" (seed {self.seed})" if self.events else "nothing happens"

    def check(self, ranks: int) -> None:
        """Raise ValueError if an event names a rank that a cluster of this many ranks does not have."""
        if all(0 <= rank < ranks for rank in self._named):
            return
        for event in self.events:
            for rank in event.named:
                if not 0 <= rank < ranks:
                    raise ValueError(f"scenario: {event}: names rank {rank}, the cluster has ranks 0 to {ranks - 1}")

    @cached_property
    def _named(self) -> frozenset[int]:
        return frozenset(rank for event in self.events for rank in event.named)

    @cached_property
    def bandwidths(self) -> tuple[Recording | Walk, ...]:
        """The events that change the bandwidth of links."""
        return tuple(event for event in self.events if isinstance(event, Recording | Walk))

    @cached_property
    def courses(self) -> tuple[Course, ...]:
        """What these events do to bandwidth, as arrays."""
        return tuple(
            Recorded(event)
            if isinstance(event, Recording)
            else Drawn(event.interval_s, event.whose, partial(event.changes, seed=self.seed))
            for event in self.bandwidths
        )

    @cached_property
    def jitter(self) -> Jitter | None:
        """The variation of durations, if there is any."""
        return next((event for event in self.events if isinstance(event, Jitter)), None)

    def speeds(self, rank: int) -> tuple[tuple[float, float], ...]:
        """Return (from when, factor of the rank's speed) from 0 s on; ``((0.0, 1.0),)`` where nothing slows it down."""
        if rank not in self._speeds:
            self._speeds[rank] = _speeds(rank, self._slowdowns.get(rank, []))
        return self._speeds[rank]

    @cached_property
    def _speeds(self) -> dict[int, tuple[tuple[float, float], ...]]:
        return {}

    @cached_property
    def _slowdowns(self) -> dict[int, list[Slowdown]]:
        slowdowns: dict[int, list[Slowdown]] = {}
        for event in self.events:
            if isinstance(event, Slowdown):
                slowdowns.setdefault(event.rank, []).append(event)
        return slowdowns


def _speeds(rank: int, mine: list[Slowdown]) -> tuple[tuple[float, float], ...]:
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


def _uniform(*words: object) -> tuple[float, float]:
    """Return two numbers in (0, 1), each with 52 bits of a hash of what they are for."""
    digest = sha256(" ".join(map(str, words)).encode()).digest()
    first, second = (int.from_bytes(digest[i : i + 8]) >> 12 for i in (0, 8))
    return (first + 0.5) / 2**52, (second + 0.5) / 2**52
