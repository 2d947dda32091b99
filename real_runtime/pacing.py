"""How is a fast machine made as slow as the device it stands for? Computation sleeps, messages wait for their turn."""

import threading
import time
from collections.abc import Callable, Hashable
from math import inf
from typing import TypeVar

from edgesim.scenario.paces import Pace, lasts_s
from real_runtime.other_load.priority import computing

T = TypeVar("T")
# Machines and devices are compared by a square matrix product, large enough to run from cache at full speed.
MATRIX = 1024
MATRIX_FLOP = 2.0 * MATRIX**3
# How late a sender may be and still count as continuous: sleeps overshoot by about 0.1 ms, threads by a few.
_SLACK_S = 0.003
_SLICE_S = 0.1  # after which a sleeping computation looks whether anybody still wants it
_LONG_S = 0.5  # a sleep that others are told of: shorter ones are no sign of anything
_LOOK_S = 0.005  # while bytes wait: how often to look whether their rate has changed
_PASSED_S = 1e-9  # what is left of a wait but rounding


class Dilation:
    """Stretches computation to ``fraction`` of one core, by thread CPU time.

    After each task it sleeps until ``CPU time / fraction`` has passed; what a task overshoots, the next one sleeps less
    unless it had to wait for something else. Work of one kind is charged the least CPU time it has taken so far, or
    what it took when it was rehearsed: hosts that share this machine's caches and memory slow each other down, the
    devices they stand for do not. ``rests`` hears until when a long sleep lasts, on the monotonic clock; a sleep is cut
    short as soon as it ``is_over``: nobody wants the result any more.
    """

    def __init__(
        self,
        fraction: float,
        rests: Callable[[float], object] = lambda until_s: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(f"a host's speed must be a fraction of one core in (0, 1], got {fraction:g}")
        self.fraction, self.rests, self.is_over = fraction, rests, is_over
        self.pace: Pace = ()  # (from when, factor of its speed), on the monotonic clock; none: nothing slows it down
        self.due_s = 0.0
        self.least_s: dict[Hashable, float] = {}
        self.charged_s: dict[Hashable, float] = {}
        self._late_s = self._overran_s = 0.0

    def overran_s(self) -> float:
        """How much longer than the device's computations took, since the last time somebody asked.

        A host that is its device, and not slowed down to it, takes what it takes.
        """
        late_s = self._late_s + self._overran_s
        self._late_s = self._overran_s = 0.0
        return late_s if self.fraction < 1 else 0.0

    def forget(self) -> None:
        """Forget all kinds of work, before a new assignment."""
        self.least_s.clear()
        self.charged_s.clear()

    def charge(self, kind: Hashable, seconds: float) -> None:
        """Let work of this kind take so many dilated seconds, however long it takes here."""
        self.charged_s[kind] = seconds

    def run(self, work: Callable[[], T], kind: Hashable, *, waited: bool = False) -> tuple[T, float, float]:
        """Do work of a kind, then sleep; return its result, start and end on the monotonic clock.

        Work that ``waited`` for a message starts when it comes, however short the wait was.
        """
        start_s, cpu_s = time.monotonic(), time.thread_time()
        with computing():
            result = work()
        taken_s = time.thread_time() - cpu_s
        self.least_s[kind] = min(taken_s, self.least_s.get(kind, taken_s))
        target_s = self.charged_s.get(kind, self.least_s[kind] / self.fraction)
        # A task that follows the last one at once starts when that one was due, not when its sleep overshot.
        began_s = self.due_s if start_s - self.due_s < _SLACK_S and not waited else start_s
        if began_s == start_s:  # too late to make up for what the last ones took too long
            self._late_s += self._overran_s
        self.due_s = began_s + (lasts_s(self.pace, began_s, target_s) if self.pace else target_s)
        self._overran_s = max(0.0, time.monotonic() - self.due_s)
        if (rest_s := self.due_s - time.monotonic()) > 0:
            if rest_s > _LONG_S:
                self.rests(self.due_s)
            while rest_s > _SLICE_S and not self.is_over():
                time.sleep(_SLICE_S)
                rest_s = self.due_s - time.monotonic()
            if rest_s > 0 and not self.is_over():
                time.sleep(rest_s)
        end_s = time.monotonic()
        self.due_s = max(self.due_s, end_s - _SLACK_S)
        return result, start_s, end_s


class Disk:
    """An emulated disk: reading and writing take at least as long as the device's does for so many bytes.

    Work that follows the last at once begins when that was due, not when its sleep overshot. ``rests`` hears until when
    a long sleep lasts.
    """

    def __init__(
        self,
        read_bytes_per_s: float = inf,
        write_bytes_per_s: float = inf,
        rests: Callable[[float], object] = lambda until_s: None,
    ) -> None:
        for rate in (read_bytes_per_s, write_bytes_per_s):
            if not rate > 0:
                raise ValueError(f"a disk's rate must be positive, got {rate:g} bytes per second")
        self.read_bytes_per_s, self.write_bytes_per_s = read_bytes_per_s, write_bytes_per_s
        self.rests, self.due_s = rests, -inf

    def run(self, work: Callable[[], int], *, reads: bool) -> int:
        """Do work that reads or writes; return how many bytes it said, when they would have been read or written."""
        start_s = time.monotonic()
        with computing():
            nbytes = work()
        rate = self.read_bytes_per_s if reads else self.write_bytes_per_s
        began_s = self.due_s if start_s - self.due_s < _SLACK_S else start_s
        self.due_s = began_s + nbytes / rate
        if (rest_s := self.due_s - time.monotonic()) > 0:
            if rest_s > _LONG_S:
                self.rests(self.due_s)
            time.sleep(rest_s)
        self.due_s = max(self.due_s, time.monotonic() - _SLACK_S)
        return nbytes


class Pacer:
    """One direction of an emulated NIC: bytes of all its messages pass in turn at ``bytes_per_s``.

    Messages ask chunk by chunk, so that messages at the same time share the NIC evenly. The rate may change meanwhile,
    also to 0: what has to pass is counted in bytes, and when it has is known by the rates that there were.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = self.rate = bytes_per_s  # as it is meant to be, and as it is now
        self._at_s, self._passed = time.monotonic(), 0.0  # how many bytes could have passed until then
        self._taken = -inf  # the bytes that have had their turn: none, and it has been free for long
        self.lock = threading.Lock()

    def change(self, rate: float) -> None:
        """Let bytes pass at this rate from now on, those too that wait."""
        with self.lock:
            now_s = time.monotonic()
            self._at_s, self._passed, self.rate = now_s, self._could_pass(now_s), rate

    def transmit(self, nbytes: int) -> None:
        """Return when the bytes would have left the NIC."""
        with self.lock:
            now = self._could_pass(time.monotonic())
            late = now - _SLACK_S * self.rate
            self._taken = (self._taken if self._taken > late else now) + nbytes
            due = self._taken
        self._wait_until_passed(due)

    def receive(self, nbytes: int) -> None:
        """Return when bytes that came in just now would have passed the NIC: at once if it was free while they came."""
        with self.lock:
            self._taken = due = max(self._taken + nbytes, self._could_pass(time.monotonic()))
        self._wait_until_passed(due)

    def _could_pass(self, now_s: float) -> float:
        return self._passed + (now_s - self._at_s) * self.rate

    def _wait_until_passed(self, due: float) -> None:
        while True:
            with self.lock:
                left = due - self._could_pass(time.monotonic())
                wait_s = left / self.rate if self.rate else _LOOK_S
            if left <= 0 or wait_s < _PASSED_S:
                return
            time.sleep(min(wait_s, _LOOK_S))
