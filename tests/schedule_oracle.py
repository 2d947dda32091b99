"""How were schedules written and checked before they were columns? Task by task and by names; tests compare."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from edgesim.errors import ScheduleError
from edgesim.model import Model
from edgesim.plan import Plan, Stage
from edgesim.schedule import COLLECTIVE, COMPUTE, DISK, MESSAGE, Channel, Op, Payload, Stream, Task
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.workload import Workload

Programs = Sequence[Sequence[Task]]  # [rank]
Earlier = dict[tuple[int, bool], None]  # nodes, and whether only their sends; a dict keeps order and drops doubles


@dataclass(frozen=True, slots=True, eq=False)
class OldGraph:
    """A schedule with numbers for names: what both the check and the engine walk.

    A *node* is what starts at once: a computation, the two ends of a message, or all members of a collective.

    Attributes:
        tasks: all tasks, rank by rank.
        node_of: [task] its node.
        members: [node] its tasks; of a message (send, receive).
        waits: [node] how many ends it waits for.
        unlocks: [node] nodes that wait for its end; of a message, for the end of its receive.
        sent_unlocks: [node] of a message, nodes that wait for the end of its send only.
    """

    tasks: tuple[Task, ...]
    node_of: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    waits: tuple[int, ...]
    unlocks: tuple[tuple[int, ...], ...]
    sent_unlocks: tuple[tuple[int, ...], ...]


def old_graph(programs: Programs) -> OldGraph:
    """Number the dependencies of all programs' tasks. Raises ScheduleError on anything that cannot be played."""
    tasks = tuple(task for program in programs for task in program)
    number = _numbers(programs)
    members = _members(tasks)
    _refuse_swapped(tasks)
    node_of = [0] * len(tasks)
    for node, ends in enumerate(members):
        for end in ends:
            node_of[end] = node
    before: list[Earlier] = [{} for _ in members]
    for later, earlier in _waits(tasks, number):
        before[node_of[later]][node_of[earlier], tasks[earlier].op is Op.SEND] = None
    _refuse_deadlock(tasks, members, before)
    unlocks: tuple[list[list[int]], list[list[int]]] = ([[] for _ in members], [[] for _ in members])
    for node, nodes in enumerate(before):
        for other, sent in nodes:
            unlocks[sent][other].append(node)
    return OldGraph(
        tasks=tasks,
        node_of=tuple(node_of),
        members=members,
        waits=tuple(map(len, before)),
        unlocks=tuple(map(tuple, unlocks[False])),
        sent_unlocks=tuple(map(tuple, unlocks[True])),
    )


def _waits(tasks: tuple[Task, ...], number: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """(later, earlier) task: what each needs, and what stands before it in its stream."""
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


def _numbers(programs: Programs) -> dict[str, int]:
    """Each task's place among all of them, by its name."""
    for rank, program in enumerate(programs):
        for task in program:
            if task.rank != rank:
                raise ScheduleError(f"{task} is in the program of rank {rank}")
    number: dict[str, int] = {}
    for i, task in enumerate(task for program in programs for task in program):
        if number.setdefault(task.name, i) != i:
            raise ScheduleError(f"{task} appears twice in the schedule")
    return number


def _members(tasks: tuple[Task, ...]) -> tuple[tuple[int, ...], ...]:
    """Tasks grouped by what starts at once."""
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
        elif first.op in COLLECTIVE and sorted(tasks[i].rank for i in ends) != sorted(first.peers):
            raise ScheduleError(f"{first} is for ranks {first.peers}, but only {[tasks[i].rank for i in ends]} run it")
        if len({tasks[i].nbytes for i in ends}) > 1:
            raise ScheduleError("unequal bytes: " + ", ".join(f"{tasks[i]} has {tasks[i].nbytes} B" for i in ends))
        if first.op in MESSAGE and tasks[ends[0]].samples != tasks[ends[1]].samples:
            raise ScheduleError("unequal samples: " + ", ".join(f"{tasks[i]} has {tasks[i].samples}" for i in ends))
    return tuple(tuple(ends) for ends in groups.values())


def _refuse_swapped(tasks: Sequence[Task]) -> None:
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


def _refuse_deadlock(tasks: tuple[Task, ...], members: tuple[tuple[int, ...], ...], before: list[Earlier]) -> None:
    """Raise ScheduleError naming a cycle of tasks that wait for each other."""
    graph = {node: {other for other, _ in earlier} for node, earlier in enumerate(before)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names = [str(tasks[members[node][0]]) for node in reversed(error.args[1])]
        raise ScheduleError("deadlock: " + " waits for ".join(names)) from None


def old_programs(plan: Plan, model: Model, workload: Workload) -> Programs:
    """The programs of a hybrid pipeline, not checked."""
    writer = _PipelineWriter(plan, model, workload)
    programs = {rank: tuple(writer.program(s, rank)) for s, stage in enumerate(plan.stages) for rank in stage.ranks}
    return tuple(programs.get(rank, ()) for rank in range(max(programs) + 1))


def overlaps(stage: Stage, rank: int, other: Stage) -> Iterator[tuple[int, tuple[int, int]]]:
    start, stop = stage.sample_range(rank)
    for peer in other.ranks:
        first, last = other.sample_range(peer)
        if max(start, first) < min(stop, last):
            yield peer, (max(start, first), min(stop, last))


class _PipelineWriter:
    """Writes the program of one rank at a time."""

    def __init__(self, plan: Plan, model: Model, workload: Workload) -> None:
        self.plan, self.model, self.tokens = plan, model, workload.tokens
        self.infers = not workload.trains

    def program(self, s: int, rank: int) -> Iterator[Task]:
        stage, micro_batches = self.plan.stages[s], self.plan.micro_batches
        if self.infers:
            for m in range(micro_batches):
                yield from self.forward(s, rank, m)
            return
        for op, m in one_forward_one_backward(micro_batches=micro_batches, in_flight=stage.in_flight):
            yield from self.forward(s, rank, m) if op is Op.F else self.backward(s, rank, m)
        done = f"{s}B{micro_batches - 1}@"
        trainable = sum(layer.trainable_bytes for layer in self.model.layers[slice(*stage.layers)])
        if len(stage.ranks) > 1 and trainable:
            yield Task(
                op=Op.ALL_REDUCE,
                rank=rank,
                stage=s,
                layers=stage.layers,
                peers=stage.ranks,
                nbytes=trainable,
                needs=(f"{done}{rank}",),
            )
            done = f"{s}ALL_REDUCE@"
        yield Task(op=Op.UPDATE, rank=rank, stage=s, layers=stage.layers, needs=(f"{done}{rank}",))

    def forward(self, s: int, rank: int, m: int) -> Iterator[Task]:
        """Receive the input, compute, send the output on."""
        received = [] if s == 0 else list(self.messages(Op.RECV, Payload.ACTIVATION, s, rank, m))
        yield from received
        yield self.compute(Op.F, s, rank, m, needs=tuple(task.name for task in received))
        if s + 1 < len(self.plan.stages):
            yield from self.messages(Op.SEND, Payload.ACTIVATION, s, rank, m)

    def backward(self, s: int, rank: int, m: int) -> Iterator[Task]:
        """Receive the output's gradient, compute, send the input's gradient back."""
        last = s + 1 == len(self.plan.stages)
        received = [] if last else list(self.messages(Op.RECV, Payload.GRADIENT, s, rank, m))
        yield from received
        yield self.compute(Op.B, s, rank, m, needs=(f"{s}F{m}@{rank}", *(task.name for task in received)))
        if s > 0:
            yield from self.messages(Op.SEND, Payload.GRADIENT, s, rank, m)

    def compute(self, op: Op, s: int, rank: int, m: int, needs: tuple[str, ...]) -> Task:
        stage = self.plan.stages[s]
        return Task(
            op=op, rank=rank, stage=s, layers=stage.layers, micro_batch=m, samples=stage.sample_range(rank), needs=needs
        )

    def messages(self, op: Op, payload: Payload, s: int, rank: int, m: int) -> Iterator[Task]:
        """Yield a message for every rank of the other stage that shares samples with this rank.

        Activations come from the stage before and go to the next one; gradients travel the other way.
        """
        other = s + 1 if (op is Op.SEND) == (payload is Payload.ACTIVATION) else s - 1
        boundary = max(self.plan.stages[s].layers[0], self.plan.stages[other].layers[0])
        sent = self.model.layers[boundary - 1]
        if payload is Payload.GRADIENT and not sent.returns_gradient:
            return
        source, nbytes = ("F", sent.output_bytes) if payload is Payload.ACTIVATION else ("B", sent.gradient_bytes)
        for peer, (start, stop) in overlaps(self.plan.stages[s], rank, self.plan.stages[other]):
            yield Task(
                op=op,
                rank=rank,
                stage=s,
                layers=(boundary, boundary),
                micro_batch=m,
                samples=(start, stop),
                payload=payload,
                peers=(peer,),
                nbytes=nbytes(stop - start, self.tokens),
                needs=(f"{s}{source}{m}@{rank}",) if op is Op.SEND else (),
            )
