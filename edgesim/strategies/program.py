"""What does one rank's program say, task by task? Computations of blocks, and the exchanges between them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from edgesim.plan import Stage
from edgesim.schedule import Op, Payload, Task
from edgesim.strategies.collectives import Exchange, Hop, gather, scatter

Names = tuple[str, ...]
Span = tuple[int, int]


class Program:
    """The tasks of one rank of a stage that divides blocks, in the order in which they are written.

    An exchange does not start a computation: what must have come before the next one is put into ``ready``.
    """

    def __init__(self, stage: Stage, rank: int, exchange: Exchange) -> None:
        self.stage, self.rank, self.kind = stage, rank, exchange
        self.me, self.n = stage.ranks.index(rank), len(stage.ranks)
        self.tasks: list[Task] = []
        self.ready: Names = ()  # what the next computation waits for, beside those before it
        # The last two computations. What an exchange receives is posted once the one before the last is done: its
        # buffers need not live longer, and the peers find it posted while this rank still computes.
        self.before, self.last = "", ""

    @property
    def posted(self) -> Names:
        """What a receive of the next exchange waits for."""
        return (self.before,) if self.before else ()

    def compute(
        self,
        op: Op,
        layer: int,
        block: str,
        m: int | None,
        *,
        tokens: Span = (0, 0),
        units: Span = (0, 0),
        tile: int | None = None,
    ) -> str:
        """Write a computation, which waits for what is ready; return its name."""
        task = Task(
            op=op,
            rank=self.rank,
            stage=0,
            layers=(layer, layer + 1),
            block=block,
            micro_batch=m,
            tile=tile,
            samples=(0, 0) if op is Op.UPDATE else self.stage.sample_range(self.rank),
            tokens=tokens,
            units=units,
            needs=tuple(dict.fromkeys(self.ready)),
        )
        self.tasks.append(task)
        self.ready = ()
        self.before, self.last = self.last, task.name
        return task.name

    def exchange(
        self,
        hops: Iterable[Hop],
        payload: Payload,
        layer: int,
        block: str,
        m: int,
        *,
        nbytes: Sequence[int],
        tokens: Sequence[Span],
        own: Mapping[int, Names],
        posted: Names | None = None,
    ) -> dict[int, Names]:
        """Write this rank's ends of the hops; return, of each tile, the receives that bring it or its sums.

        ``nbytes`` and ``tokens`` are those of each tile; ``own`` says which computations its own part of a tile waits
        for: a tile is sent on when that and all that was received of it are there. Receives wait for ``posted``.
        """
        received: defaultdict[int, Names] = defaultdict(tuple)
        for hop in hops:
            if self.me not in (hop.source, hop.destination):
                continue
            sends = hop.source == self.me
            peer = self.stage.ranks[hop.destination if sends else hop.source]
            task = Task(
                op=Op.SEND if sends else Op.RECV,
                rank=self.rank,
                stage=0,
                layers=(layer, layer + 1),
                block=block,
                micro_batch=m,
                tile=hop.tile,
                samples=self.stage.sample_range(self.rank),
                tokens=tokens[hop.tile],
                payload=payload,
                peers=(peer,),
                nbytes=nbytes[hop.tile],
                needs=(*own.get(hop.tile, ()), *received[hop.tile])
                if sends
                else self.posted
                if posted is None
                else posted,
            )
            self.tasks.append(task)
            if not sends:
                received[hop.tile] += (task.name,)
        return dict(received)

    def gather(
        self,
        payload: Payload,
        layer: int,
        block: str,
        m: int,
        *,
        nbytes: Sequence[int],
        tokens: Sequence[Span],
        posted: Names | None = None,
    ) -> dict[int, Names]:
        """Everybody's tile to everybody: the own one is what the last computation gave."""
        own = {self.me: (self.last,)}
        hops = gather(self.n, self.kind)
        return self.exchange(hops, payload, layer, block, m, nbytes=nbytes, tokens=tokens, own=own, posted=posted)

    def scatter(
        self,
        layer: int,
        block: str,
        m: int,
        *,
        nbytes: Sequence[int],
        tokens: Sequence[Span],
        own: Mapping[int, Names],
        posted: Names,
    ) -> Names:
        """Partial sums of all tiles to their owners; return what brings those of the own tile."""
        hops = scatter(self.n, self.kind)
        received = self.exchange(
            hops, Payload.PARTIAL, layer, block, m, nbytes=nbytes, tokens=tokens, own=own, posted=posted
        )
        return received.get(self.me, ())

    def all_reduce(
        self, payload: Payload, layer: int, block: str, m: int, *, part: str, nbytes: int, tokens: Span = (0, 0)
    ) -> Names:
        """The sum over all ranks of what the last computation gave; return what brings it.

        A ring's is one task of the block. A star's sums go to the hub, and from there to all: messages of its part.
        """
        if self.n == 1:
            return ()
        if self.kind is Exchange.RING:
            return (self.ring(payload, (layer, layer + 1), block, m, nbytes=nbytes),)
        done, posted = (self.last,), self.posted
        complete = Payload.TILE if payload is Payload.ACTIVATION else payload
        sizes, spans = [nbytes] * self.n, [tokens] * self.n
        to_hub = [hop for hop in scatter(self.n, self.kind) if hop.tile == 0]
        sums = self.exchange(
            to_hub, Payload.PARTIAL, layer, part, m, nbytes=sizes, tokens=spans, own={0: done}, posted=posted
        ).get(0, ())
        from_hub = [hop for hop in gather(self.n, self.kind) if hop.tile == 0]
        own = {0: (*done, *sums)}
        received = self.exchange(from_hub, complete, layer, part, m, nbytes=sizes, tokens=spans, own=own, posted=posted)
        return sums if self.me == 0 else received[0]

    def ring(self, payload: Payload | None, layers: Span, block: str, m: int | None, *, nbytes: int) -> str:
        """Write this rank's part of a ring all-reduce of what the last computation gave; return its name."""
        task = Task(
            op=Op.ALL_REDUCE,
            rank=self.rank,
            stage=0,
            layers=layers,
            block=block,
            micro_batch=m,
            payload=payload,
            samples=self.stage.sample_range(self.rank) if block else (0, 0),
            peers=self.stage.ranks,
            nbytes=nbytes,
            needs=(self.last,),
        )
        self.tasks.append(task)
        return task.name


def all_of(received: Mapping[int, Names]) -> Names:
    """The receives of all tiles."""
    return tuple(task for names in received.values() for task in names)
