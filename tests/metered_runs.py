"""Runs for meters to read: traces on a machine's clock, and logs whose readings are known."""

from collections.abc import Sequence

import numpy as np
from builders import chain, homogeneous, linear_profile, pipeline_plan, play, switched

from edgesim.metered import Covers, Evidence, MeterFacts, PowerLog, Quantity, TraceOnClock, TrueWatts
from edgesim.trace import Trace

FACTS = MeterFacts(
    source="a sensor",
    covers=Covers.BOARD,
    evidence=Evidence.MEASURED,
    quantity=Quantity.POWER,
    period_s=1.0,
    resolution=0.0,
)
TRUE = TrueWatts(
    idle_w=2.0,
    above_w={"compute F": 4.0, "compute B": 5.0, "compute UPDATE": 3.0, "transmit": 0.7, "receive": 0.4},
)


def log_of(at_s: Sequence[float], value: Sequence[float], *, ranks: Sequence[int] = (0,), **more: object) -> PowerLog:
    """Readings of a sensor once a second; ``more`` says what else its facts are."""
    fields = {name: getattr(FACTS, name) for name in MeterFacts.__dataclass_fields__} | more
    return PowerLog(
        facts=MeterFacts(**fields),  # type: ignore[arg-type]
        ranks=tuple(ranks),
        at_s=np.array(at_s, dtype=np.float64),
        value=np.array(value, dtype=np.float64),
    )


def two_stages(micro_batches: int = 6) -> Trace:
    """An iteration of a pipeline of two hosts: computations of 0.25 s and more, messages of 0.1 s."""
    model, cluster = chain(2, output_bytes=100_000), homogeneous(2, network=switched(2, bytes_per_s=1e6))
    profile = linear_profile(model, cluster, forward_s=0.25, backward_s=0.51, update_s=0.35)
    return play(pipeline_plan(model, micro_batches=micro_batches), model, cluster, profile)


def run_of(trace: Trace, iterations: int, *, began_s: float = 100.0, pause_s: float = 0.3) -> list[TraceOnClock]:
    """Iterations one after the other, with a pause between."""
    return [TraceOnClock(trace=trace, began_s=began_s + i * (trace.makespan_s + pause_s)) for i in range(iterations)]
