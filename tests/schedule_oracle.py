"""How were schedules written and checked before they were columns? Task by task and by names; tests compare."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgesim.model import Model
from edgesim.plan import Plan, Stage
from edgesim.schedule import Op, Payload, Stream, Task
from edgesim.schedule.refusal import members_of, numbers_of, refuse_deadlock, refuse_swapped, waits_of
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
    number = numbers_of(programs)
    members = members_of(tasks)
    refuse_swapped(tasks)
    node_of = [0] * len(tasks)
    for node, ends in enumerate(members):
        for end in ends:
            node_of[end] = node
    before: list[Earlier] = [{} for _ in members]
    for later, earlier in without_turns(waits_of(tasks, number), tasks):
        before[node_of[later]][node_of[earlier], tasks[earlier].op is Op.SEND] = None
    refuse_deadlock(tasks, members, [{other: None for other, _ in nodes} for nodes in before])
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


def without_turns(waits: Iterator[tuple[int, int]], tasks: tuple[Task, ...]) -> Iterator[tuple[int, int]]:
    """The waits for others than those that stand further before in one's own queue, as they have ended anyway."""
    before: dict[int, int] = {}
    last: dict[tuple[int, Stream], int] = {}
    for i, task in enumerate(tasks):
        if task.op is not Op.RECV:
            before[i] = last.get((task.rank, task.stream), i)
            last[task.rank, task.stream] = i
    for later, earlier in waits:
        one, other = tasks[later], tasks[earlier]
        queued = one.op is not Op.RECV and (one.rank, one.stream) == (other.rank, other.stream) and earlier < later
        if not queued or before[later] == earlier:
            yield later, earlier


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
