"""Which threads of a rank run first where processors are shared? Those that pass messages on; computation yields.

gloo's threads ask again and again for a connection that somebody else is just using, and who used it asks again and
again whether they are done with it. Where one of the two has no processor, the other keeps it busy until its time slice
ends: a message of 0.1 ms takes 2 to 5 ms now and then. So all that call or serve gloo precede computation, at one
priority, at which none interrupts another. The kernel grants that to root, and to users with ``ulimit -r 1``; without
it small messages take longer, and more unevenly.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")
_this_thread = threading.local()
_withheld = threading.Event()


def withhold() -> None:
    """Let all threads be equal from now on: a quota that slows a host down does so to whatever it does."""
    _withheld.set()


@contextmanager
def passing_on() -> Iterator[None]:
    """Let this thread precede computation meanwhile: it passes something on, or waits for something to."""
    with _preceding(precedes=True):
        yield


@contextmanager
def computing() -> Iterator[None]:
    """Let this thread be one of many meanwhile, also within :func:`passing_on`."""
    with _preceding(precedes=False):
        yield


@contextmanager
def serving() -> Iterator[None]:
    """Let all threads that come up meanwhile in this process precede computation from then on."""
    before = _threads()
    yield
    for thread in _threads() - before:
        with suppress(ProcessLookupError):  # it has ended since
            _let_precede(thread, precedes=True)


@contextmanager
def _preceding(*, precedes: bool) -> Iterator[None]:
    before = getattr(_this_thread, "precedes", False)
    if precedes is before or not _let_precede(0, precedes=precedes):
        yield
        return
    _this_thread.precedes = precedes
    try:
        yield
    finally:
        _let_precede(0, precedes=before)
        _this_thread.precedes = before


def _let_precede(thread: int, *, precedes: bool) -> bool:
    """Give a thread (0: this one) a priority that its own threads do not inherit; return whether it may have one."""
    if _withheld.is_set() or not hasattr(os, "sched_setscheduler"):
        return False
    policy, priority = (os.SCHED_RR | os.SCHED_RESET_ON_FORK, 1) if precedes else (os.SCHED_OTHER, 0)
    try:
        os.sched_setscheduler(thread, policy, os.sched_param(priority))
    except PermissionError:
        return False
    return True


def _threads() -> set[int]:
    return {int(thread.name) for thread in _THREADS.iterdir()} if _THREADS.exists() else set()
