"""How do tasks of ranks that divide blocks become columns? As numbers, while they are written rank by rank."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from edgesim.schedule import NONE, Kind, KindTable, Op, Peers, TaskColumns
from edgesim.schedule.columns import lengths_of, starts_of
from edgesim.schedule.kind_table import Field, Numbers, combined
from edgesim.strategies.block_programs.sayings import Said, Saying, Sayings

_OPS = list(Op)
OP = {op: number for number, op in enumerate(_OPS)}
"""Operations by number."""
NO_ONE = -1
"""The tile of a task that is about none, and the peer of one that has none."""


class WrittenTasks:
    """The tasks of a schedule of one stage that is being written; tiles and peers are positions in the stage."""

    def __init__(self, ranks: Sequence[int], sayings: Sayings) -> None:
        self.ranks, self.sayings = ranks, sayings
        self.micro_batch = NONE  # of what is written now
        self.positions: list[int] = []  # [rank] its position; of a rank without work, any
        self.first: list[int] = []  # [rank] its first task
        self.op: list[int] = []
        self.said: list[Saying] = []
        self.tile: list[int] = []
        self.peer: list[int] = []  # len(ranks): everybody, in a collective
        self.micro_batches: list[int] = []
        self.needs: list[int] = []
        self.needs_from = [0]

    def begin(self, rank: int) -> None:
        """Begin the program of the next rank."""
        self.positions.append(self.ranks.index(rank) if rank in self.ranks else 0)
        self.first.append(len(self.op))

    def write(self, op: Op, saying: Saying, needs: Iterable[int], tile: int = NO_ONE, peer: int = NO_ONE) -> int:
        """Add a task to the program that is being written; return its number among all tasks."""
        number = len(self.op)
        self.op.append(OP[op])
        self.said.append(saying)
        self.tile.append(tile)
        self.peer.append(peer)
        self.micro_batches.append(self.micro_batch)
        self.needs.extend(needs)
        self.needs_from.append(len(self.needs))
        return number

    def extend(
        self, ops: Sequence[int], saying: Saying, tiles: Sequence[int], peers: Sequence[int], needs: Iterable[list[int]]
    ) -> None:
        """Add tasks that say the same of the tiles that they are about."""
        self.op += ops
        self.said += [saying] * len(ops)
        self.tile += tiles
        self.peer += peers
        self.micro_batches += [self.micro_batch] * len(ops)
        for needed in needs:
            self.needs += needed
            self.needs_from.append(len(self.needs))

    def columns(self) -> TaskColumns:
        """Return all that was written."""
        op, said, tile, peer, micro_batch = (
            np.array(column, dtype=np.int64)
            for column in (self.op, self.said, self.tile, self.peer, self.micro_batches)
        )
        first = np.array([*self.first, len(op)], dtype=np.int64)
        position = np.repeat(np.array(self.positions, dtype=np.int64), lengths_of(first))
        n = len(self.ranks)
        if micro_batch.max(initial=NONE) > 0:
            rows, _ = combined(
                (position, n), (said, len(self.sayings.said)), (op, len(_OPS)), (tile + 1, n + 1), (peer + 1, n + 2)
            )
            used, kind = _in_order(rows)
        else:  # names differ, and so do the kinds of one micro-batch
            used = kind = np.arange(len(op))
        return TaskColumns(
            table=self._table(*(column[used] for column in (position, op, said, tile, peer))),
            kind=kind,
            micro_batch=micro_batch,
            first=first,
            needs=np.array(self.needs, dtype=np.int64),
            needs_from=np.array(self.needs_from, dtype=np.int64),
        )

    def _table(self, position: Numbers, op: Numbers, said: Numbers, tile: Numbers, peer: Numbers) -> KindTable:
        n, place = len(self.ranks), np.where(tile == NO_ONE, position, tile)

        def of_all(value: Callable[[Said], Any]) -> Field:
            field = Field.of(map(value, self.sayings.said))
            return field._replace(numbers=field.numbers[said])

        def by(value: Callable[[Said], Sequence[Any]], where: Numbers) -> Field:
            vectors = list(map(value, self.sayings.said))
            lengths = np.array([len(vector) for vector in vectors])
            field, begin = Field.of(chain.from_iterable(vectors)), starts_of(lengths)[:-1]
            return field._replace(numbers=field.numbers[begin[said] + np.where(lengths[said] > 1, where, 0)])

        peers: list[tuple[int, ...]] = [(), *((rank,) for rank in self.ranks)]
        fields = {
            "op": Field(_OPS, op),
            "rank": Field(self.ranks, position),
            "stage": Field([0], np.zeros_like(op)),
            "layers": of_all(lambda said: said.layers),
            "block": of_all(lambda said: said.block),
            "tile": Field([None, *range(n)], tile + 1),
            "samples": by(lambda said: said.samples, position),
            "tokens": by(lambda said: said.tokens, place),
            "units": by(lambda said: said.units, position),
            "payload": of_all(lambda said: said.payload),
            "peers": Field([*peers, Peers(self.ranks)] if n > 1 else peers, peer + 1),
            "nbytes": by(lambda said: said.nbytes, place),
            "bucket": Field([None], np.zeros_like(op)),
        }
        return KindTable(fields[name] for name in Kind._fields)


def _in_order(rows: Numbers) -> tuple[Numbers, Numbers]:
    """Where each different number stands first, in that order, and [row] which of these it is."""
    _, first, which = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[which]
