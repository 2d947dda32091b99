"""Who of a job's ranks is there, second by second, and when does anybody know? Losses, leaves and joins on one clock.

A rank is lost at a second, and it counts as lost when its heartbeats have been missed for the time-out. One that is
there again before is not missed by anybody: its stop is a ``Pause``. One that is there again afterwards comes as one
that joins. Events of a rank that is not there, or is there already, change nothing.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from math import inf

from edgesim.job import Change, Heartbeat
from edgesim.scenario import Event, Join, Leave, Loss, LossKind, Membership, Moment, Outage, Slowdown

_STOPPED = 1e-9  # of its speed: next to nothing, which can be reckoned with


@dataclass(frozen=True, slots=True, order=True)
class Missing:
    """A rank that is lost; it counts as lost at ``noticed_s``, and is there again at ``back_s``."""

    at_s: float
    rank: int
    noticed_s: float
    back_s: float


class Roster:
    """Who is there. Time only goes on: who asks about a second has passed all before it."""

    def __init__(self, members: Iterable[int], events: Iterable[Membership], heartbeat: Heartbeat) -> None:
        self.there, self.heartbeat = set(members), heartbeat
        self.missing: dict[int, Missing] = {}  # lost, and nobody knows yet
        self.leaving: dict[int, float] = {}  # have said so, and still work
        self.joining: dict[int, float] = {}  # have come, and nobody has asked them yet
        self.parting: set[int] = set()  # have left, and still send what they hold
        self._timed: list[tuple[float, int, Membership]] = []
        self._number = count()
        self._of_iteration: dict[int, list[Membership]] = defaultdict(list)
        for event in events:
            if event.when.at_s is None:
                assert event.when.iteration is not None, "a moment is of a second or of an iteration"
                self._of_iteration[event.when.iteration].append(event)
            else:
                self.happens(event, event.when.at_s)

    def happens(self, event: Membership, at_s: float) -> tuple[Event, ...]:
        """Let an event happen at a second; return what it is instead, where nobody misses the rank."""
        if isinstance(event, Loss) and at_s + event.lasts_s <= self.heartbeat.noticed_s(at_s):
            return pauses(event, at_s)
        insort(self._timed, (at_s, next(self._number), event), key=lambda timed: timed[:2])
        return ()

    def of_iteration(self, iteration: int) -> list[Membership]:
        """Return, once, the events that happen in an iteration."""
        return self._of_iteration.pop(iteration, [])

    def next_iteration(self, iteration: int) -> float:
        """Return the first iteration from this one on in which an event happens."""
        return min((number for number in self._of_iteration if number >= iteration), default=inf)

    @property
    def next_s(self) -> float:
        """When the next event happens, or somebody is missed."""
        return min((self._coming_s, *(missing.noticed_s for missing in self.missing.values())))

    @property
    def _coming_s(self) -> float:
        return self._timed[0][0] if self._timed else inf

    def pass_to(self, now_s: float) -> None:
        """Let all happen that happens until now."""
        while self._coming_s <= now_s:
            at_s, _, event = self._timed.pop(0)
            self._happened(event, at_s)

    def _happened(self, event: Membership, at_s: float) -> None:
        rank = event.rank
        if isinstance(event, Join):
            if rank not in self.there or rank in self.missing:
                self.joining.setdefault(rank, at_s)
        elif isinstance(event, Leave):
            if rank in self.there:
                self.leaving.setdefault(rank, at_s)
            self.joining.pop(rank, None)
        elif rank in self.there | self.parting and rank not in self.missing:
            self.missing[rank] = self._missing(event, at_s)
        elif rank in self.joining:
            del self.joining[rank]
            self._returns(self._missing(event, at_s))

    def _missing(self, event: Loss, at_s: float) -> Missing:
        return Missing(at_s, event.rank, self.heartbeat.noticed_s(at_s), at_s + event.lasts_s)

    def _returns(self, missing: Missing) -> None:
        """Let a rank join that is there again."""
        if missing.back_s < inf:
            back = Join(rank=missing.rank, when=Moment(at_s=missing.back_s))
            self.happens(back, missing.back_s)

    def first_missing(self, ranks: Collection[int], before_s: float) -> Missing | None:
        """Return who of these ranks, which are all there, is lost first before this second; nobody knows it yet."""
        coming = (
            self._missing(event, at_s)
            for at_s, _, event in self._timed
            if at_s < before_s and isinstance(event, Loss) and event.rank in ranks
        )
        known = (missing for missing in self.missing.values() if missing.rank in ranks)
        return min((*known, *coming), default=None)

    def change(self, now_s: float) -> Change | None:
        """Return, once, who is known now to be lost, to leave or to have come; the latter where it is the only news."""
        self.pass_to(now_s)
        lost = sorted(missing for missing in self.missing.values() if missing.noticed_s <= now_s)
        for missing in lost:
            del self.missing[missing.rank]
            self.leaving.pop(missing.rank, None)
            self.there.discard(missing.rank)
            self.parting.discard(missing.rank)
            self._returns(missing)
        leaving = sorted(rank for rank in self.leaving if rank not in self.missing)
        since = [self.leaving.pop(rank) for rank in leaving]
        self.there -= set(leaving)
        self.parting |= set(leaving)
        change = Change(
            at_s=min([missing.at_s for missing in lost] + since, default=now_s),
            noticed_s=min([missing.noticed_s for missing in lost] + since, default=now_s),
            lost=tuple(sorted(missing.rank for missing in lost)),
            leaving=tuple(leaving),
        )
        return change if lost or leaving else self._joined(change)

    def _joined(self, change: Change) -> Change | None:
        coming = sorted(rank for rank in self.joining if rank not in self.missing)
        if not coming:
            return None
        since_s = min(self.joining.pop(rank) for rank in coming)
        self.there |= set(coming)
        return replace(change, at_s=since_s, noticed_s=since_s, joining=tuple(coming))


def pauses(event: Loss, at_s: float) -> tuple[Event, ...]:
    """Return what a stop or a link that is down for a while is to who works with the rank: all it does is later."""
    end_s = at_s + event.lasts_s
    down = Outage(rank=event.rank, start_s=at_s, end_s=end_s)
    stop = Slowdown(rank=event.rank, start_s=at_s, end_s=end_s, factor=_STOPPED, source=str(event))
    return (stop, down) if event.kind is LossKind.STOP else (down,)


def paused(events: Iterable[Membership], heartbeat: Heartbeat) -> Iterator[Event]:
    """Yield what those are that nobody misses, of losses at a second."""
    for event in events:
        at_s = event.when.at_s
        if isinstance(event, Loss) and at_s is not None and at_s + event.lasts_s <= heartbeat.noticed_s(at_s):
            yield from pauses(event, at_s)
