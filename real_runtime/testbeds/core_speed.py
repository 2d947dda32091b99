"""How fast is a core of this machine? Timed by one rank, and kept for the testbeds that open within some minutes.

What is kept is not trusted for other cores than those it was timed on, nor for long: processors grow warm, and
neighbours of a virtual machine come and go. What other programs disturbed is not kept.
"""

import os
import time

from real_runtime.control.coordinator import Coordinator
from real_runtime.other_load.foreign_load import watching

_TRUSTED_S = 600.0
_Cores = frozenset[int]
_timed: dict[_Cores, tuple[float, float]] = {}  # when, on the monotonic clock, and the FLOP/s


def core_flop_per_s(coordinator: Coordinator, disturbed_above: float) -> float:
    """The FLOP/s of one core in a matrix product. Raises RunError if the rank that times it fails.

    One rank alone does: together they would take each other's caches, and hosts would be faster than they should.
    """
    cores = frozenset(os.sched_getaffinity(0))
    at_s, flop_per_s = _timed.get(cores, (float("-inf"), 0.0))
    if time.monotonic() - at_s < _TRUSTED_S:
        return flop_per_s
    with watching(coordinator.pids) as watch:
        begin_s = time.monotonic()
        (core,) = coordinator.ask({0: {"do": "time_core"}})
        end_s = time.monotonic()
    measured = float(core["flop_per_s"])
    if watch is not None and watch.share(begin_s, end_s) <= disturbed_above:
        _timed[cores] = (end_s, measured)
    return measured
