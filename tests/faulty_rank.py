"""A rank in which a fault can be planted: at SIGUSR1, its next computation does what EDGESIM_FAULT names.

The fork server of such ranks is started in place of ``python -m real_runtime``; all else is the runtime's own.
"""

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from real_runtime import pacing
from real_runtime.__main__ import live, main
from real_runtime.control.forking.server import Given

RANK = (sys.executable, "-P", str(Path(__file__)))


def hang() -> None:
    """Sleep for ever, as a thread that waits for a lock of its own does; other threads go on."""
    while True:
        time.sleep(3600)


def spin() -> None:
    """Compute for ever; other threads go on."""
    while True:
        sum(range(1000))


def hold_the_lock() -> None:
    """Compute for ever without letting Python's lock go: a regular expression that never comes to an end."""
    re.match(r"(a|aa)+$", "a" * 200 + "b")


def sleep_with_the_lock() -> None:
    """Sleep for ever without letting Python's lock go."""
    ctypes.PyDLL(None).sleep(3600)


def leave() -> None:
    """End the process as an exit in some library does."""
    os._exit(3)


def fail() -> None:
    """Raise what nobody expects."""
    raise KeyError("planted")


def devour() -> None:
    """Take memory until there is none."""
    taken = []
    while True:
        taken.append(b"x" * 20_000_000)
        time.sleep(0.001)


FAULTS: dict[str, Callable[[], None]] = {
    "hang": hang,
    "spin": spin,
    "hold the lock": hold_the_lock,
    "sleep with the lock": sleep_with_the_lock,
    "exit": leave,
    "exception": fail,
    "out of memory": devour,
}


struck: list[int] = []  # the signals that have come


class Planted(pacing.Dilation):
    """Does each computation, unless a fault was asked for."""

    def run(self, work: Callable[[], Any], *how: Any, **more: Any) -> Any:
        """As the class above, after the fault."""
        return super().run(FAULTS[os.environ["EDGESIM_FAULT"]] if struck else work, *how, **more)


def live_in_danger(given: Given) -> None:
    """As any rank does."""
    signal.signal(signal.SIGUSR1, lambda number, frame: struck.append(number))
    live(given)


if __name__ == "__main__":
    pacing.Dilation = Planted  # type: ignore[misc]
    from real_runtime import chain  # which loads what asks for it, and PyTorch

    class PlantedClock(chain.HostClock):
        """Rests after each timed pass, unless a fault was asked for."""

        def rest(self, since_s: float) -> None:
            """As the class above, after the fault."""
            FAULTS[os.environ["EDGESIM_FAULT"]]() if struck else super().rest(since_s)

    chain.HostClock = PlantedClock  # type: ignore[misc]
    main(live_in_danger)
