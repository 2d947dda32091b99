"""When does each rank do what? The score that the simulator and the runtime both play; it holds no seconds.

A task starts when its ``needs`` are done and its stream is free. A rank has one compute stream, one disk stream, and
for every peer and channel one stream per direction: what one connection carries, in order. A message starts when its
send and its receive are both ready (rendezvous); a collective starts when all its members are.

Tasks print as ``2F0@1``: stage 2, forward of micro-batch 0, on rank 1. Roughly, on a stage's module and its tensors:

    F         outputs[m] = module(inputs[m])
    B         input_gradients[m] = backward(outputs[m], output_gradients[m])
    UPDATE    optimiser step over the stage's parameters
    SEND      the peer's RECV gets samples a:b of a tensor
    RECV      samples a:b of a tensor arrive from the peer
    ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER   over all peers, in ring order
    CACHE_READ, CACHE_WRITE                  activations from and to disk
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from edgesim.errors import ScheduleError


class Op(StrEnum):
    """What a task does."""

    F = "F"
    B = "B"
    UPDATE = "UPDATE"
    SEND = "SEND"
    RECV = "RECV"
    ALL_REDUCE = "ALL_REDUCE"
    ALL_GATHER = "ALL_GATHER"
    REDUCE_SCATTER = "REDUCE_SCATTER"
    CACHE_READ = "CACHE_READ"
    CACHE_WRITE = "CACHE_WRITE"


COMPUTE = frozenset({Op.F, Op.B, Op.UPDATE})
MESSAGE = frozenset({Op.SEND, Op.RECV})
COLLECTIVE = frozenset({Op.ALL_REDUCE, Op.ALL_GATHER, Op.REDUCE_SCATTER})
DISK = frozenset({Op.CACHE_READ, Op.CACHE_WRITE})


class Payload(StrEnum):
    """What a message carries.

    A tile is some rank's tokens, complete; a partial sum lacks other ranks' heads or columns; a vocabulary message says
    what a rank's columns of it make of tokens: the best of them, or the sums that a loss needs.
    """

    ACTIVATION = "activation"
    GRADIENT = "gradient"
    KV = "kv"
    TILE = "tile"
    PARTIAL = "partial"
    VOCABULARY = "vocabulary"
    WEIGHTS = "weights"
    CACHE = "cache"


class Channel(StrEnum):
    """Which connection carries a message; messages of different channels never wait for each other's order."""

    FORWARD = "forward"
    BACKWARD = "backward"
    WEIGHTS = "weights"


CHANNEL = {
    Payload.ACTIVATION: Channel.FORWARD,
    Payload.KV: Channel.FORWARD,
    Payload.TILE: Channel.FORWARD,
    Payload.PARTIAL: Channel.FORWARD,
    Payload.VOCABULARY: Channel.FORWARD,
    Payload.GRADIENT: Channel.BACKWARD,
    Payload.WEIGHTS: Channel.WEIGHTS,
    Payload.CACHE: Channel.WEIGHTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing that one rank does.

    Attributes:
        layers: half-open range computed; of a message, the boundary (b, b) it crosses, or the layer of its block.
        block: ``layer/block`` or ``layer/block.part``, where a strategy works on blocks.
        tile: whose part of the tokens it is, as a position among the ranks of the stage.
        samples: half-open range of the micro-batch.
        tokens: half-open range of the sequence; (0, 0) where it is all of it.
        units: half-open range of the block's heads or columns; (0, 0) where it is all of them.
        peers: SEND: the receiver. RECV: the sender. Collective: all members in ring order.
        nbytes: bytes of the message; of a collective, bytes of the whole tensor; 0 for computation.
        needs: names of tasks of this rank that must be done before.
    """

    op: Op
    rank: int
    stage: int
    layers: tuple[int, int]
    block: str = ""
    micro_batch: int | None = None
    tile: int | None = None
    samples: tuple[int, int] = (0, 0)
    tokens: tuple[int, int] = (0, 0)
    units: tuple[int, int] = (0, 0)
    payload: Payload | None = None
    peers: tuple[int, ...] = ()
    nbytes: int = 0
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.op in MESSAGE and (self.payload is None or len(self.peers) != 1 or self.peers[0] == self.rank):
            raise ValueError(
                f"{self.op} of rank {self.rank}: needs a payload and one other rank, "
                f"got {self.payload} and peers {self.peers}"
            )
        if self.op in COLLECTIVE and (self.rank not in self.peers or len(set(self.peers)) != len(self.peers)):
            raise ValueError(
                f"{self.op} of rank {self.rank}: needs distinct peers, itself among them, got {self.peers}"
            )
        if self.nbytes < 0:
            raise ValueError(f"{self.op} of rank {self.rank}: bytes must be >= 0, got {self.nbytes}")

    @property
    def name(self) -> str:
        """Unique within a schedule: ``1F3@2``, ``1SEND_activation3@2>4``, ``0F0.encoder.1/mlp.in#2@1``."""
        what = f"{self.stage}{self.op}{'' if self.payload is None else f'_{self.payload}'}"
        part = "" if self.micro_batch is None else str(self.micro_batch)
        part += f".{self.block}" if self.block else ""
        part += "" if self.tile is None else f"#{self.tile}"
        arrow = {Op.SEND: ">", Op.RECV: "<"}.get(self.op)
        return f"{what}{part}@{self.rank}" + (f"{arrow}{self.peers[0]}" if arrow else "")

    def __str__(self) -> str:
        return self.name

    @property
    def stream(self) -> str:
        """The queue of this rank in which the task waits its turn."""
        if self.op in COMPUTE:
            return "compute"
        if self.op in DISK:
            return "disk"
        if self.op in COLLECTIVE:
            return f"collective/{Channel.WEIGHTS if self.payload is None else CHANNEL[self.payload]}"
        assert self.payload is not None, f"{self.name}: a message has a payload"
        return f"{'send to' if self.op is Op.SEND else 'receive from'} {self.peers[0]}/{CHANNEL[self.payload]}"

    @property
    def meeting(self) -> tuple[object, ...]:
        """What the two ends of a message, or the members of a collective, have in common."""
        ends: tuple[object, ...]
        if self.op in COLLECTIVE:
            ends = (self.op, self.stage, self.peers)
        else:
            ends = (self.rank, self.peers[0]) if self.op is Op.SEND else (self.peers[0], self.rank)
        return (*ends, self.payload, self.layers, self.block, self.micro_batch, self.tile)

    def line(self) -> str:
        """The task as one line of text; :meth:`parse` reads it back."""
        words = [self.name, f"layers={self.layers[0]}:{self.layers[1]}", f"samples={self.samples[0]}:{self.samples[1]}"]
        for name, (start, stop) in (("tokens", self.tokens), ("units", self.units)):
            if stop:
                words.append(f"{name}={start}:{stop}")
        if self.op in COLLECTIVE:
            words.append(f"peers={','.join(map(str, self.peers))}")
        if self.nbytes:
            words.append(f"bytes={self.nbytes}")
        if self.needs:
            words.append(f"needs={','.join(self.needs)}")
        return " ".join(words)

    @classmethod
    def parse(cls, line: str) -> "Task":
        """Read a line of :meth:`line`. Raises ScheduleError."""
        try:
            return cls._parse(*line.split())
        except (KeyError, TypeError, ValueError) as error:
            expected = "expected something like '1F3@2 layers=0:2 samples=0:4'"
            raise ScheduleError(f"not a task: {line.strip()!r} ({expected}; {error})") from None

    @classmethod
    def _parse(cls, name: str, *words: str) -> "Task":
        if (found := _NAME.fullmatch(name)) is None:
            raise ValueError(f"{name} is not the name of a task")
        value = dict(word.split("=", 1) for word in words)
        peers = found["peer"] or value.get("peers", "")
        return cls(
            op=Op(found["op"]),
            rank=int(found["rank"]),
            stage=int(found["stage"]),
            layers=_pair(value["layers"]),
            block=found["block"] or "",
            micro_batch=_int(found["micro_batch"]),
            tile=_int(found["tile"]),
            samples=_pair(value["samples"]),
            tokens=_pair(value.get("tokens", "0:0")),
            units=_pair(value.get("units", "0:0")),
            payload=Payload(found["payload"]) if found["payload"] else None,
            peers=tuple(int(peer) for peer in peers.split(",") if peer),
            nbytes=int(value.get("bytes", 0)),
            needs=tuple(value["needs"].split(",")) if "needs" in value else (),
        )


_NAME = re.compile(
    r"(?P<stage>\d+)(?P<op>" + "|".join(sorted(Op, key=len, reverse=True)) + r")(?:_(?P<payload>[a-z]+))?"
    r"(?P<micro_batch>\d+)?(?:\.(?P<block>[\w./-]+))?(?:#(?P<tile>\d+))?@(?P<rank>\d+)(?:[<>](?P<peer>\d+))?"
)


def _pair(text: str) -> tuple[int, int]:
    start, stop = text.split(":")
    return int(start), int(stop)


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A schedule with numbers for names: what both the check and the engine walk.

    A *node* is what starts at once: a computation, the two ends of a message, or all members of a collective.

    Attributes:
        tasks: all tasks, rank by rank.
        node_of: [task] its node.
        members: [node] its tasks; of a message (send, receive).
        waits: [node] how many ends it waits for.
        unlocks: [node] nodes that wait for its end; of a message, for the end of its receive.
        sent_unlocks: [node] of a message, nodes that wait for the end of its send only.
    """

    tasks: tuple[Task, ...]
    node_of: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    waits: tuple[int, ...]
    unlocks: tuple[tuple[int, ...], ...]
    sent_unlocks: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Schedule:
    """One program per rank."""

    programs: tuple[tuple[Task, ...], ...]

    def __iter__(self) -> Iterator[Task]:
        for program in self.programs:
            yield from program

    def __len__(self) -> int:
        return sum(len(program) for program in self.programs)

    def __str__(self) -> str:
        return f"schedule of {len(self)} tasks on {len(self.programs)} ranks, {self.hash[:12]}"

    @cached_property
    def graph(self) -> Graph:
        """The checked dependencies. Raises ScheduleError on anything that cannot be played."""
        return _graph(self)

    def check(self) -> None:
        """Raise ScheduleError on a misplaced or doubled task, an unknown need, unequal ends, or a deadlock."""
        _ = self.graph

    def to_text(self) -> str:
        """The schedule for people and for the wire: a header per rank, a line per task."""
        return "".join(
            f"rank {rank}\n" + "".join(f"  {task.line()}\n" for task in program)
            for rank, program in enumerate(self.programs)
        )

    @classmethod
    def from_text(cls, text: str) -> "Schedule":
        """Read what :meth:`to_text` wrote."""
        programs: list[list[Task]] = []
        for line in text.splitlines():
            if line.startswith("rank "):
                programs.append([])
            elif line.strip() and not programs:
                raise ScheduleError(f"not a schedule: expected 'rank 0' first, got {line!r}")
            elif line.strip():
                programs[-1].append(Task.parse(line))
        return cls(tuple(tuple(program) for program in programs))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the text; all ranks compare it before the first task."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()


def _graph(schedule: Schedule) -> Graph:
    tasks = tuple(schedule)
    number = _numbers(schedule, tasks)
    members = _members(tasks)
    _refuse_swapped(schedule)
    node_of = [0] * len(tasks)
    for node, ends in enumerate(members):
        for end in ends:
            node_of[end] = node
    before: list[dict[tuple[int, bool], None]] = [{} for _ in members]  # a dict keeps order and drops doubles

    def wait(later: int, earlier: int) -> None:
        before[node_of[later]][node_of[earlier], tasks[earlier].op is Op.SEND] = None

    for i, task in enumerate(tasks):
        for need in task.needs:
            if need not in number:
                raise ScheduleError(f"{task} needs {need}, which no rank runs")
            if tasks[number[need]].rank != task.rank:
                raise ScheduleError(
                    f"{task} needs {need} of rank {tasks[number[need]].rank}: only a message can cross ranks"
                )
            wait(i, number[need])
    queues: dict[tuple[int, str], list[int]] = defaultdict(list)
    for i, task in enumerate(tasks):
        if task.op is not Op.RECV:  # receives are posted ahead; their order is that of the sends
            queues[task.rank, task.stream].append(i)
    for queue in queues.values():
        for first, then in pairwise(queue):
            wait(then, first)
    _refuse_deadlock(tasks, members, before)
    unlocks: tuple[list[list[int]], list[list[int]]] = ([[] for _ in members], [[] for _ in members])
    for node, earlier in enumerate(before):
        for other, sent in earlier:
            unlocks[sent][other].append(node)
    return Graph(
        tasks=tasks,
        node_of=tuple(node_of),
        members=members,
        waits=tuple(map(len, before)),
        unlocks=tuple(map(tuple, unlocks[False])),
        sent_unlocks=tuple(map(tuple, unlocks[True])),
    )


def _numbers(schedule: Schedule, tasks: tuple[Task, ...]) -> dict[str, int]:
    for rank, program in enumerate(schedule.programs):
        for task in program:
            if task.rank != rank:
                raise ScheduleError(f"{task} stands in the program of rank {rank}")
    number: dict[str, int] = {}
    for i, task in enumerate(tasks):
        if number.setdefault(task.name, i) != i:
            raise ScheduleError(f"{task} stands twice in the schedule")
    return number


def _members(tasks: tuple[Task, ...]) -> tuple[tuple[int, ...], ...]:
    """Tasks grouped by what starts at once."""
    groups: dict[object, list[int]] = {}
    for i, task in enumerate(tasks):
        groups.setdefault(i if task.op in COMPUTE or task.op in DISK else task.meeting, []).append(i)
    for ends in groups.values():
        first = tasks[ends[0]]
        if first.op in MESSAGE:
            ends.sort(key=lambda i: tasks[i].op is Op.RECV)
            if [tasks[i].op for i in ends] != [Op.SEND, Op.RECV]:
                raise ScheduleError(
                    f"{first} has no {'RECV' if first.op is Op.SEND else 'SEND'} on rank {first.peers[0]}"
                )
        elif first.op in COLLECTIVE and sorted(tasks[i].rank for i in ends) != sorted(first.peers):
            raise ScheduleError(f"{first} is for ranks {first.peers}, but only {[tasks[i].rank for i in ends]} run it")
        if len({tasks[i].nbytes for i in ends}) > 1:
            raise ScheduleError("unequal bytes: " + ", ".join(f"{tasks[i]} has {tasks[i].nbytes} B" for i in ends))
        if first.op in MESSAGE and tasks[ends[0]].samples != tasks[ends[1]].samples:
            raise ScheduleError("unequal samples: " + ", ".join(f"{tasks[i]} has {tasks[i].samples}" for i in ends))
    return tuple(tuple(ends) for ends in groups.values())


def _refuse_swapped(schedule: Schedule) -> None:
    """Raise ScheduleError if a connection's receives are not in the order of its sends: it is first in, first out."""
    sent: dict[tuple[int, int, Channel], list[Task]] = defaultdict(list)
    received: dict[tuple[int, int, Channel], list[Task]] = defaultdict(list)
    for task in schedule:
        if task.op is Op.SEND and task.payload is not None:
            sent[task.rank, task.peers[0], CHANNEL[task.payload]].append(task)
        elif task.op is Op.RECV and task.payload is not None:
            received[task.peers[0], task.rank, CHANNEL[task.payload]].append(task)
    for connection, sends in sent.items():
        for send, receive in zip(sends, received[connection], strict=True):
            if send.meeting != receive.meeting:
                raise ScheduleError(
                    f"{send} comes first on its connection ({connection[2]}), but rank {receive.rank} expects {receive}"
                )


def _refuse_deadlock(
    tasks: tuple[Task, ...], members: tuple[tuple[int, ...], ...], before: list[dict[tuple[int, bool], None]]
) -> None:
    """Raise ScheduleError naming a cycle of tasks that wait for each other."""
    graph = {node: {other for other, _ in earlier} for node, earlier in enumerate(before)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names = [str(tasks[members[node][0]]) for node in reversed(error.args[1])]
        raise ScheduleError("deadlock: " + " waits for ".join(names)) from None
