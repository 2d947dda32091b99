"""How much memory and power did each device take, second by second? Traces as a table of steps.

Columns: player, device, time_s, memory_bytes, power_w; both hold from ``time_s`` until the device's next row.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from edgesim.computing_power import ComputingPower
from edgesim.energy import power_steps
from edgesim.footprint import Footprints
from edgesim.trace import Floats, Trace
from experiments.configuration.setup import Setup


def series(traces: Sequence[Trace], setup: Setup) -> pd.DataFrame:
    """The steps of every device in every trace, zero at the trace's first task."""
    footprints = Footprints(setup.model, setup.workload)
    whose, steps = [], []
    for trace in traces:
        for rank, device in enumerate(setup.cluster.devices):
            own = _steps(trace, setup, rank, footprints)
            steps.append(own)
            whose += [(trace.player, f"{rank} {device.name}")] * len(own)
    columns = ["time_s", "memory_bytes", "power_w"]
    return pd.concat(
        [pd.DataFrame(whose, columns=["player", "device"]), pd.DataFrame(np.concatenate(steps), columns=columns)],
        axis=1,
    )


def _steps(trace: Trace, setup: Setup, rank: int, footprints: Footprints) -> Floats:
    """[step, 3] the seconds since the trace's first task, and the bytes and watts from then on."""
    memory_s, held_bytes = footprints.over_time(trace.of_rank(rank), setup.cluster.devices[rank])
    computing = ComputingPower(setup.cluster.devices, setup.model, setup.workload.tokens)
    power_s, power_w = power_steps(trace, setup.cluster, rank, computing)
    at_s = np.unique(np.concatenate([memory_s, power_s]))
    # Parameters are there before the first task; a rank without work holds none.
    held_before = held_bytes[0] if len(held_bytes) else 0.0
    memory = _at((memory_s, held_bytes), at_s, held_before)
    return np.stack([at_s - trace.first_s, memory, _at((power_s, power_w), at_s, power_w[0])], axis=1)


def _at(steps: tuple[Floats, Floats], at_s: Floats, before: float) -> Floats:
    """The values that hold at these times."""
    times_s, values = steps
    return np.concatenate([[before], values])[np.searchsorted(times_s, at_s, side="right")]
