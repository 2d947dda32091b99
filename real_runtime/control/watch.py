"""How long has nothing moved? Looks at all ranks again and again, and keeps when each of their counters last changed.

Time is the coordinator's own running time: what passes while it is stopped (Ctrl-Z) or kept from running counts little,
since it could not have seen anything move.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from real_runtime.control.board import Doing, Head
from real_runtime.control.vitals import Vitals

_TICK_S = 0.25  # the most that passes between two looks
# A computation uses more of a processor than this; what only wakes up now and then to see whether it may go on, less.
_COMPUTES_SHARE, _COMPUTES_S = 0.01, 0.005


class RunningClock:
    """Counts the seconds in which we could look."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._last_s = time.monotonic()

    def tick(self) -> float:
        """Count what has passed since the last time, and return the sum."""
        now_s = time.monotonic()
        self.now_s += min(now_s - self._last_s, _TICK_S)
        self._last_s = now_s
        return self.now_s


@dataclass(slots=True)
class Movement:
    """When one rank's counters last changed, on the running clock."""

    moved_s: float = 0.0
    beat_s: float = 0.0
    stopped_s: float | None = None
    link_down_s: float | None = None
    cpu_at_beat_s: float = 0.0
    main_cpu_at_move_s: float = 0.0
    task_since_s: float = 0.0
    main_cpu_at_task_s: float = 0.0
    main_cpu_s: float = 0.0
    faults: list[tuple[float, int]] = field(default_factory=list)
    last: tuple[int, int, int] = (-1, -1, -1)  # beats, finished, bytes

    def look(self, now_s: float, head: Head, doing: Doing, vitals: Vitals) -> None:
        """Take note of a look at a rank; ``doing`` is what its computing thread does."""
        if doing.since_s != self.task_since_s:
            self.task_since_s, self.main_cpu_at_task_s = doing.since_s, vitals.main_cpu_s
        self.main_cpu_s = vitals.main_cpu_s
        if head.beats != self.last[0]:
            self.beat_s, self.cpu_at_beat_s = now_s, vitals.cpu_s
        used_s = vitals.main_cpu_s - self.main_cpu_at_move_s
        computes = used_s > max(_COMPUTES_S, _COMPUTES_SHARE * (now_s - self.moved_s))
        if computes or (head.finished, head.moved_bytes) != self.last[1:] or head.rests_until_s > time.monotonic():
            self.moved_s, self.main_cpu_at_move_s = now_s, vitals.main_cpu_s
        self.last = (head.beats, head.finished, head.moved_bytes)
        self.stopped_s = (now_s if self.stopped_s is None else self.stopped_s) if vitals.is_stopped else None
        self.link_down_s = (now_s if self.link_down_s is None else self.link_down_s) if head.link_down else None
        self.faults = [*(each for each in self.faults if each[0] > now_s - 2), (now_s, vitals.major_faults)]

    def begin(self, now_s: float) -> None:
        """Forget how long ago all this was: nobody looked."""
        self.moved_s = self.beat_s = now_s
        self.stopped_s = self.link_down_s = None
        self.faults = []

    @property
    def task_cpu_s(self) -> float:
        """Processor seconds that its computation has taken so far."""
        return self.main_cpu_s - self.main_cpu_at_task_s

    @property
    def faults_per_s(self) -> float:
        """Page faults that waited for a disk, of the last two seconds."""
        if len(self.faults) < 2 or self.faults[-1][0] <= self.faults[0][0]:
            return 0.0
        (first_s, first), (last_s, last) = self.faults[0], self.faults[-1]
        return (last - first) / (last_s - first_s)


def still_s(movements: Sequence[Movement], now_s: float) -> float:
    """How long nothing has moved anywhere."""
    return now_s - max(movement.moved_s for movement in movements)
