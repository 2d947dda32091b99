"""How much memory and power did each device take, second by second? Traces as a table of steps.

Columns: player, device, time_s, memory_bytes, power_w; both hold from ``time_s`` until the device's next row.
"""

from bisect import bisect_right
from collections.abc import Sequence

import pandas as pd

from edgesim.energy import power_over_time
from edgesim.footprint import memory_over_time
from edgesim.trace import Trace
from experiments.configuration.setup import Setup

Steps = Sequence[tuple[float, float]]


def series(traces: Sequence[Trace], setup: Setup) -> pd.DataFrame:
    """The steps of every device in every trace, zero at the trace's first task."""
    return pd.DataFrame(
        [
            {"player": trace.player, "device": f"{rank} {device.name}", **row}
            for trace in traces
            for rank, device in enumerate(setup.cluster.devices)
            for row in _rows(trace, setup, rank)
        ]
    )


def _rows(trace: Trace, setup: Setup, rank: int) -> list[dict[str, float]]:
    zero_s = trace.first_s
    memory = memory_over_time(trace.of_rank(rank), setup.model, setup.workload, setup.cluster.devices[rank])
    power = power_over_time(trace, setup.cluster, rank)
    first_bytes = memory[0][1] if memory else 0.0  # parameters are there before the first task; a free rank holds none
    return [
        {
            "time_s": at_s - zero_s,
            "memory_bytes": _at(memory, at_s, first_bytes),
            "power_w": _at(power, at_s, power[0][1]),
        }
        for at_s in sorted({at_s for at_s, _ in (*memory, *power)})
    ]


def _at(steps: Steps, at_s: float, before: float) -> float:
    """The value that holds at a time."""
    place = bisect_right(steps, at_s, key=lambda step: step[0])
    return steps[place - 1][1] if place else before
