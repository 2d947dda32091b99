"""How fast is a network between all pairs of hosts? The messages and rings that time it, and what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import fmean, median

import numpy as np

from edgesim.cluster import Network, Origin
from edgesim.ring import ring_steps, ring_traffic
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.trace import Span, Trace

_SMALL_BYTES = 8
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


def relay_schedule(ranks: int, nbytes: int) -> Schedule:
    """A message over every link, each sent when the one before has arrived: no two of them share a NIC's direction."""
    programs: list[list[Task]] = [[] for _ in range(ranks)]
    before: tuple[str, ...] = ()
    for leg, (source, destination) in enumerate(circuit(ranks)):
        send, receive = _message(leg, source, destination, nbytes, needs=before)
        programs[source].append(send)
        programs[destination].append(receive)
        before = (receive.name,)
    return Schedule(tuple(map(tuple, programs)))


def rounds_schedule(ranks: int, rounds: int) -> Schedule:
    """Rounds of a small all-reduce, behind which each of so many ranks tells its right neighbour to begin the next one.

    So threads wait for each other as they do in a run, for about a millisecond, and are handed every task by another.
    """
    programs: list[list[Task]] = [[] for _ in range(ranks)]
    for number in range(rounds):
        rings = [_ring(rank, ranks, _SMALL_BYTES * ranks, number) for rank in range(ranks)]
        if number:
            rings = [replace(ring, needs=(programs[ring.rank][-1].name,)) for ring in rings]
        messages = [
            _message(number, rank, (rank + 1) % ranks, _SMALL_BYTES, needs=(rings[rank].name,)) for rank in range(ranks)
        ]
        for rank, (send, _) in enumerate(messages):
            programs[rank] += [rings[rank], send, messages[rank - 1][1]]
    return Schedule(tuple(map(tuple, programs)))


def ring_schedule(ranks: int, nbytes: int) -> Schedule:
    """An all-reduce of all ranks."""
    return Schedule(tuple((_ring(rank, ranks, nbytes, 0),) for rank in range(ranks)))


def _message(number: int, source: int, destination: int, nbytes: int, needs: tuple[str, ...]) -> tuple[Task, Task]:
    """Both ends of a message; where it is received needs nothing, so that this is announced ahead."""
    # Not on the channel of all-reduces, whose messages have no numbers.
    end = partial(Task, payload=Payload.ACTIVATION, nbytes=nbytes, stage=0, layers=(0, 0), micro_batch=number)
    send = end(op=Op.SEND, rank=source, peers=(destination,), needs=needs)
    return send, end(op=Op.RECV, rank=destination, peers=(source,))


def _ring(rank: int, ranks: int, nbytes: int, number: int) -> Task:
    peers = tuple(range(ranks))
    return Task(op=Op.ALL_REDUCE, rank=rank, stage=0, layers=(0, 0), peers=peers, nbytes=nbytes, micro_batch=number)


def relayed(traces: Sequence[Trace]) -> dict[Pair, list[Timed]]:
    """What the messages of relays took, of any sizes: [(bytes, seconds)] of every link."""
    messages: dict[Pair, list[Timed]] = {}
    for leg in (span for trace in traces for span in trace if span.task.op is Op.RECV):
        messages.setdefault((leg.task.peers[0], leg.task.rank), []).append((leg.task.nbytes, leg.seconds))
    return messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """What next to nothing takes: a message, a step of a ring, and from a task's end until the next one's begin.

    Steps are known of rings of two, of three, up to all.
    """

    message_s: float
    step_s: tuple[float, ...]
    hand_over_s: float


def small(rounds: Sequence[Sequence[Trace]]) -> Small:
    """What rounds took (rounds_schedule) of two ranks, of three, up to all: means, since small costs add up.

    Of several traces it is the median; messages and hand-overs are those of all ranks.
    """
    found = [[_of_rounds(trace, ranks) for trace in traces] for ranks, traces in enumerate(rounds, start=2)]
    steps_s = tuple(median(step_s for _, step_s, _ in each) for each in found)
    message_s, _, hand_over_s = (median(each) for each in zip(*found[-1], strict=True))
    return Small(message_s=message_s, step_s=steps_s, hand_over_s=max(0.0, hand_over_s))


def _of_rounds(trace: Trace, ranks: int) -> tuple[float, float, float]:
    """Mean seconds of a message, of a step of a ring, and between a ring and the message behind it."""
    spans = {span.task.name: span for span in trace}
    rings: dict[int | None, list[Span]] = {}
    sent_s: dict[tuple[int, int | None], float] = {}
    arrived_s = dict(sent_s)
    between_s = []
    for span in spans.values():
        task = span.task
        if task.op is Op.SEND:
            between_s.append(span.start_s - spans[task.needs[0]].end_s)
            sent_s[task.rank, task.micro_batch] = span.start_s
        elif task.op is Op.RECV:
            arrived_s[task.peers[0], task.micro_batch] = span.end_s
        else:
            rings.setdefault(task.micro_batch, []).append(span)
    ring_s = fmean(max(member.end_s for member in ring) - ring[0].start_s for ring in rings.values())
    message_s = fmean(arrived_s[message] - start_s for message, start_s in sent_s.items())
    return message_s, ring_s / ring_steps(ranks), fmean(between_s)


def fit_network(
    messages: Mapping[Pair, Sequence[Timed]], least: Small, ring: Timed, ranks: int, *, source: str
) -> Network:
    """A switched network from timed messages of two sizes or more, from what next to nothing takes, and a large ring.

    Of a link ``seconds = latency + (bytes - burst) / rate``: the slope gives the rate, a small message the latency, the
    intercept the burst. A NIC's rate is the best it reached with any peer. What a large ring takes longer than its
    steps and its bytes are acknowledgements, since every NIC of it sends and receives at once.
    """
    rate = np.zeros((ranks, ranks))
    bursts = []
    for (i, j), timed in messages.items():
        sizes = sorted({size for size, _ in timed})
        taken_s = [median(seconds for size, seconds in timed if size == each) for each in sizes]
        slope, intercept = np.polyfit(sizes, taken_s, 1)
        rate[i, j] = 1 / slope
        bursts.append(max(0.0, (least.message_s - intercept) * rate[i, j]))
    burst, up, down = float(np.median(bursts)), rate.max(axis=1), rate.max(axis=0)
    alone_s = (ring_traffic(ranks) * ring[0] - burst) / min(*up, *down)
    return Network.switched(
        transmit_bytes_per_s=[float(each) for each in up],
        receive_bytes_per_s=[float(each) for each in down],
        latency_s=least.message_s,
        goodput=1.0,
        burst_bytes=burst,
        acknowledgement=max(0.0, float((ring[1] - ring_steps(ranks) * least.step_s[-1]) / alone_s) - 1),
        hand_over_s=least.hand_over_s,
        step_s=least.step_s,
        origin=Origin.MEASURED,
        source=source,
    )
