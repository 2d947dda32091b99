"""What do all tasks of a schedule say, in few bytes? Kinds of tasks, and for every task its kind and micro-batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesim.schedule.kind import Kind
from edgesim.schedule.kind_table import KindTable, Numbers
from edgesim.schedule.task import Task

NONE = -1
"""The micro-batch of a task that has none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskColumns:
    """All tasks of a schedule, numbered rank by rank; each becomes a Task when somebody asks.

    Attributes:
        table: what tasks say but their micro-batches and needs; thousands of tasks may share a kind.
        kind: [task] the number of its kind.
        micro_batch: [task] its micro-batch, or NONE.
        first: [rank] its first task; at the end the number of all tasks.
        needs: numbers of needed tasks, task after task.
        needs_from: [task] where its needs begin; at the end the number of all needs.
        made_of: the tasks, where they were there first.
    """

    table: KindTable
    kind: Numbers
    micro_batch: Numbers
    first: Numbers
    needs: Numbers
    needs_from: Numbers
    made_of: tuple[Task, ...] | None = None

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def kinds(self) -> Sequence[Kind]:
        """All kinds, one by one."""
        return self.table.kinds

    def each(self, value: Callable[[Kind], Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return [task] a value that depends on its kind alone, asked for once per kind."""
        return np.array([value(kind) for kind in self.kinds], dtype=dtype)[self.kind]

    @cached_property
    def rank(self) -> Numbers:
        """[task] The rank in whose program it stands."""
        return np.repeat(np.arange(len(self.first) - 1), lengths_of(self.first))

    def names(self) -> list[str]:
        """Return [task] its name."""
        around = [kind.name_around for kind in self.kinds]
        named = ((around[k], m) for k, m in zip(self.kind.tolist(), self.micro_batch.tolist(), strict=True))
        return [f"{before}{'' if m == NONE else m}{after}" for (before, after), m in named]

    def needed(self, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Yield [task] the names of what it needs, given those of all tasks."""
        needs = self.needs.tolist()
        for first, end in pairwise(self.needs_from.tolist()):
            yield tuple([names[need] for need in needs[first:end]])

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks, rank by rank."""
        if self.made_of is not None:
            return self.made_of
        fields = [kind._asdict() for kind in self.kinds]
        rows = zip(self.kind.tolist(), self.micro_batch.tolist(), self.needed(self.names()), strict=True)
        return tuple(Task(micro_batch=None if m == NONE else m, needs=needs, **fields[k]) for k, m, needs in rows)


def starts_of(lengths: npt.ArrayLike) -> Numbers:
    """Return where each of consecutive parts begins; at the end how long all are.

    >>> starts_of([2, 0, 3])
    array([0, 2, 2, 5])
    """
    counts = np.asarray(lengths, dtype=np.int64)
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    counts.cumsum(out=starts[1:])
    return starts


def lengths_of(starts: Numbers) -> Numbers:
    """Return how long each part is, given where all begin and end."""
    return starts[1:] - starts[:-1]


def expanded(starts: npt.ArrayLike, lengths: Numbers) -> Numbers:
    """Return the numbers of all ranges that begin at ``starts`` and have these lengths, one range after the other.

    >>> expanded(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    total = starts_of(lengths)
    return np.arange(total[-1]) + np.repeat(np.asarray(starts) - total[:-1], lengths)
