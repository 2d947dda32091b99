"""What does one rank do at a time? A computation, one end of a message, its part of a collective, or work at a disk."""

from dataclasses import dataclass

from edgesim.schedule.kind import MEETING, MESSAGE, Channel, Kind, Op, Payload, Peers, Stream

MOST_MICRO_BATCHES = 2**31


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
        bucket: where gradients are added up in parts, which part of the stage's layers it is, from the last one on.
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
    bucket: int | None = None
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.op in MESSAGE and (self.payload is None or len(self.peers) != 1 or self.peers[0] == self.rank):
            raise ValueError(
                f"{self.op} of rank {self.rank}: needs a payload and one other rank, "
                f"got {self.payload} and peers {self.peers}"
            )
        if self.op in MEETING and (self.rank not in (own := Peers.of(self.peers)).ranks or len(own.ranks) != len(own)):
            raise ValueError(
                f"{self.op} of rank {self.rank}: needs distinct peers, itself among them, got {self.peers}"
            )
        if self.micro_batch is not None and not 0 <= self.micro_batch < MOST_MICRO_BATCHES:
            raise ValueError(
                f"{self.op} of rank {self.rank}: micro-batches have numbers from 0 to 2^31 - 1, got {self.micro_batch}"
            )
        if self.nbytes < 0:
            raise ValueError(f"{self.op} of rank {self.rank}: bytes must be >= 0, got {self.nbytes}")

    @property
    def kind(self) -> Kind:
        """All that the task says but its micro-batch and its needs."""
        return Kind(
            self.op,
            self.rank,
            self.stage,
            self.layers,
            self.block,
            self.tile,
            self.samples,
            self.tokens,
            self.units,
            self.payload,
            self.peers,
            self.nbytes,
            self.bucket,
        )

    @property
    def name(self) -> str:
        """A unique name within the schedule: ``1F3@2``, ``1SEND_activation3@2>4``, ``0F0.encoder.1/mlp.in#2@1``."""
        before, after = self.kind.name_around
        return f"{before}{'' if self.micro_batch is None else self.micro_batch}{after}"

    def __str__(self) -> str:
        return self.name

    @property
    def channel(self) -> Channel | None:
        """The channel of its message or collective; None for a computation and for work at a disk."""
        return self.kind.channel

    @property
    def stream(self) -> Stream:
        """The queue of this rank in which the task waits its turn."""
        return self.kind.stream

    @property
    def meeting(self) -> tuple[object, ...]:
        """What the two ends of a message, or the members of a collective, have in common."""
        return (*self.kind.meeting, self.micro_batch)
