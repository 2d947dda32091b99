"""What waits for what? A schedule's dependencies as numbers, found in one pass over its columns.

What is right is seen here at once; what is wrong is only found to be wrong, and ``refusal`` says what it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edgesim.schedule.columns import TaskColumns, lengths_of, starts_of
from edgesim.schedule.ends import Ends, Unplayable, require
from edgesim.schedule.kind import COLLECTIVE, MESSAGE, Op
from edgesim.schedule.kind_table import Numbers
from edgesim.schedule.recurrence import Recurrence, recurrence_of
from edgesim.schedule.task import Task

Tuples = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """A schedule with numbers for names: what both the check and the engine walk.

    A *node* is what starts at once: a computation, the two ends of a message, or all members of a collective. Arrays
    are kept; tuples of the same are made when somebody asks.

    Attributes:
        columns: all tasks, rank by rank.
        task_nodes: [task] its node.
        member_tasks: tasks, node after node; of a message (send, receive).
        member_starts: [node] where its tasks begin; at the end the number of all tasks.
        wait_counts: [node] how many ends it waits for.
        unlock_nodes: nodes that wait for an end, end after end.
        unlock_starts: [2 node] where those begin that wait for the node's end; of a message, for the end of its
            receive. [2 node + 1] where those begin that wait for the end of its send only. At the end the number of
            all.
        order: all nodes, each behind those that it waits for.
    """

    columns: TaskColumns
    task_nodes: Numbers
    member_tasks: Numbers
    member_starts: Numbers
    wait_counts: Numbers
    unlock_nodes: Numbers
    unlock_starts: Numbers
    order: Sequence[int]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks, rank by rank."""
        return self.columns.tasks

    @cached_property
    def kind(self) -> Numbers:
        """[node] The number of the kind of its first task; of a message, of its send."""
        return self.columns.kind[self.member_tasks[self.member_starts[:-1]]]

    @cached_property
    def sends(self) -> Numbers:
        """The tasks that are the first end of a message."""
        return self._tasks_of(Op.SEND)

    @cached_property
    def receives(self) -> Numbers:
        """The tasks that are the other end of a message."""
        return self._tasks_of(Op.RECV)

    def _tasks_of(self, op: Op) -> Numbers:
        return np.flatnonzero(self._is(op)[self.columns.kind])

    def _is(self, *ops: Op) -> npt.NDArray[np.bool_]:
        """[kind] Whether it does one of these."""
        does: npt.NDArray[np.bool_] = self.columns.table.fields[0].each(lambda op: op in ops) > 0
        return does

    @cached_property
    def recurrence(self) -> Recurrence:
        """When everything can happen, as one loop."""
        lands = self._is(*MESSAGE, *COLLECTIVE)[self.kind]
        return recurrence_of(self.order, lands, self.unlock_nodes, self.unlock_starts)

    @cached_property
    def node_of(self) -> tuple[int, ...]:
        """[task] Its node."""
        return tuple(self.task_nodes.tolist())

    @cached_property
    def members(self) -> Tuples:
        """[node] Its tasks; of a message (send, receive)."""
        return _cut(self.member_tasks, self.member_starts)

    @cached_property
    def waits(self) -> tuple[int, ...]:
        """[node] How many ends it waits for."""
        return tuple(self.wait_counts.tolist())

    @cached_property
    def _unlocks(self) -> Tuples:
        return _cut(self.unlock_nodes, self.unlock_starts)

    @cached_property
    def unlocks(self) -> Tuples:
        """[node] Nodes that wait for its end; of a message, for the end of its receive."""
        return self._unlocks[::2]

    @cached_property
    def sent_unlocks(self) -> Tuples:
        """[node] Of a message, nodes that wait for the end of its send only."""
        return self._unlocks[1::2]


def _cut(values: Numbers, starts: Numbers) -> Tuples:
    flat = values.tolist()
    return tuple([tuple(flat[a:b]) for a, b in pairwise(starts.tolist())])


def graph_of(columns: TaskColumns) -> Graph | None:
    """Number the dependencies of all tasks; None where anything keeps the schedule from being played."""
    try:
        return _graph_of(columns)
    except Unplayable:
        return None


def _graph_of(columns: TaskColumns) -> Graph:
    ends = Ends(columns)
    nodes, starts = ends.task_nodes, starts_of(ends.member_counts)
    count = len(starts) - 1
    earlier, later = _waits(columns, ends)
    # Two numbers per node: for its end, and for that of a message's send.
    bits = count.bit_length()
    links = np.sort((2 * nodes[earlier] + ends.is_send[earlier] << bits) + nodes[later])
    new = np.ones(len(links), dtype=bool)
    np.not_equal(links[1:], links[:-1], out=new[1:])
    links = links[new]  # sorting is faster than numpy.unique, which looks values up
    unlocking, unlocked = links >> bits, links & (1 << bits) - 1
    unlock_starts = starts_of(np.bincount(unlocking, minlength=2 * count))
    waits = np.bincount(unlocked, minlength=count)
    return Graph(
        columns=columns,
        task_nodes=nodes,
        member_tasks=ends.member_tasks(starts),
        member_starts=starts,
        wait_counts=waits,
        unlock_nodes=unlocked,
        unlock_starts=unlock_starts,
        order=_order(waits, unlocked, unlock_starts[::2]),
    )


def _waits(columns: TaskColumns, ends: Ends) -> tuple[Numbers, Numbers]:
    """(earlier, later) tasks: what each needs, and what stands before it in its stream."""
    needed, needing = columns.needs, np.repeat(np.arange(len(columns)), lengths_of(columns.needs_from))
    require(np.array_equal(columns.rank[needing], columns.rank[needed]))  # only a message can cross ranks
    waits = ~ends.have_turns(needed, needing)
    first, then = ends.queued()
    return np.concatenate([needed[waits], first]), np.concatenate([needing[waits], then])


def _order(waits: Numbers, unlocked: Numbers, starts: Numbers) -> list[int]:
    """All nodes, each behind those that it waits for."""
    left, then, begin = waits.tolist(), unlocked.tolist(), starts.tolist()
    order: list[int] = np.flatnonzero(waits == 0).tolist()
    for node in order:  # grows while it is walked
        for other in then[begin[node] : begin[node + 1]]:
            left[other] -= 1
            if not left[other]:
                order.append(other)
    require(len(order) == len(left))  # what is left over waits for each other
    return order
