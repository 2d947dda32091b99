"""What happens to devices and links while the work runs? A seed and events: bandwidth that changes, slow-downs, jitter.

Times count from the start of the iteration. Latency, disks and memory stay as they are.
"""

from dataclasses import dataclass
from functools import cached_property, partial

from edgesim.recording import Course, Drawn, Recorded, Recording
from edgesim.scenario.jitter import Jitter
from edgesim.scenario.slowdown import Slowdown, speeds_under
from edgesim.scenario.walk import Walk

Event = Recording | Walk | Slowdown | Jitter
"""What a scenario is made of."""


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
            self._speeds[rank] = speeds_under(self._slowdowns.get(rank, []), rank)
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
