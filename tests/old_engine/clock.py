"""What happens later? One timer in SimPy's queue of events, with one callback."""

from collections.abc import Callable
from typing import TypeVar

import simpy

T = TypeVar("T")


def after(env: simpy.Environment, seconds: float, call: Callable[[T], None], value: T) -> None:
    """Call a function with the value after so many virtual seconds."""
    timer = simpy.Timeout(env, seconds)
    assert timer.callbacks is not None, "nobody has run a new event"
    timer.callbacks.append(lambda _: call(value))
