"""What is there to do, whatever the micro-batch? Kinds of tasks: what they compute or carry, where they queue up."""

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from edgesim.since_3_11 import StrEnum


class Op(StrEnum):
    """What a task does."""

    F = "F"
    B = "B"
    RECOMPUTE = "RECOMPUTE"
    UPDATE = "UPDATE"
    SEND = "SEND"
    RECV = "RECV"
    ALL_REDUCE = "ALL_REDUCE"
    ALL_GATHER = "ALL_GATHER"
    REDUCE_SCATTER = "REDUCE_SCATTER"
    CACHE_READ = "CACHE_READ"
    CACHE_WRITE = "CACHE_WRITE"
    COMMIT = "COMMIT"


COMPUTE = frozenset({Op.F, Op.B, Op.RECOMPUTE, Op.UPDATE})
"""What a rank computes, one after the other."""
MESSAGE = frozenset({Op.SEND, Op.RECV})
"""The two ends of a message between two ranks."""
COLLECTIVE = frozenset({Op.ALL_REDUCE, Op.ALL_GATHER, Op.REDUCE_SCATTER})
"""What several ranks do together, in ring order."""
MEETING = COLLECTIVE | {Op.COMMIT}
"""What several ranks begin together; a commit is told over the control channel, and puts nothing on the network."""
DISK = frozenset({Op.CACHE_READ, Op.CACHE_WRITE})
"""What moves activations from and to a rank's own disk."""


class Payload(StrEnum):
    """What a message carries.

    A tile is some rank's tokens, complete; a partial sum lacks other ranks' heads or columns; a vocabulary message says
    what a rank's columns of it make of tokens: the best of them, or the sums that a loss needs. Tied is the gradient of
    weights that layers of several stages share.
    """

    ACTIVATION = "activation"
    GRADIENT = "gradient"
    KV = "kv"
    TILE = "tile"
    PARTIAL = "partial"
    VOCABULARY = "vocabulary"
    WEIGHTS = "weights"
    CACHE = "cache"
    TIED = "tied"


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
    Payload.TIED: Channel.WEIGHTS,
}


class StreamKind(StrEnum):
    """What a rank's tasks queue up for."""

    COMPUTE = "compute"
    DISK = "disk"
    COLLECTIVE = "collective"
    CONTROL = "control"
    SEND = "send to"
    RECEIVE = "receive from"


class Stream(NamedTuple):
    """One queue of a rank: for its processor, for its disk, or for a channel of all or to or from one peer."""

    kind: StreamKind
    peer: int | None = None
    channel: Channel | None = None

    def __str__(self) -> str:
        peer = "" if self.peer is None else f" {self.peer}"
        return f"{self.kind}{peer}" + ("" if self.channel is None else f"/{self.channel}")


COMPUTE_STREAM = Stream(StreamKind.COMPUTE)
"""The stream of all that a rank computes."""


class Peers(tuple[int, ...]):
    """Distinct ranks in ring order, in one object that all members of a collective share."""

    @cached_property
    def ranks(self) -> frozenset[int]:
        """The same ranks, for looking up."""
        return frozenset(self)

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash  # ten thousand members ask for it

    @classmethod
    def of(cls, peers: Iterable[int]) -> "Peers":
        """Return the ring itself, or one made of these ranks."""
        return peers if isinstance(peers, cls) else cls(peers)


class Kind(NamedTuple):
    """All that a task says but its micro-batch and its needs; the fields are those of a Task."""

    op: Op
    rank: int
    stage: int
    layers: tuple[int, int]
    block: str = ""
    tile: int | None = None
    samples: tuple[int, int] = (0, 0)
    tokens: tuple[int, int] = (0, 0)
    units: tuple[int, int] = (0, 0)
    payload: Payload | None = None
    peers: tuple[int, ...] = ()
    nbytes: int = 0
    bucket: int | None = None

    @property
    def name_around(self) -> tuple[str, str]:
        """What stands before and behind the micro-batch in the names of such tasks."""
        before = f"{self.stage}{self.op}{'' if self.payload is None else f'_{self.payload}'}"
        part = f".{self.block}" if self.block else ""
        part += "" if self.tile is None else f"#{self.tile}"
        part += "" if self.bucket is None else f":{self.bucket}"
        arrow = {Op.SEND: ">", Op.RECV: "<"}.get(self.op)
        return before, f"{part}@{self.rank}" + (f"{arrow}{self.peers[0]}" if arrow else "")

    @property
    def channel(self) -> Channel | None:
        """The channel of its message or collective; None for a computation and for work at a disk."""
        if self.payload is not None:
            return CHANNEL[self.payload]
        return Channel.WEIGHTS if self.op in COLLECTIVE else None

    @property
    def stream(self) -> Stream:
        """The queue of the rank in which such tasks wait their turn."""
        if self.op in COMPUTE:
            return COMPUTE_STREAM
        if self.op in DISK:
            return Stream(StreamKind.DISK)
        if self.op is Op.COMMIT:
            return Stream(StreamKind.CONTROL)
        if self.op in COLLECTIVE:
            return Stream(StreamKind.COLLECTIVE, channel=self.channel)
        way = StreamKind.SEND if self.op is Op.SEND else StreamKind.RECEIVE
        return Stream(way, peer=self.peers[0], channel=self.channel)

    @property
    def meeting(self) -> tuple[object, ...]:
        """What the two ends of a message, or the members of a collective, have in common but the micro-batch."""
        ends: tuple[object, ...]
        if self.op in MEETING:
            ends = (self.op, self.stage, self.peers)
        else:
            ends = (self.rank, self.peers[0]) if self.op is Op.SEND else (self.peers[0], self.rank)
        return (*ends, self.payload, self.layers, self.block, self.tile)
