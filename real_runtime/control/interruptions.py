"""What happens when somebody interrupts us? SIGTERM cleans up as Ctrl-C does; neither tears half of a step apart."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_HELD = (signal.SIGINT, signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def terminable() -> Iterator[None]:
    """Within, SIGTERM leaves by way of all clean-up, with exit code 143; unless somebody else handles it already."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not ours:
        yield
        return
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def held_back() -> Iterator[None]:
    """Within, Ctrl-C and SIGTERM wait: what starts or removes several processes is done whole, or not at all."""
    if threading.current_thread() is not threading.main_thread():  # where no signal is handled
        yield
        return
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        for number in _HELD:
            if callable(handler := signal.getsignal(number)):
                before[number] = handler
                signal.signal(number, lambda came_now, frame: came.append(came_now))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
