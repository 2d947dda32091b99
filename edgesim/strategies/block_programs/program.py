"""What does one rank's program say, task by task? Computations of blocks, and the exchanges between them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgesim.block_passes.division import Place, Span
from edgesim.block_passes.steps import ComputeStep
from edgesim.plan import Stage
from edgesim.schedule import Op, Payload, Task
from edgesim.strategies.block_programs.collectives import CollectiveAlgorithm, Hop, gather, scatter

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileMessages:
    """Messages that carry tiles of one block, or partial sums of them.

    Attributes:
        block: ``layer/block`` or ``layer/block.part``, as it stands in tasks.
        nbytes: [tile] bytes of each message.
        tokens: [tile] which tokens it carries; (0, 0) for all.
        posted: what every receive waits for.
    """

    payload: Payload
    layer: int
    block: str
    nbytes: Sequence[int]
    tokens: Sequence[Span]
    posted: Names


class RankProgram:
    """The tasks of one rank of a stage that divides blocks, in the order in which they are written.

    An exchange does not start a computation: what must have come before the next one is put into ``ready``.
    """

    def __init__(self, stage: Stage, rank: int, algorithm: CollectiveAlgorithm) -> None:
        self.stage, self.rank, self.algorithm = stage, rank, algorithm
        self.me, self.n = stage.ranks.index(rank), len(stage.ranks)
        self.tasks: list[Task] = []
        self.micro_batch: int | None = None  # of what is written now; None for an update
        self.ready: Names = ()  # what the next computation waits for, beside those before it
        # The last two computations. What an exchange receives is posted once the one before the last is done: its
        # buffers need not live longer, and the peers find it posted while this rank still computes.
        self.before, self.last = "", ""

    @property
    def posted(self) -> Names:
        """The names of the tasks that a receive of the next exchange waits for."""
        return (self.before,) if self.before else ()

    def compute(self, step: ComputeStep, *, tokens: Span, units: Span, tile: int | None = None) -> str:
        """Write a rank's share of a step, or one tile of it, which waits for what is ready; return its name."""
        layer = step.place.index
        task = Task(
            op=step.op,
            rank=self.rank,
            stage=0,
            layers=(layer, layer + 1),
            block=step.name,
            micro_batch=self.micro_batch,
            tile=tile,
            samples=(0, 0) if step.op is Op.UPDATE else self.stage.sample_range(self.rank),
            tokens=tokens,
            units=units,
            needs=tuple(dict.fromkeys(self.ready)),
        )
        self.tasks.append(task)
        self.ready = ()
        self.before, self.last = self.last, task.name
        return task.name

    def exchange(self, hops: Iterable[Hop], messages: TileMessages, own: Mapping[int, Names]) -> dict[int, Names]:
        """Write this rank's ends of the hops; return, of each tile, the receives that bring it or its sums.

        ``own`` says which computations its own part of a tile waits for: a tile is sent on when that and all that was
        received of it are there.
        """
        received: defaultdict[int, Names] = defaultdict(tuple)
        for hop in hops:
            if hop.source == self.me:
                needs = (*own.get(hop.tile, ()), *received[hop.tile])
                self._message(Op.SEND, hop.destination, hop.tile, messages, needs)
            elif hop.destination == self.me:
                received[hop.tile] += (self._message(Op.RECV, hop.source, hop.tile, messages, messages.posted),)
        return dict(received)

    def _message(self, op: Op, peer: int, tile: int, messages: TileMessages, needs: Names) -> str:
        """Write one end of a message, the other of which is at position ``peer``."""
        task = Task(
            op=op,
            rank=self.rank,
            stage=0,
            layers=(messages.layer, messages.layer + 1),
            block=messages.block,
            micro_batch=self.micro_batch,
            tile=tile,
            samples=self.stage.sample_range(self.rank),
            tokens=messages.tokens[tile],
            payload=messages.payload,
            peers=(self.stage.ranks[peer],),
            nbytes=messages.nbytes[tile],
            needs=needs,
        )
        self.tasks.append(task)
        return task.name

    def gather(self, messages: TileMessages) -> dict[int, Names]:
        """Send every rank's tile to all others: the own tile is the result of the last computation."""
        return self.exchange(gather(self.n, self.algorithm), messages, {self.me: (self.last,)})

    def scatter(self, messages: TileMessages, own: Mapping[int, Names]) -> Names:
        """Send partial sums of all tiles to their owners; return the names of the receives for the own tile."""
        return self.exchange(scatter(self.n, self.algorithm), messages, own).get(self.me, ())

    def all_reduce(self, place: Place, messages: TileMessages) -> Names:
        """Sum the results of the last computation over all ranks; return the names of the tasks that bring the sum.

        A ring's is one task of the block. A star's sums go to the hub, and from there to all: messages of its part.
        """
        if self.n == 1:
            return ()
        if self.algorithm is CollectiveAlgorithm.RING:
            layers = (place.index, place.index + 1)
            return (self.ring(layers, messages.nbytes[0], block=place.name, payload=messages.payload),)
        done, activation = (self.last,), messages.payload is Payload.ACTIVATION
        to_hub = [hop for hop in scatter(self.n, self.algorithm) if hop.tile == 0]
        sums = self.exchange(to_hub, replace(messages, payload=Payload.PARTIAL), {0: done}).get(0, ())
        complete = replace(messages, payload=Payload.TILE) if activation else messages
        from_hub = [hop for hop in gather(self.n, self.algorithm) if hop.tile == 0]
        received = self.exchange(from_hub, complete, {0: (*done, *sums)})
        return sums if self.me == 0 else received[0]

    def ring(self, layers: Span, nbytes: int, *, block: str = "", payload: Payload | None = None) -> str:
        """Write this rank's part of a ring all-reduce of what the last computation gave; return its name.

        Without a block it adds up the gradients of whole layers.
        """
        task = Task(
            op=Op.ALL_REDUCE,
            rank=self.rank,
            stage=0,
            layers=layers,
            block=block,
            micro_batch=self.micro_batch,
            payload=payload,
            samples=self.stage.sample_range(self.rank) if block else (0, 0),
            peers=self.stage.ranks,
            nbytes=nbytes,
            needs=(self.last,),
        )
        self.tasks.append(task)
        return task.name


def all_of(received: Mapping[int, Names]) -> Names:
    """Return the names of the receives of all tiles."""
    return tuple(task for names in received.values() for task in names)
