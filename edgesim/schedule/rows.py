"""How do tasks that are there already become columns? Rank by rank, and each with the numbers of what it needs."""

from itertools import chain

import numpy as np

from edgesim.schedule.columns import NONE, TaskColumns, starts_of
from edgesim.schedule.kind import Kind
from edgesim.schedule.kind_table import KindTable
from edgesim.schedule.refusal import Programs, refuse


def columns_of(programs: Programs) -> TaskColumns:
    """Return the columns of tasks that are already there. Raises ScheduleError for a need that no rank runs."""
    tasks = tuple(chain.from_iterable(programs))
    number = {task.name: i for i, task in enumerate(tasks)}
    if len(number) < len(tasks):
        refuse(programs)
    try:
        needs = [number[need] for task in tasks for need in task.needs]
    except KeyError:
        refuse(programs)
    kinds: dict[Kind, int] = {}
    kind = [kinds.setdefault(task.kind, len(kinds)) for task in tasks]
    micro_batch = [NONE if task.micro_batch is None else task.micro_batch for task in tasks]
    return TaskColumns(
        table=KindTable.of(list(kinds)),
        kind=np.array(kind, dtype=np.int64),
        micro_batch=np.array(micro_batch, dtype=np.int64),
        first=starts_of([len(program) for program in programs]),
        needs=np.array(needs, dtype=np.int64),
        needs_from=starts_of([len(task.needs) for task in tasks]),
        made_of=tasks,
    )
