"""How long does a call take? Seconds of the processor where it is long, seconds right after another call where not."""

import gc
from collections.abc import Callable
from time import perf_counter, process_time


def cpu_s(call: Callable[[], object]) -> float:
    """CPU seconds of one call, on a clean heap."""
    gc.collect()
    begin_s = process_time()
    call()
    return process_time() - begin_s


def second_call_s(call: Callable[[], object]) -> float:
    """The seconds of a call right after another, as SimGrid's rounds are; garbage is collected in between."""
    call()
    gc.collect(0)
    gc.disable()
    start_s = perf_counter()
    call()
    took_s = perf_counter() - start_s
    gc.enable()
    return took_s
