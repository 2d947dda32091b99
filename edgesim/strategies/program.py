"""What does one rank's program say, task by task? Computations of blocks, and the exchanges between them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from edgesim.model import Block
from edgesim.plan import Stage
from edgesim.schedule import Op, Payload, Task
from edgesim.strategies.collectives import Hop

Names = tuple[str, ...]


class Program:
    """The tasks of one rank of a stage that divides blocks, in the order in which they are written."""

    def __init__(self, stage: Stage, rank: int) -> None:
        self.stage, self.rank, self.me = stage, rank, stage.ranks.index(rank)
        self.tasks: list[Task] = []
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
        tokens: tuple[int, int] = (0, 0),
        units: tuple[int, int] = (0, 0),
        tile: int | None = None,
        needs: Iterable[str] = (),
    ) -> str:
        """Write a computation; return its name."""
        task = Task(
            op=op, rank=self.rank, stage=0, layers=(layer, layer + 1), block=block, micro_batch=m, tile=tile,
            samples=(0, 0) if op is Op.UPDATE else self.stage.sample_range(self.rank), tokens=tokens, units=units,
            needs=tuple(dict.fromkeys(needs)),
        )  # fmt: skip
        self.tasks.append(task)
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
        tokens: Sequence[tuple[int, int]],
        own: Mapping[int, Names],
        posted: Names,
    ) -> dict[int, Names]:
        """Write this rank's ends of the hops; return, of each tile, the receives that bring it or its sums.

        ``nbytes`` and ``tokens`` are those of each tile; ``own`` says which computations its own part of a tile waits
        for: a tile is sent on when that and all that was received of it are there.
        """
        received: defaultdict[int, Names] = defaultdict(tuple)
        for hop in hops:
            if self.me not in (hop.source, hop.destination):
                continue
            sends = hop.source == self.me
            peer = self.stage.ranks[hop.destination if sends else hop.source]
            task = Task(
                op=Op.SEND if sends else Op.RECV, rank=self.rank, stage=0, layers=(layer, layer + 1), block=block,
                micro_batch=m, tile=hop.tile, samples=self.stage.sample_range(self.rank), tokens=tokens[hop.tile],
                payload=payload, peers=(peer,), nbytes=nbytes[hop.tile],
                needs=(*own.get(hop.tile, ()), *received[hop.tile]) if sends else posted,
            )  # fmt: skip
            self.tasks.append(task)
            if not sends:
                received[hop.tile] += (task.name,)
        return dict(received)

    def all_reduce(
        self, payload: Payload | None, layers: tuple[int, int], block: str, m: int | None, *, nbytes: int, done: str
    ) -> str:
        """Write this rank's part of a ring all-reduce; return its name."""
        task = Task(
            op=Op.ALL_REDUCE, rank=self.rank, stage=0, layers=layers, block=block, micro_batch=m, payload=payload,
            samples=self.stage.sample_range(self.rank) if block else (0, 0), peers=self.stage.ranks, nbytes=nbytes,
            needs=(done,),
        )  # fmt: skip
        self.tasks.append(task)
        return task.name


def whole_bytes(block: Block, samples: int, tokens: int) -> int:
    """Bytes of a block's own output for so many tokens: of attention and MLP, what its exiting product gives."""
    last = block.parts[-1] if block.parts else block
    return round(last.output_bytes(samples, tokens))
