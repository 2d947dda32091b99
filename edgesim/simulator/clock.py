"""What happens later? One timer in SimPy's queue of events, with one callback."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import simpy

T = TypeVar("T")


class _Timer:
    """As much of a SimPy event as its queue needs: nobody waits for it but one callback, and it cannot fail."""

    __slots__ = ("call", "callbacks", "value")
    _ok = True
    call: Callable[[Any], None]
    callbacks: tuple[Callable[["_Timer"], None], ...]
    value: Any


def _ring(timer: _Timer) -> None:
    timer.call(timer.value)


_RING = (_ring,)


def after(env: simpy.Environment, seconds: float, call: Callable[[T], None], value: T) -> None:
    """Call a function with the value after so many virtual seconds."""
    timer = _Timer()
    timer.callbacks, timer.call, timer.value = _RING, call, value
    env.schedule(cast(simpy.Event, timer), delay=seconds)


def at_the_end_of_this_instant(env: simpy.Environment, call: Callable[[], None]) -> None:
    """Call a function when everything else that happens at this time has happened."""

    def unless_more_happens(_: None) -> None:
        if env.peek() <= env.now:
            after(env, 0.0, unless_more_happens, None)
        else:
            call()

    after(env, 0.0, unless_more_happens, None)
