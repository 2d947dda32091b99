"""How much of their processors did other programs take on hosts of their own? As agents tell, on the driver's clock.

A host is believed numbers that can be: seconds that do not fall, of moments that come one after the other and are not
in the future. What is not known of it within seconds stays unknown; then it is not said to be undisturbed.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from real_runtime.execution import HostShare
from real_runtime.other_load.foreign_load import Sample, foreign_share
from real_runtime.ssh.clock import HostClock
from real_runtime.ssh.frames import Frame, FrameError, finite_number, shown, whole_number
from real_runtime.ssh.watching.on_host import EVERY_S

LOAD = "load"
"""The word of an agent's messages that :meth:`FarLoad.hear` understands."""
_WITHIN_S = 2.0  # in which a sample must come that was taken when something ended
_FUTURE_S = 1.0
_MOST_CORES = 4096
_LEAST_S = EVERY_S / 10  # between two samples; what comes more often is flooding


class Line(Protocol):
    """The way to a host."""

    clock: HostClock
    named: str

    def tell(self, frame: Frame) -> None:
        """Send a message to the agent; returns at once."""


class FarLoad:
    """The load of one host, as it is told."""

    def __init__(self, line: Line) -> None:
        self._line, self._number = line, 0
        self._samples: list[Sample] = []
        self._told_s = 0.0  # of the host's clock, of the last sample
        self._cores = 0
        self.is_known = True  # whether its kernel tells, as far as is known
        self._changed = threading.Condition()

    def begin(self) -> None:
        """Let it be watched from now on."""
        with self._changed:
            self._number, self._samples, self.is_known = self._number + 1, [], True
        self._line.tell({"do": "watch_load", "watch_load": self._number})

    def end(self) -> None:
        """Let it be watched no more."""
        self._line.tell({"do": "leave_load"})

    def hear(self, frame: Frame) -> None:
        """Learn of a sample. Raises FrameError for what cannot be."""
        number, cores = whole_number(frame, LOAD), whole_number(frame, "cores", most=_MOST_CORES)
        if number > self._number:
            raise FrameError(f"load {number}, of which nobody asked")
        if number < self._number:  # of a watch that has ended
            return
        with self._changed:
            self._cores, self.is_known = cores, cores > 0
            if cores:
                self._take(finite_number(frame, "at_s"), finite_number(frame, "foreign_s"))
            self._changed.notify_all()

    def _take(self, there_s: float, foreign_s: float) -> None:
        clock, now_s = self._line.clock.fit, time.monotonic()
        here_s = clock.here_s(there_s)
        if here_s > now_s + _FUTURE_S + clock.uncertainty_s:
            raise FrameError(f"a load that is seen in {here_s - now_s:.3g} s")
        if self._samples:
            if there_s < self._told_s + _LEAST_S:
                raise FrameError(f"loads {there_s - self._told_s:.3g} s after each other")
            # What the line to our clock has moved since may not turn moments round.
            here_s = max(here_s, self._samples[-1].at_s)
        # Seconds of programs that have ended stay counted, so that they never fall, but for a clock's grain.
        if foreign_s < 0 or (self._samples and foreign_s < self._samples[-1].foreign_s - _FUTURE_S):
            raise FrameError(f"seconds of other programs that fall to {shown(foreign_s)}")
        self._told_s = there_s
        self._samples.append(Sample(at_s=here_s, foreign_s=foreign_s))

    def share(self, start_s: float, end_s: float, within_s: float = _WITHIN_S) -> float | None:
        """The share of its processors that other programs took; None where that is not known in time."""
        until_s = end_s + within_s  # a host that has told nothing since is not waited for again
        with self._changed:
            while self.is_known and (not self._samples or self._samples[-1].at_s < end_s):
                if not self._changed.wait(until_s - time.monotonic()):
                    return None
            if not self.is_known or self._samples[0].at_s > start_s:
                return None
            return max(0.0, foreign_share(self._samples, start_s, end_s, cores=self._cores))

    def wait_until_seen(self) -> None:
        """Return when the first sample is there, or none is to be expected."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._samples) or not self.is_known, _WITHIN_S)


class Loads:
    """The load of several hosts while it is watched."""

    def __init__(self, loads: Sequence[tuple[str, FarLoad]]) -> None:
        self._loads = loads

    def sample(self) -> None:
        """Nothing to do: hosts tell of themselves."""

    def share(self, start_s: float, end_s: float) -> HostShare | None:
        """The largest share of all hosts, with the host; None where nothing is known of any of them."""
        known = [(share, name) for name, load in self._loads if (share := load.share(start_s, end_s)) is not None]
        if not known:
            return None
        share, name = max(known)
        return HostShare(share, host=name)


@contextmanager
def loads_watched(loads: Sequence[tuple[str, FarLoad]]) -> Iterator[Loads]:
    """Watch hosts, each by its name, until it is left."""
    for _, load in loads:
        load.begin()
    for _, load in loads:
        load.wait_until_seen()
    try:
        yield Loads(loads)
    finally:
        for _, load in loads:
            load.end()
