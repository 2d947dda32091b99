"""What happens to devices and links while the work runs? A seed and events: bandwidth that changes, slow-downs, jitter.

Of a job also who is lost, leaves and joins. Times count from the start of the job; of a single iteration, from its own.
Latency, disks and memory stay as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

from edgesim.recording import Course, Drawn, Recorded, Recording
from edgesim.scenario.jitter import Jitter
from edgesim.scenario.later import later_recording, later_span, later_walk
from edgesim.scenario.membership import Membership
from edgesim.scenario.outage import Outage
from edgesim.scenario.slowdown import Slowdown, speeds_under
from edgesim.scenario.walk import Walk

Event = Recording | Walk | Outage | Slowdown | Jitter | Membership
"""What a scenario is made of."""
_TOLD = 8  # events that a line names: drawn ones may be hundreds


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What happens during a job, or one iteration. Events act together: factors of bandwidth and of speed multiply.

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
        if not self.events:
            return "nothing happens"
        more = [f"and {len(self.events) - _TOLD} more"] if len(self.events) > _TOLD else []
        return "; ".join([*map(str, self.events[:_TOLD]), *more]) + f" (seed {self.seed})"

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
    def membership(self) -> tuple[Membership, ...]:
        """The events that change who is there; only a job can go on after them."""
        return tuple(event for event in self.events if isinstance(event, Membership))

    @cached_property
    def bandwidths(self) -> tuple[Recording | Walk, ...]:
        """The events that change the bandwidth of links."""
        rates = (event.recording if isinstance(event, Outage) else event for event in self.events)
        return tuple(event for event in rates if isinstance(event, Recording | Walk))

    @cached_property
    def courses(self) -> tuple[Course, ...]:
        """What these events do to bandwidth, as arrays."""
        return tuple(
            Recorded(event)
            if isinstance(event, Recording)
            else Drawn(event.interval_s, event.whose, partial(event.changes, seed=self.seed), event.since_s)
            for event in self.bandwidths
        )

    @cached_property
    def jitter(self) -> Jitter | None:
        """The variation of durations, if there is any."""
        return next((event for event in self.events if isinstance(event, Jitter)), None)

    def speeds(self, rank: int) -> tuple[tuple[float, float], ...]:
        """Return (from when, factor of the rank's speed) from 0 s on; ``((0.0, 1.0),)`` where nothing slows it down."""
        if rank not in self._speeds:
            self._speeds[rank] = speeds_under(self._slowdowns.get(rank, []), rank)
        return self._speeds[rank]

    def from_second(self, at_s: float) -> "Scenario":
        """Return what happens from a second on, told from there; who is lost, leaves or joins is left out."""
        return replace(self, events=tuple(later for event in self.events for later in _later(event, at_s)))

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


def _later(event: Event, at_s: float) -> Iterator[Event]:
    if isinstance(event, Slowdown | Outage):
        yield from later_span(event, at_s)
    elif isinstance(event, Recording):
        yield later_recording(event, at_s)
    elif isinstance(event, Walk):
        yield later_walk(event, at_s)
    elif isinstance(event, Jitter):
        yield event


NOTHING_HAPPENS = Scenario()
"""A scenario without events."""
