"""How fast is a network between all pairs of hosts? The messages and rings that time it, and what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median

import numpy as np

from edgesim.cluster import Network, Origin
from edgesim.ring import ring_steps, ring_traffic
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.trace import Trace

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


def circuit(ranks: int) -> list[Pair]:
    """A walk along every link once, each way, back to where it began.

    >>> circuit(3)
    [(0, 2), (2, 1), (1, 2), (2, 0), (0, 1), (1, 0)]
    """
    ahead = {rank: [peer for peer in range(ranks) if peer != rank] for rank in range(ranks)}
    under_way, walk = [0], list[int]()
    while under_way:
        if peers := ahead[under_way[-1]]:
            under_way.append(peers.pop())
        else:
            walk.append(under_way.pop())
    return list(pairwise(reversed(walk)))


def relay_schedule(ranks: int, large: int, small: int) -> Schedule:
    """Messages from hand to hand, each sent when the one before has arrived: over every link a large and a small one.

    They take turns, so that who waits for a small one has waited for long, as in a run, and no two messages that follow
    each other take the same direction of a NIC.
    """
    programs: list[list[Task]] = [[] for _ in range(ranks)]
    links, before = circuit(ranks), tuple[str, ...]()
    for leg, (source, destination) in enumerate([*links, *links]):
        nbytes = large if (leg + leg // len(links)) % 2 == 0 else small
        message = partial(Task, payload=Payload.WEIGHTS, nbytes=nbytes, stage=0, layers=(0, 0), micro_batch=leg)
        receive = message(op=Op.RECV, rank=destination, peers=(source,))
        programs[source].append(message(op=Op.SEND, rank=source, peers=(destination,), needs=before))
        programs[destination].append(receive)
        before = (receive.name,)
    return Schedule(tuple(map(tuple, programs)))


def ring_schedule(ranks: int, nbytes: int) -> Schedule:
    """An all-reduce of all ranks."""
    ring = partial(Task, op=Op.ALL_REDUCE, stage=0, layers=(0, 0), peers=tuple(range(ranks)), nbytes=nbytes)
    return Schedule(tuple((ring(rank=rank),) for rank in range(ranks)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """What relays took: of every link [(bytes, seconds)], and the seconds between a message's arrival and the next."""

    messages: Mapping[Pair, Sequence[Timed]]
    between_s: Sequence[float]


def relayed(traces: Sequence[Trace]) -> Relayed:
    """Messages of relays of any sizes."""
    messages: dict[Pair, list[Timed]] = {}
    between_s: list[float] = []
    for trace in traces:
        legs = sorted((span for span in trace if span.task.op is Op.RECV), key=lambda span: span.task.micro_batch or 0)
        for leg in legs:
            messages.setdefault((leg.task.peers[0], leg.task.rank), []).append((leg.task.nbytes, leg.seconds))
        between_s += [after.start_s - before.end_s for before, after in pairwise(legs)]
    return Relayed(messages=messages, between_s=between_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """Bytes and seconds of all-reduces of all ranks: of next to nothing, and of much."""

    small: Timed
    large: Timed


def fit_network(found: Relayed, rings: Rings, ranks: int, *, source: str) -> Network:
    """A switched network from timed messages and rings.

    Of a link ``seconds = latency + (bytes - burst) / rate``, of messages of three sizes or more: the slope of the
    larger sizes gives the rate, the smallest message the latency, the intercept the burst. A NIC's rate is the best it
    reached with any peer. What hosts need between two messages is the hand-over; a small ring is nothing but its steps;
    what a large one takes longer than these and its bytes are acknowledgements, since every NIC of it sends and
    receives at once.
    """
    rate = np.zeros((ranks, ranks))
    latency = np.zeros((ranks, ranks))
    bursts = []
    for (i, j), timed in found.messages.items():
        sizes = sorted({size for size, _ in timed})
        (small_s, *large_s) = (median(seconds for size, seconds in timed if size == each) for each in sizes)
        slope, intercept = np.polyfit(sizes[1:], large_s, 1)
        rate[i, j] = 1 / slope
        latency[i, j] = small_s
        bursts.append(max(0.0, (small_s - intercept) * rate[i, j]))
    burst, up, down = float(np.median(bursts)), rate.max(axis=1), rate.max(axis=0)
    alone_s = (ring_traffic(ranks) * rings.large[0] - burst) / min(*up, *down)
    acknowledgement = max(0.0, float((rings.large[1] - rings.small[1]) / alone_s) - 1)
    return Network.switched(
        transmit_bytes_per_s=[float(each) for each in up],
        receive_bytes_per_s=[float(each) for each in down],
        latency_s=[[float(s) for s in row] for row in latency],
        goodput=1.0,
        burst_bytes=burst,
        acknowledgement=acknowledgement,
        hand_over_s=max(0.0, median(found.between_s)),
        step_s=rings.small[1] / ring_steps(ranks),
        origin=Origin.MEASURED,
        source=source,
    )
