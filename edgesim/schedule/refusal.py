"""Why can this schedule not be played? A walk over tasks and names, which words what the quick check has found."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import NoReturn

from edgesim.errors import ScheduleError
from edgesim.schedule.kind import COMPUTE, DISK, MEETING, MESSAGE, Channel, Op, Stream
from edgesim.schedule.task import Task

Programs = Sequence[Sequence[Task]]  # [rank]
Earlier = dict[int, None]  # nodes; a dict keeps order and drops doubles


def refuse(programs: Programs) -> NoReturn:
    """Raise the ScheduleError that says what is wrong with the programs."""
    tasks = tuple(task for program in programs for task in program)
    number = numbers_of(programs)
    members = members_of(tasks)
    refuse_swapped(tasks)
    node_of = [0] * len(tasks)
    for node, ends in enumerate(members):
        for end in ends:
            node_of[end] = node
    before: list[Earlier] = [{} for _ in members]
    for later, earlier in waits_of(tasks, number):
        before[node_of[later]][node_of[earlier]] = None
    refuse_deadlock(tasks, members, before)
    raise AssertionError("the quick check refuses a schedule that can be played")


def waits_of(tasks: tuple[Task, ...], number: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """Yield (later, earlier) task: what each needs, and what stands before it in its stream.

    Raises ScheduleError for a need that its rank does not run.
    """
    for i, task in enumerate(tasks):
        for need in task.needs:
            if need not in number:
                raise ScheduleError(f"{task} needs {need}, which no rank runs")
            if tasks[number[need]].rank != task.rank:
                raise ScheduleError(
                    f"{task} needs {need} of rank {tasks[number[need]].rank}: only a message can cross ranks"
                )
            yield i, number[need]
    queues: dict[tuple[int, Stream], list[int]] = defaultdict(list)
    for i, task in enumerate(tasks):
        if task.op is not Op.RECV:  # receives are posted ahead; their order is that of the sends
            queues[task.rank, task.stream].append(i)
    for queue in queues.values():
        for first, then in pairwise(queue):
            yield then, first


def numbers_of(programs: Programs) -> dict[str, int]:
    """Return each task's place among all of them, by its name. Raises ScheduleError for one misplaced or doubled."""
    for rank, program in enumerate(programs):
        for task in program:
            if task.rank != rank:
                raise ScheduleError(f"{task} is in the program of rank {rank}")
    number: dict[str, int] = {}
    for i, task in enumerate(task for program in programs for task in program):
        if number.setdefault(task.name, i) != i:
            raise ScheduleError(f"{task} appears twice in the schedule")
    return number


def members_of(tasks: tuple[Task, ...]) -> tuple[tuple[int, ...], ...]:
    """Group tasks by what starts at once. Raises ScheduleError for ends or members that are missing or unlike."""
    groups: dict[object, list[int]] = {}
    for i, task in enumerate(tasks):
        groups.setdefault(i if task.op in COMPUTE or task.op in DISK else task.meeting, []).append(i)
    for ends in groups.values():
        first = tasks[ends[0]]
        if first.op in MESSAGE:
            ends.sort(key=lambda i: tasks[i].op is Op.RECV)
            if [tasks[i].op for i in ends] != [Op.SEND, Op.RECV]:
                raise ScheduleError(
                    f"{first} has no {'RECV' if first.op is Op.SEND else 'SEND'} on rank {first.peers[0]}"
                )
        elif first.op in MEETING and sorted(tasks[i].rank for i in ends) != sorted(first.peers):
            raise ScheduleError(f"{first} is for ranks {first.peers}, but only {[tasks[i].rank for i in ends]} run it")
        if len({tasks[i].nbytes for i in ends}) > 1:
            raise ScheduleError("unequal bytes: " + ", ".join(f"{tasks[i]} has {tasks[i].nbytes} B" for i in ends))
        if first.op in MESSAGE and tasks[ends[0]].samples != tasks[ends[1]].samples:
            raise ScheduleError("unequal samples: " + ", ".join(f"{tasks[i]} has {tasks[i].samples}" for i in ends))
    return tuple(tuple(ends) for ends in groups.values())


def refuse_swapped(tasks: Sequence[Task]) -> None:
    """Raise ScheduleError if a connection's receives are not in the order of its sends: it is first in, first out."""
    sent: dict[tuple[int, int, Channel | None], list[Task]] = defaultdict(list)
    received: dict[tuple[int, int, Channel | None], list[Task]] = defaultdict(list)
    for task in tasks:
        if task.op is Op.SEND:
            sent[task.rank, task.peers[0], task.channel].append(task)
        elif task.op is Op.RECV:
            received[task.peers[0], task.rank, task.channel].append(task)
    for connection, sends in sent.items():
        for send, receive in zip(sends, received[connection], strict=True):
            if send.meeting != receive.meeting:
                raise ScheduleError(
                    f"{send} comes first on its connection ({connection[2]}), but rank {receive.rank} expects {receive}"
                )


def refuse_deadlock(tasks: tuple[Task, ...], members: tuple[tuple[int, ...], ...], before: list[Earlier]) -> None:
    """Raise ScheduleError naming a cycle of tasks that wait for each other."""
    graph = {node: set(earlier) for node, earlier in enumerate(before)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names = [str(tasks[members[node][0]]) for node in reversed(error.args[1])]
        raise ScheduleError("deadlock: " + " waits for ".join(names)) from None
