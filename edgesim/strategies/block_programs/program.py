"""What does one rank's program say, task by task? Computations of blocks, and the exchanges between them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edgesim.block_passes.steps import ComputeStep, ExchangeStep, SumGradientsStep
from edgesim.schedule import Op, Payload
from edgesim.strategies.block_programs.collectives import CollectiveAlgorithm, Hop, gather, scatter
from edgesim.strategies.block_programs.rank_share import RankShare
from edgesim.strategies.block_programs.sayings import Saying
from edgesim.strategies.block_programs.written import NO_ONE, OP, WrittenTasks

Tasks = tuple[int, ...]  # of this rank, by their numbers among all tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one position does in an exchange, found once for all exchanges that are alike.

    Attributes:
        ops: [end] the number of its operation, to send or to receive.
        tiles: [end] the tile that the message carries, or sums up.
        peers: [end] the position at the other end.
        heard: [end] of a send, ends that have received of its tile before; None for a receive.
        brings: of each tile, the ends that receive it or its sums.
    """

    ops: list[int]
    tiles: list[int]
    peers: list[int]
    heard: list[list[int] | None]
    brings: dict[int, list[int]]

    @classmethod
    def of(cls, hops: Iterable[Hop], me: int) -> "Part":
        part = cls(ops=[], tiles=[], peers=[], heard=[], brings={})
        ops, tiles, peers, heard, brings = part.ops, part.tiles, part.peers, part.heard, part.brings
        send, receive = OP[Op.SEND], OP[Op.RECV]
        for tile, source, destination in hops:
            if source == me:
                heard.append(list(brings.get(tile, ())))
                ops.append(send)
                peers.append(destination)
            elif destination == me:
                heard.append(None)
                brings.setdefault(tile, []).append(len(ops))
                ops.append(receive)
                peers.append(source)
            else:
                continue
            tiles.append(tile)
        return part


class RankProgram:
    """The tasks of one rank of a stage that divides blocks, in the order in which they are written.

    An exchange does not start a computation: what must have come before the next one is put into ``ready``.
    """

    def __init__(self, tasks: WrittenTasks, share: RankShare, algorithm: CollectiveAlgorithm) -> None:
        self.tasks, self.sayings, self.algorithm = tasks, tasks.sayings, algorithm
        self.me, self.n = share.me, share.n
        self._parts: dict[object, Part] = {}
        self.ready: Tasks = ()  # what the next computation waits for, beside those before it
        # The last two computations. What an exchange receives is posted once the one before the last is done: its
        # buffers need not live longer, and the peers find it posted while this rank still computes.
        self.before: Tasks = ()
        self.last: Tasks = ()

    @property
    def posted(self) -> Tasks:
        """The tasks that a receive of the next exchange waits for."""
        return self.before

    def compute(self, step: ComputeStep) -> Tasks:
        """Write a rank's share of a step, which waits for what is ready; return its task."""
        return self._compute(step.op, self.sayings.computed(step))

    def compute_tile(self, step: ComputeStep, tile: int) -> Tasks:
        """Write one tile of a rank's share of a step, which waits for what is ready; return its task."""
        return self._compute(step.op, self.sayings.computed(step, tiled=True), tile)

    def _compute(self, op: Op, saying: Saying, tile: int = NO_ONE) -> Tasks:
        ready = self.ready
        task = self.tasks.write(op, saying, dict.fromkeys(ready) if len(ready) > 1 else ready, tile)
        self.ready = ()
        self.before, self.last = self.last, (task,)
        return self.last

    def exchange(self, part: Part, saying: Saying, posted: Tasks, own: Mapping[int, Tasks]) -> dict[int, Tasks]:
        """Write this rank's part; return, of each tile, the receives that bring it or its sums.

        Every receive waits for what is ``posted``. ``own`` says which computations its own part of a tile waits for: a
        tile is sent on when that and all that was received of it are there.
        """
        base, receive = len(self.tasks.op), list(posted)
        needs = (
            receive if heard is None else [*own.get(tile, ()), *[base + end for end in heard]]
            for tile, heard in zip(part.tiles, part.heard, strict=True)
        )
        self.tasks.extend(part.ops, saying, part.tiles, part.peers, needs)
        return {tile: tuple([base + end for end in ends]) for tile, ends in part.brings.items()}

    def part(self, hops: Callable[[int, CollectiveAlgorithm, int], Iterable[Hop]], tile: int | None = None) -> Part:
        """Return this rank's part in a gather or a scatter, of all tiles or of one; it is found once."""
        if (part := self._parts.get((hops, tile))) is None:
            mine = hops(self.n, self.algorithm, self.me)
            part = Part.of(mine if tile is None else (hop for hop in mine if hop.tile == tile), self.me)
            self._parts[hops, tile] = part
        return part

    def gather(self, saying: Saying, posted: Tasks) -> dict[int, Tasks]:
        """Send every rank's tile to all others: the own tile is the result of the last computation."""
        return self.exchange(self.part(gather), saying, posted, {self.me: self.last})

    def scatter(self, saying: Saying, posted: Tasks, own: Mapping[int, Tasks]) -> Tasks:
        """Send partial sums of all tiles to their owners; return the receives for the own tile."""
        return self.exchange(self.part(scatter), saying, posted, own).get(self.me, ())

    def share_tile(self, tile: int, saying: Saying) -> Tasks:
        """Send one rank's tile to all others, which is the result of its last computation; return the receives."""
        return all_of(self.exchange(self.part(gather, tile), saying, self.posted, {self.me: self.last}))

    def all_reduce(self, step: ExchangeStep) -> Tasks:
        """Sum the results of the last computation over all ranks; return the tasks that bring the sum.

        A ring's is one task of the block. A star's sums go to the hub, and from there to all: messages of its part.
        """
        if self.n == 1:
            return ()
        if self.algorithm is CollectiveAlgorithm.RING:
            return self._ring(self.sayings.summed(step))
        done, complete = self.last, Payload.TILE if step.payload is Payload.ACTIVATION else step.payload
        partial = self.sayings.alike(step, Payload.PARTIAL)
        sums = self.exchange(self.part(scatter, 0), partial, self.posted, {0: done}).get(0, ())
        saying = self.sayings.alike(step, complete)
        received = self.exchange(self.part(gather, 0), saying, self.posted, {0: (*done, *sums)})
        return sums if self.me == 0 else received[0]

    def sum_gradients(self, step: SumGradientsStep) -> Tasks:
        """Add up the gradients of whole layers over all ranks; return the task."""
        return self._ring(self.sayings.summed_gradients(step)) if self.n > 1 else self.ready

    def _ring(self, saying: Saying) -> Tasks:
        """Write this rank's part of a ring all-reduce of what the last computation gave; return its task."""
        return (self.tasks.write(Op.ALL_REDUCE, saying, self.last, peer=self.n),)


def all_of(received: Mapping[int, Tasks]) -> Tasks:
    """Return the receives of all tiles."""
    return tuple([task for tasks in received.values() for task in tasks])
