"""How much of this machine's processors did other programs take while something was measured? By the kernel's clocks.

The share is their processor time, and what a hypervisor gave to others, over the time of all processors. Other programs
are all that /proc shows but the ranks and this process, and but the kernel's threads: these carry the emulated network.

Why not what a rank waited for a processor? Emulated hosts sleep most of the time and catch up (pacing.py), so waiting
hardly delays them. What does is a slower processor, whose caches and hardware threads they share (DESIGN.md, 7).
"""

import os
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from real_runtime.execution import host_of

_EVERY_S = 0.1
_PROC = Path("/proc")
_STEAL = 8  # the column of /proc/stat
_FLAGS, _KERNEL_THREAD = 6, 0x00200000  # the field of /proc/PID/stat, counted behind the name, and its bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Processor seconds of other programs, counted from any beginning, at a time of the monotonic clock."""

    at_s: float
    foreign_s: float


def foreign_share(samples: Sequence[Sample], start_s: float, end_s: float, *, cores: int) -> float:
    """The share of the processors that other programs took from start to end; between samples their load is even.

    Raises ValueError for a time that was not watched.
    """
    if not samples[0].at_s <= start_s < end_s <= samples[-1].at_s:
        raise ValueError(f"load was not watched from {start_s:g} to {end_s:g} s of the monotonic clock")
    first = bisect_right(samples, start_s, key=lambda sample: sample.at_s) - 1  # of hours, those around it
    about = samples[first : bisect_left(samples, end_s, key=lambda sample: sample.at_s) + 1]
    times = [sample.at_s for sample in about]
    before_s, after_s = np.interp([start_s, end_s], times, [sample.foreign_s for sample in about])
    return float(after_s - before_s) / ((end_s - start_s) * cores)


def told(shares: Sequence[float], what: str) -> str:
    """In words, which of some measurements were disturbed; nothing if none was. A share of 0 is one that was not.

    >>> told([0.0, 0.14, 0.07], "iterations")
    '2 of 3 iterations disturbed by other load (up to 14 % of the processors)'
    """
    if not any(shares):
        return ""
    return f"{sum(map(bool, shares))} of {len(shares)} {what} disturbed by other load ({up_to(shares)})"


def up_to(shares: Sequence[float]) -> str:
    """In words, the largest of some shares.

    >>> up_to([0.07, 0.14])
    'up to 14 % of the processors'
    >>> up_to([0.07, HostShare(0.14, host="host pi-a (192.168.1.11)")])
    'up to 14 % of the processors of host pi-a (192.168.1.11)'
    """
    most = max(shares)
    of_host = f" of {host}" if (host := host_of(most)) else ""
    return f"up to {100 * most:.0f} % of the processors{of_host}"


def sourced(measurement: str, disturbance: str) -> str:
    """The source of measured numbers, which says what disturbed the measurement, if anything did."""
    return f"{measurement}; {disturbance}: measure again" if disturbance else measurement


class Watch(Protocol):
    """Knows what other programs take."""

    def sample(self) -> None:
        """Ask what they have taken until now, where that is not asked all the time."""

    def share(self, start_s: float, end_s: float) -> float | None:
        """The share of the processors that they took meanwhile; None where that is not known."""


class LoadWatch:
    """Samples what processes other than ``own`` have used, from its beginning to its end."""

    def __init__(self, own: Collection[int]) -> None:
        self.own = {*own, os.getpid()}
        self.cores = os.cpu_count() or 1
        self.samples: list[Sample] = []
        # What each program had used when it was last seen, for those that end; None for what is no other program.
        self._used_s: dict[int, float | None] = {}
        self._sampling = threading.Lock()

    def sample(self) -> None:
        """Ask the clocks of all processes; one that was not there before has all its seconds from now on."""
        with self._sampling:  # one that samples all the time, and whoever asks for the share until now
            at_s = time.monotonic()
            for pid in map(int, filter(str.isdecimal, os.listdir(_PROC))):
                if pid in self.own:
                    self._used_s[pid] = None
                elif pid not in self._used_s:
                    self._used_s[pid] = None if _is_kernel_thread(pid) else 0.0
                if self._used_s[pid] is not None:
                    with suppress(OSError):  # it has ended since
                        self._used_s[pid] = time.clock_gettime(_cpu_clock(pid))
            used_s = sum(seconds for seconds in self._used_s.values() if seconds is not None)
            self.samples.append(Sample(at_s=at_s, foreign_s=used_s + _stolen_s()))

    def share(self, start_s: float, end_s: float) -> float:
        """The share of the processors that other programs took meanwhile. Raises ValueError outside of the watch."""
        return foreign_share(tuple(self.samples), start_s, end_s, cores=self.cores)  # the thread goes on sampling


@contextmanager
def watching(own: Collection[int]) -> Iterator[LoadWatch | None]:
    """Watch the load beside these processes until it is left; None where the kernel does not tell."""
    if not load_is_known():
        yield None
        return
    watch, over = LoadWatch(own), threading.Event()
    watch.sample()
    thread = threading.Thread(target=_keep_sampling, args=(watch, over), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
    watch.sample()


def _keep_sampling(watch: LoadWatch, over: threading.Event) -> None:
    while not over.wait(_EVERY_S):
        watch.sample()


def load_is_known() -> bool:
    """Whether the kernel tells what processes use: Linux does."""
    return (_PROC / "self/stat").exists() and hasattr(time, "clock_gettime")


def _cpu_clock(pid: int) -> int:
    """The clock of a process's processor time, as the C library's clock_getcpuclockid makes it."""
    return (~pid << 3) | 2


def _is_kernel_thread(pid: int) -> bool:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended since
        return True
    return bool(int(fields[_FLAGS]) & _KERNEL_THREAD)


def _stolen_s() -> float:
    """Seconds that the hypervisor gave to others, of all processors."""
    with (_PROC / "stat").open() as stat:
        return int(stat.readline().split()[_STEAL]) / os.sysconf("SC_CLK_TCK")
