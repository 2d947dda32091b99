"""How do tasks that are written one by one become columns? Rank by rank, and each with the numbers of what it needs."""

from collections.abc import Iterable
from itertools import chain

import numpy as np

from edgesim.schedule.columns import NONE, TaskColumns
from edgesim.schedule.kind import Kind
from edgesim.schedule.refusal import Programs, refuse
from edgesim.schedule.task import Task


class Rows:
    """The tasks of a schedule that is being written."""

    def __init__(self) -> None:
        self.kinds: dict[Kind, int] = {}
        self.kind: list[int] = []
        self.micro_batch: list[int] = []
        self.needs: list[int] = []
        self.needs_from = [0]
        self.first: list[int] = []

    def begin(self) -> None:
        """Begin the program of the next rank."""
        self.first.append(len(self.kind))

    def write(self, kind: Kind, micro_batch: int | None, needs: Iterable[int]) -> int:
        """Add a task to the program that is being written; return its number among all tasks."""
        self.kind.append(self.kinds.setdefault(kind, len(self.kinds)))
        self.micro_batch.append(NONE if micro_batch is None else micro_batch)
        self.needs.extend(needs)
        self.needs_from.append(len(self.needs))
        return len(self.kind) - 1

    def columns(self, made_of: tuple[Task, ...] | None = None) -> TaskColumns:
        """Return all that was written."""
        return TaskColumns(
            kinds=list(self.kinds),
            kind=np.array(self.kind, dtype=np.int64),
            micro_batch=np.array(self.micro_batch, dtype=np.int64),
            first=np.array([*self.first, len(self.kind)], dtype=np.int64),
            needs=np.array(self.needs, dtype=np.int64),
            needs_from=np.array(self.needs_from, dtype=np.int64),
            made_of=made_of,
        )


def columns_of(programs: Programs) -> TaskColumns:
    """Return the columns of tasks that are already there. Raises ScheduleError for a need that no rank runs."""
    tasks, rows = tuple(chain.from_iterable(programs)), Rows()
    number = {task.name: i for i, task in enumerate(tasks)}
    if len(number) < len(tasks):
        refuse(programs)
    try:
        for program in programs:
            rows.begin()
            for task in program:
                rows.write(task.kind, task.micro_batch, [number[need] for need in task.needs])
    except KeyError:
        refuse(programs)
    return rows.columns(made_of=tasks)
