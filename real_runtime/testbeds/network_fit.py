"""How fast is a network between all pairs of hosts? The messages that time it, and the fit of what they took."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from edgesim.cluster import Network, Origin
from edgesim.schedule import Op, Payload, Schedule, Task

Pair = tuple[int, int]  # source and destination
Timed = tuple[int, float]  # bytes and seconds of a message


def message_schedule(pairs: Sequence[Pair], nbytes: int) -> Schedule:
    """A message from source to destination for each pair, all at once."""
    programs: list[list[Task]] = [[] for _ in range(1 + max(max(pair) for pair in pairs))]
    for source, destination in pairs:
        message = partial(Task, payload=Payload.WEIGHTS, nbytes=nbytes, stage=0, layers=(0, 0), micro_batch=0)
        programs[source].append(message(op=Op.SEND, rank=source, peers=(destination,)))
        programs[destination].append(message(op=Op.RECV, rank=destination, peers=(source,)))
    return Schedule(tuple(map(tuple, programs)))


def fit_network(
    messages: Mapping[Pair, Sequence[Timed]], both_ways: Mapping[Pair, Timed], ranks: int, *, source: str
) -> Network:
    """A switched network from timed messages.

    ``messages`` holds [(bytes, seconds)] per pair, of three sizes or more: ``seconds = latency + (bytes - burst) /
    rate``. The slope of the larger sizes gives the rate, the smallest message the latency, the intercept the burst. A
    NIC's rate is the best it reached with any peer. ``both_ways`` holds (bytes, seconds) of two messages at once, one
    each way: what they take longer than one alone are the acknowledgements.
    """
    rate = np.zeros((ranks, ranks))
    latency = np.zeros((ranks, ranks))
    bursts = []
    for (i, j), timed in messages.items():
        (small, *large) = sorted(timed)
        slope, intercept = np.polyfit([size for size, _ in large], [seconds for _, seconds in large], 1)
        rate[i, j] = 1 / slope
        latency[i, j] = small[1]
        bursts.append(max(0.0, (latency[i, j] - intercept) * rate[i, j]))
    shares = []
    for (i, j), (nbytes, seconds) in both_ways.items():
        alone_s = (nbytes - np.median(bursts)) / min(rate[i, j], rate[j, i])
        shares.append(max(0.0, (seconds - max(latency[i, j], latency[j, i])) / alone_s - 1))
    return Network.switched(
        transmit_bytes_per_s=[float(row.max()) for row in rate],
        receive_bytes_per_s=[float(column.max()) for column in rate.T],
        latency_s=[[float(s) for s in row] for row in latency],
        goodput=1.0,
        burst_bytes=float(np.median(bursts)),
        acknowledgement=float(np.median(shares)),
        origin=Origin.MEASURED,
        source=source,
    )
