"""How is a fast machine made as slow as the device it stands for? Computation sleeps, messages wait for their turn."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")
# Machines and devices are compared by a square matrix product, large enough to run from cache at full speed.
MATRIX = 1024
MATRIX_FLOP = 2.0 * MATRIX**3
# How late a sender may be and still count as continuous: sleeps overshoot by about 0.1 ms, threads by a few.
_SLACK_S = 0.003
_LONG_S = 0.5  # a sleep that others are told of: shorter ones are no sign of anything


class Dilation:
    """Stretches computation to ``fraction`` of one core, by thread CPU time.

    After each task it sleeps until ``CPU time / fraction`` has passed; what a task overshoots, the next one sleeps less
    unless it had to wait for something else. Work of one kind is charged the least CPU time it has taken so far, or
    what it took when it was rehearsed: hosts that share this machine's caches and memory slow each other down, the
    devices they stand for do not. ``rests`` hears until when a long sleep lasts, on the monotonic clock.
    """

    def __init__(self, fraction: float, rests: Callable[[float], object] = lambda until_s: None) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(f"a host's speed must be a fraction of one core in (0, 1], got {fraction:g}")
        self.fraction, self.rests = fraction, rests
        self.due_s = 0.0
        self.least_s: dict[Hashable, float] = {}
        self.charged_s: dict[Hashable, float] = {}

    def forget(self) -> None:
        """Forget all kinds of work, before a new job."""
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
        result = work()
        taken_s = time.thread_time() - cpu_s
        self.least_s[kind] = min(taken_s, self.least_s.get(kind, taken_s))
        target_s = self.charged_s.get(kind, self.least_s[kind] / self.fraction)
        # A task that follows the last one at once starts when that one was due, not when its sleep overshot.
        began_s = self.due_s if start_s - self.due_s < _SLACK_S and not waited else start_s
        self.due_s = began_s + target_s
        if (rest_s := self.due_s - time.monotonic()) > 0:
            if rest_s > _LONG_S:
                self.rests(self.due_s)
            time.sleep(rest_s)
        end_s = time.monotonic()
        self.due_s = max(self.due_s, end_s - _SLACK_S)
        return result, start_s, end_s


class Pacer:
    """One direction of an emulated NIC: bytes of all its messages pass in turn at ``bytes_per_s``.

    Messages ask chunk by chunk, so that messages at the same time share the NIC evenly.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self.free_s = 0.0
        self.lock = threading.Lock()

    def transmit(self, nbytes: int) -> None:
        """Return when the bytes would have left the NIC."""
        with self.lock:
            now_s = time.monotonic()
            self.free_s = (
                max(self.free_s, now_s - _SLACK_S if self.free_s > now_s - _SLACK_S else now_s)
                + nbytes / self.bytes_per_s
            )
            wait_s = self.free_s - now_s
        _sleep(wait_s)

    def receive(self, nbytes: int) -> None:
        """Return when bytes that came in just now would have passed the NIC: at once if it was free while they came."""
        with self.lock:
            now_s = time.monotonic()
            self.free_s = max(self.free_s + nbytes / self.bytes_per_s, now_s)
            wait_s = self.free_s - now_s
        _sleep(wait_s)


def _sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)
