"""What does one rank do at a time? A computation, one end of a message, its part of a collective, or work at a disk."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


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


class StreamKind(StrEnum):
    """What a rank's tasks queue up for."""

    COMPUTE = "compute"
    DISK = "disk"
    COLLECTIVE = "collective"
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
        """A unique name within the schedule: ``1F3@2``, ``1SEND_activation3@2>4``, ``0F0.encoder.1/mlp.in#2@1``."""
        what = f"{self.stage}{self.op}{'' if self.payload is None else f'_{self.payload}'}"
        part = "" if self.micro_batch is None else str(self.micro_batch)
        part += f".{self.block}" if self.block else ""
        part += "" if self.tile is None else f"#{self.tile}"
        arrow = {Op.SEND: ">", Op.RECV: "<"}.get(self.op)
        return f"{what}{part}@{self.rank}" + (f"{arrow}{self.peers[0]}" if arrow else "")

    def __str__(self) -> str:
        return self.name

    @property
    def channel(self) -> Channel | None:
        """The channel of its message or collective; None for a computation and for work at a disk."""
        if self.payload is not None:
            return CHANNEL[self.payload]
        return Channel.WEIGHTS if self.op in COLLECTIVE else None

    @property
    def stream(self) -> Stream:
        """The queue of this rank in which the task waits its turn."""
        if self.op in COMPUTE:
            return COMPUTE_STREAM
        if self.op in DISK:
            return Stream(StreamKind.DISK)
        if self.op in COLLECTIVE:
            return Stream(StreamKind.COLLECTIVE, channel=self.channel)
        kind = StreamKind.SEND if self.op is Op.SEND else StreamKind.RECEIVE
        return Stream(kind, peer=self.peers[0], channel=self.channel)

    @property
    def meeting(self) -> tuple[object, ...]:
        """What the two ends of a message, or the members of a collective, have in common."""
        ends: tuple[object, ...]
        if self.op in COLLECTIVE:
            ends = (self.op, self.stage, self.peers)
        else:
            ends = (self.rank, self.peers[0]) if self.op is Op.SEND else (self.peers[0], self.rank)
        return (*ends, self.payload, self.layers, self.block, self.micro_batch, self.tile)
