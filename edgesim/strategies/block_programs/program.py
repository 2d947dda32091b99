"""What does one rank's program say, task by task? Computations of blocks, and the exchanges between them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgesim.block_passes.division import Place, Span
from edgesim.block_passes.steps import ComputeStep
from edgesim.schedule import Kind, Op, Payload, Rows
from edgesim.strategies.block_programs.collectives import CollectiveAlgorithm, Hop, gather, scatter
from edgesim.strategies.block_programs.rank_share import RankShare

Tasks = tuple[int, ...]  # of this rank, by their numbers among all tasks


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
    posted: Tasks


class RankProgram:
    """The tasks of one rank of a stage that divides blocks, in the order in which they are written.

    An exchange does not start a computation: what must have come before the next one is put into ``ready``.
    """

    def __init__(self, rows: Rows, share: RankShare, algorithm: CollectiveAlgorithm) -> None:
        self.rows, self.algorithm = rows, algorithm
        self.rank, self.me, self.n, self.ranks = share.rank, share.me, share.n, share.stage.ring
        self.samples = share.stage.stage.sample_range(share.rank)
        self.micro_batch: int | None = None  # of what is written now; None for an update
        self.ready: Tasks = ()  # what the next computation waits for, beside those before it
        # The last two computations. What an exchange receives is posted once the one before the last is done: its
        # buffers need not live longer, and the peers find it posted while this rank still computes.
        self.before: Tasks = ()
        self.last: Tasks = ()

    @property
    def posted(self) -> Tasks:
        """The tasks that a receive of the next exchange waits for."""
        return self.before

    def compute(self, step: ComputeStep, *, tokens: Span, units: Span, tile: int | None = None) -> Tasks:
        """Write a rank's share of a step, or one tile of it, which waits for what is ready; return its task."""
        layer, samples = step.place.index, (0, 0) if step.op is Op.UPDATE else self.samples
        kind = Kind(step.op, self.rank, 0, (layer, layer + 1), step.name, tile, samples, tokens, units)
        task = self.rows.write(kind, self.micro_batch, dict.fromkeys(self.ready))
        self.ready = ()
        self.before, self.last = self.last, (task,)
        return self.last

    def exchange(self, hops: Iterable[Hop], messages: TileMessages, own: Mapping[int, Tasks]) -> dict[int, Tasks]:
        """Write this rank's ends of the hops; return, of each tile, the receives that bring it or its sums.

        ``own`` says which computations its own part of a tile waits for: a tile is sent on when that and all that was
        received of it are there.
        """
        received: defaultdict[int, Tasks] = defaultdict(tuple)
        for hop in hops:
            if hop.source == self.me:
                needs = (*own.get(hop.tile, ()), *received[hop.tile])
                self._message(Op.SEND, hop.destination, hop.tile, messages, needs)
            elif hop.destination == self.me:
                received[hop.tile] += self._message(Op.RECV, hop.source, hop.tile, messages, messages.posted)
        return dict(received)

    def _message(self, op: Op, peer: int, tile: int, messages: TileMessages, needs: Tasks) -> Tasks:
        """Write one end of a message, the other of which is at position ``peer``."""
        kind = Kind(
            op,
            self.rank,
            0,
            (messages.layer, messages.layer + 1),
            messages.block,
            tile,
            self.samples,
            messages.tokens[tile],
            (0, 0),
            messages.payload,
            (self.ranks[peer],),
            messages.nbytes[tile],
        )
        return (self.rows.write(kind, self.micro_batch, needs),)

    def gather(self, messages: TileMessages) -> dict[int, Tasks]:
        """Send every rank's tile to all others: the own tile is the result of the last computation."""
        return self.exchange(gather(self.n, self.algorithm, self.me), messages, {self.me: self.last})

    def scatter(self, messages: TileMessages, own: Mapping[int, Tasks]) -> Tasks:
        """Send partial sums of all tiles to their owners; return the receives for the own tile."""
        return self.exchange(scatter(self.n, self.algorithm, self.me), messages, own).get(self.me, ())

    def all_reduce(self, place: Place, messages: TileMessages) -> Tasks:
        """Sum the results of the last computation over all ranks; return the tasks that bring the sum.

        A ring's is one task of the block. A star's sums go to the hub, and from there to all: messages of its part.
        """
        if self.n == 1:
            return ()
        if self.algorithm is CollectiveAlgorithm.RING:
            layers = (place.index, place.index + 1)
            return self.ring(layers, messages.nbytes[0], block=place.name, payload=messages.payload)
        done, activation = self.last, messages.payload is Payload.ACTIVATION
        to_hub = [hop for hop in scatter(self.n, self.algorithm, self.me) if hop.tile == 0]
        sums = self.exchange(to_hub, replace(messages, payload=Payload.PARTIAL), {0: done}).get(0, ())
        complete = replace(messages, payload=Payload.TILE) if activation else messages
        from_hub = [hop for hop in gather(self.n, self.algorithm, self.me) if hop.tile == 0]
        received = self.exchange(from_hub, complete, {0: (*done, *sums)})
        return sums if self.me == 0 else received[0]

    def ring(self, layers: Span, nbytes: int, *, block: str = "", payload: Payload | None = None) -> Tasks:
        """Write this rank's part of a ring all-reduce of what the last computation gave; return its task.

        Without a block it adds up the gradients of whole layers.
        """
        kind = Kind(
            op=Op.ALL_REDUCE,
            rank=self.rank,
            stage=0,
            layers=layers,
            block=block,
            samples=self.samples if block else (0, 0),
            payload=payload,
            peers=self.ranks,
            nbytes=nbytes,
        )
        return (self.rows.write(kind, self.micro_batch, self.last),)


def all_of(received: Mapping[int, Tasks]) -> Tasks:
    """Return the receives of all tiles."""
    return tuple(task for tasks in received.values() for task in tasks)
