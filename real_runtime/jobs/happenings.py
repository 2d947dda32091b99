"""What is done to the hosts of a testbed while a job runs, and when? Kills, stops and cut links of a scenario.

An event comes at a second of the job, at an iteration's beginning, or when its rank begins a task: then the rank
itself, told before, says so and does what happens to it (carrying/job_host.py). A link is cut by the coordinator, a
moment later.
"""

import signal
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgesim.job import Change
from edgesim.scenario import Join, Leave, Loss, LossKind, Membership, Moment

_ABOUT_TO_S = 2.0  # that a busy machine may take from a rank's word that it stops to its stop
_SIGNALS = {LossKind.KILL: signal.SIGKILL, LossKind.STOP: signal.SIGSTOP}


class Victims(Protocol):
    """What can be done to hosts."""

    def signal(self, rank: int, number: int) -> None:
        """Send a rank's process a signal, if it is there."""

    def iteration(self) -> int:
        """The iteration that is played now."""

    def lives(self, rank: int) -> bool:
        """Whether the rank's process is there."""

    def foretell(self, rank: int, iteration: int, task: str, number: int) -> None:
        """Tell a rank to say when it comes to a task, and with which signal to end itself there; 0: none."""

    def cut(self, rank: int) -> None:
        """Unplug a host's cable."""

    def mend(self, rank: int) -> None:
        """Plug it in again."""


@dataclass(slots=True)
class Happenings:
    """Plays events as their moments come, from its beginning on; ``look`` is called every few milliseconds.

    Attributes:
        lost_s: [rank] when it was lost, on the job's clock, until it is there again.
        leaving: [rank] since when it wants to leave, and has not been heard.
        coming: [rank] since when it is there, and has not been heard.
        missed: ranks that count as lost; who is there again before that goes on as if nothing had been.
    """

    events: Sequence[Membership]
    victims: Victims
    slow_motion: float = 1.0
    lost_s: dict[int, float] = field(default_factory=dict)
    leaving: dict[int, float] = field(default_factory=dict)
    coming: dict[int, float] = field(default_factory=dict)
    missed: set[int] = field(default_factory=set)
    began_s: float = field(default_factory=time.monotonic)
    _has_begun: bool = False
    _done: set[int] = field(default_factory=set)
    _resumed: dict[int, float] = field(default_factory=dict)  # [rank] when, of the last that happened to it
    _returns: list[tuple[float, Callable[[], object], int]] = field(default_factory=list)

    @property
    def now_s(self) -> float:
        """Seconds of the job."""
        return self.clock(time.monotonic())

    def clock(self, at_s: float) -> float:
        """A moment of the machine's clock as a second of the job."""
        return (at_s - self.began_s) / self.slow_motion

    def begin(self) -> None:
        """The job begins now."""
        self.began_s, self._has_begun = time.monotonic(), True
        for event in self.events:
            if event.when.task is not None and event.when.iteration is not None:
                signal_ = _SIGNALS.get(event.kind, 0) if isinstance(event, Loss) else 0
                self.victims.foretell(event.rank, event.when.iteration, event.when.task, signal_)

    def reached(self, rank: int, iteration: int, task: str) -> None:
        """Hear that a rank has come to a task at which something happens."""
        for number, event in enumerate(self.events):
            if (event.rank, event.when.iteration, event.when.task) == (rank, iteration, task):
                self._done.add(number)
                self._do(event, by_itself=True)

    def look(self) -> None:
        """Do all whose moment has come.

        Who is resumed is so again for a while: a rank that was about to stop itself may have come to it only then.
        """
        for rank, since_s in self._resumed.items():
            if self.now_s - since_s < _ABOUT_TO_S:
                self.victims.signal(rank, signal.SIGCONT)
        for number, event in enumerate(self.events):
            if number not in self._done and self._is_due(event.when):
                self._done.add(number)
                self._do(event)
        for rank in sorted(self.missed - self.lost_s.keys()):
            if self.victims.lives(rank):  # its cable was plugged in again
                self._comes(rank)
        for each in [each for each in self._returns if each[0] <= self.now_s]:
            self._returns.remove(each)
            _, undo, rank = each
            undo()
            self._resumed[rank] = self.now_s
            self.lost_s.pop(rank, None)
            if rank in self.missed:
                self._comes(rank)

    def miss(self, ranks: Collection[int]) -> float | None:
        """Hear that ranks count as lost; when the first of them was lost, where that is known."""
        known = [self.lost_s[rank] for rank in ranks if rank in self.lost_s]
        self.missed |= set(ranks)
        for rank in ranks:
            if rank not in self.lost_s and self.victims.lives(rank):  # it has been too slow, or is there again already
                self._comes(rank)
        return min(known, default=None)

    def _comes(self, rank: int) -> None:
        self.missed.discard(rank)
        self.coming.setdefault(rank, self.now_s)

    def asked_for(self) -> Change | None:
        """Who has asked to leave, or has come, since this was last asked."""
        leaving, coming = dict(self.leaving), dict(self.coming)
        self.leaving.clear()
        self.coming.clear()
        since_s = min((*leaving.values(), *coming.values()), default=None)
        if since_s is None:
            return None
        return Change(at_s=since_s, noticed_s=since_s, leaving=tuple(leaving), joining=tuple(coming))

    def undo_all(self, ranks: Collection[int]) -> None:
        """Let all come back that are stopped, or cut off; of these ranks also who has stopped itself unheard."""
        while self._returns:
            _, undo, _ = self._returns.pop()
            undo()
        for rank in ranks:
            self.victims.signal(rank, signal.SIGCONT)

    def _is_due(self, when: Moment) -> bool:
        if not self._has_begun:
            return False
        if when.at_s is not None:
            return self.now_s >= when.at_s
        assert when.iteration is not None, "a moment is a second or an iteration"
        return when.task is None and self.victims.iteration() >= when.iteration

    def _do(self, event: Membership, *, by_itself: bool = False) -> None:
        """Let an event happen; what a rank does to itself is done, or about to be."""
        self._resumed.pop(event.rank, None)
        match event:
            case Leave():
                self.leaving.setdefault(event.rank, self.now_s)
            case Join():
                self._comes(event.rank)
            case Loss(kind=LossKind.LINK_DOWN):
                self.victims.cut(event.rank)
            case Loss() if not by_itself:
                self.victims.signal(event.rank, _SIGNALS[event.kind])
        if isinstance(event, Loss):
            self.lost_s[event.rank] = self.now_s
            if event.kind is not LossKind.KILL:
                rank, link = event.rank, event.kind is LossKind.LINK_DOWN
                undo = (
                    (lambda: self.victims.mend(rank)) if link else (lambda: self.victims.signal(rank, signal.SIGCONT))
                )
                self._returns.append((self.now_s + event.lasts_s, undo, rank))
