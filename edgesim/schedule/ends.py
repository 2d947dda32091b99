"""Which tasks start at once, and which queue up for one stream? Found by numbers of what their kinds say.

Every array is [task] or of some tasks. Whatever cannot be played raises Unplayable, without a reason.
"""

import numpy as np
import numpy.typing as npt

from edgesim.schedule.columns import TaskColumns
from edgesim.schedule.kind_numbers import MEETS, RECEIVES, SENDS, numbers_of
from edgesim.schedule.kind_table import Numbers

_SPARE = 8  # numbers may be so many times more than what they number, before they are made denser


class Unplayable(Exception):  # noqa: N818 (it is no error that anybody sees)
    """Something keeps the schedule from being played."""


def require(holds: bool | np.bool_) -> None:
    """Raise Unplayable unless it holds."""
    if not holds:
        raise Unplayable


class Ends:
    """The two ends of every message, and the members of every collective, checked to be alike and complete.

    Attributes:
        is_send: whether a task is one.
        partner: the other end of a message; of other tasks the task itself.
        task_nodes: the number of what starts at once with a task, in the order of their first tasks.
        stream: a number for the rank and its queue.
        member_counts: [node] how many tasks start at once.
    """

    def __init__(self, columns: TaskColumns) -> None:
        self.columns, self.said = columns, numbers_of(columns.table)
        kind = columns.kind
        self.is_send, self.is_receive = (self.said.role == SENDS)[kind], (self.said.role == RECEIVES)[kind]
        require(np.array_equal(self.said.rank[kind], columns.rank))
        names, _ = _paired(self.said.name[kind], columns.micro_batch)
        require(np.bincount(names, minlength=1).max() <= 1)
        self.itself = np.arange(len(columns))
        self.partner, leader = self.itself.copy(), self.itself.copy()
        self._pair(leader)
        self._gather(leader)
        size = self.said.size[kind]
        require(np.array_equal(size, size[leader]))
        number = np.cumsum(leader == self.itself) - 1
        self.stream: Numbers = self.said.stream[kind]
        self.task_nodes: Numbers = number[leader]
        self.member_counts: Numbers = np.bincount(self.task_nodes)

    def _pair(self, leader: Numbers) -> None:
        """Every send has one receive, and every receive one send."""
        tasks, meetings, most = self._meetings(self.is_send | self.is_receive)
        sends = self.is_send[tasks]
        sent, received = np.full(most, -1), np.full(most, -1)
        sent[meetings[sends]] = tasks[sends]
        received[meetings[~sends]] = tasks[~sends]
        met = np.flatnonzero(sent >= 0)
        require(2 * len(met) == len(tasks) and np.array_equal(met, np.flatnonzero(received >= 0)))
        sent, received = sent[met], received[met]
        self.partner[sent], self.partner[received] = received, sent
        leader[sent] = leader[received] = np.minimum(sent, received)

    def _gather(self, leader: Numbers) -> None:
        """Every collective is run by all of its peers, and by each of them once."""
        tasks, meetings, most = self._meetings((self.said.role == MEETS)[self.columns.kind])
        order = np.argsort(meetings, kind="stable")
        self.gathered = tasks[order]
        first = np.zeros(most, dtype=np.int64)
        first[meetings[::-1]] = tasks[::-1]  # of the tasks of a meeting the first is written last
        leader[tasks] = first[meetings]
        members = self.said.members[self.columns.kind[tasks]]
        require(np.array_equal(np.bincount(meetings, minlength=most)[meetings], members))
        rank, together = self.columns.rank[self.gathered], meetings[order]
        require(not np.any((rank[1:] == rank[:-1]) & (together[1:] == together[:-1])))

    def _meetings(self, some: npt.NDArray[np.bool_]) -> tuple[Numbers, Numbers, int]:
        """Some tasks, a number for where each meets others, and how many such numbers there may be."""
        tasks = np.flatnonzero(some)
        return tasks, *_paired(self.said.meeting[self.columns.kind[tasks]], self.columns.micro_batch[tasks])

    def member_tasks(self, starts: Numbers) -> Numbers:
        """Return the tasks of all nodes, node after node; ``starts`` says where each begins."""
        members = np.empty_like(self.itself)
        members[starts[self.task_nodes] + self.is_receive] = self.itself
        nodes = self.task_nodes[self.gathered]
        place = np.arange(len(nodes))
        first = np.concatenate([[True], nodes[1:] != nodes[:-1]])[: len(nodes)]
        members[starts[nodes] + place - np.maximum.accumulate(np.where(first, place, 0))] = self.gathered
        return members

    def queued(self) -> tuple[Numbers, Numbers]:
        """Pairs of tasks of which one stands right before the other in a stream, but for receives.

        Receives are posted ahead; their order is that of the sends: a connection is first in, first out.
        """
        queue = np.argsort(self.stream, kind="stable")
        stays = (self.stream[queue[1:]] == self.stream[queue[:-1]]) & ~self.is_receive[queue[1:]]
        first, then = queue[:-1][stays], queue[1:][stays]
        sends = self.is_send[then]
        require(bool(np.all(self.partner[first[sends]] < self.partner[then[sends]])))
        return first, then

    def have_turns(self, first: Numbers, then: Numbers) -> npt.NDArray[np.bool_]:
        """Whether the one has ended anyway when it is the other's turn: both queue up for one stream, in this order."""
        turns: npt.NDArray[np.bool_] = (self.stream[first] == self.stream[then]) & (first < then)
        turns[self.is_receive[then]] = False
        return turns


def _paired(major: Numbers, minor: Numbers) -> tuple[Numbers, int]:
    """Numbers for pairs of a number and a micro-batch, the same for equal ones, and how many there may be."""
    width = int(minor.max(initial=-1)) + 2
    numbers = major * width + minor + 1
    most = (int(major.max(initial=-1)) + 1) * width
    if most > _SPARE * len(numbers):
        _, numbers = np.unique(numbers, return_inverse=True)
        most = int(numbers.max(initial=-1)) + 1
    return numbers, most
