"""What do hosts do while their watts are fitted? One thing at a time for some seconds: nothing, compute, send, disk.

Each segment is one iteration that lasts about as long as asked for, found by a short one before it, so that a meter
reads it often. Hosts take turns: while one works, the others do nothing, which their meters read as well.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

from edgesim.metered import TraceOnClock
from edgesim.metered.power_fit import DISK_SEGMENT, IDLE_SEGMENT, Segment
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.trace import Trace
from real_runtime.assignment import Assignment
from real_runtime.data import DataSpec
from real_runtime.testbeds.shaping import nic_rates
from real_runtime.testbeds.testbed import NO_MODEL, NO_WORK, Testbed

_LARGE_S, _SMALL_BYTES = 0.25, 8  # a large message's seconds on the line, and a message that hardly fills it
_FEW, _MOST_MESSAGES = 20, 20_000  # that are timed first, and that a segment has at most
_MOST_MICRO_BATCHES = 2000
_MOST_BYTES = 64 * 2**20  # of a file

Computes = Callable[[int, int, int, bool], Assignment]
"""Makes an assignment of one rank, by its number, samples of a micro-batch, micro-batches, and whether it only goes
forward."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How long each segment is to last, at which sizes is computed, and where files are written."""

    testbed: Testbed
    computes: Computes
    samples: Sequence[int]
    segment_s: float
    disk_folder: str | None = None
    tells: Callable[[str], object] = lambda what: None

    def play(self) -> list[Segment]:
        """Play all segments. Raises RunError."""
        ranks = range(len(self.testbed.cluster.devices))
        segments = [self._idle()]
        for rank in ranks:
            segments += [self._compute(rank, count, forward) for count in self.samples for forward in (True, False)]
        for rank in ranks if len(ranks) > 1 else ():
            peer = (rank + 1) % len(ranks)
            for size, nbytes in (("large", self._large(rank)), ("small", _SMALL_BYTES)):
                name = f"{size} messages from rank {rank} to rank {peer}"
                segments.append(self._messages(name, [(rank, peer)], nbytes))
        for rank in ranks if len(ranks) > 2 else ranks[:1] if len(ranks) == 2 else ():
            peer = (rank + 1) % len(ranks)
            both = [(rank, peer), (peer, rank)]
            segments.append(self._messages(f"messages of ranks {rank} and {peer} both ways", both, self._large(rank)))
        segments += [self._disk(rank) for rank in ranks]
        return [*segments, self._idle()]

    def _now_s(self) -> float:
        """On the clock of traces."""
        return time.monotonic() / self.testbed.spec.slow_motion

    def _idle(self) -> Segment:
        self.tells(IDLE_SEGMENT)
        start_s = self._now_s()
        time.sleep(self.segment_s * self.testbed.spec.slow_motion)
        return Segment(name=IDLE_SEGMENT, window_s=(start_s, self._now_s()))

    def _compute(self, rank: int, samples: int, forward: bool) -> Segment:
        """Forward passes alone, too: passes in turn are shorter than a meter's period, and could not be told apart."""
        way = "computes forward" if forward else "computes"
        name = f"rank {rank} {way}, {samples} sample{'s' * (samples > 1)} at a time"
        self.tells(name)
        short = self._played(self.computes(rank, samples, _FEW, forward))
        count = min(_MOST_MICRO_BATCHES, max(2, ceil(_FEW * self.segment_s / short.makespan_s)))
        return _segment(name, self._played(self.computes(rank, samples, count, forward)))

    def _messages(self, name: str, pairs: Sequence[tuple[int, int]], nbytes: int) -> Segment:
        self.tells(name)
        short = self._played(_assigned(messages(pairs, nbytes, few := 1 if nbytes > _SMALL_BYTES else _FEW)))
        count = min(_MOST_MESSAGES, max(1, ceil(few * self.segment_s / short.makespan_s)))
        return _segment(name, self._played(_assigned(messages(pairs, nbytes, count))))

    def _large(self, rank: int) -> int:
        return max(1, round(nic_rates(self.testbed.cluster)[rank] * min(_LARGE_S, self.segment_s)))

    def _disk(self, rank: int) -> Segment:
        name = f"{DISK_SEGMENT} of rank {rank}"
        self.tells(name)
        device = self.testbed.cluster.devices[rank]
        rates = (device.disk_bytes_per_s, device.writes_bytes_per_s)
        nbytes = round(min(_MOST_BYTES, max(1.0, self.segment_s / sum(1 / rate for rate in rates))))
        start_s = self._now_s()
        self.testbed.coordinator.ask({rank: {"do": "time_disk", "folder": self.disk_folder, "nbytes": nbytes}})
        return Segment(name=name, window_s=(start_s, self._now_s()), disk_ranks=(rank,))

    def _played(self, assignment: Assignment) -> Trace:
        """The last iteration: the first warms up."""
        return self.testbed.execute(assignment).traces[-1]


def messages(pairs: Sequence[tuple[int, int]], nbytes: int, count: int) -> Schedule:
    """A schedule of messages, one after the other on each way."""
    programs: list[list[Task]] = [[] for _ in range(1 + max(max(pair) for pair in pairs))]
    for source, sink in pairs:
        for number in range(count):
            end = partial(Task, payload=Payload.WEIGHTS, nbytes=nbytes, stage=0, layers=(0, 0), micro_batch=number)
            programs[source].append(end(op=Op.SEND, rank=source, peers=(sink,)))
            programs[sink].append(end(op=Op.RECV, rank=sink, peers=(source,)))
    return Schedule(tuple(map(tuple, programs)))


def _assigned(schedule: Schedule) -> Assignment:
    return Assignment(
        schedule=schedule, model=NO_MODEL, workload=NO_WORK, data=DataSpec(kind="text"), iterations=2, seed=0
    )


def _segment(name: str, trace: Trace) -> Segment:
    assert trace.began_s is not None, "it was played on a testbed"
    played = TraceOnClock(trace=trace, began_s=trace.began_s)
    return Segment(name=name, window_s=played.window_s, played=(played,))
