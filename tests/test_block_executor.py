"""Do ranks that divide blocks compute what one device does? All of a schedule in one process, without a network."""

from collections import defaultdict, deque
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from test_block_runtime import (
    OVERLAPPED,
    RINGS,
    SAMPLES,
    SEED,
    SEQUENCE,
    STARS,
    TENSOR,
    TOKENS,
    TOLERANCE,
    Way,
    inputs,
    model_of,
    trained,
    workload,
)
from torch import Tensor

from edgesim.model import Model
from edgesim.schedule import COMPUTE, Channel, Op, Schedule, Stream, Task
from edgesim.workload import Workload
from real_runtime.assignment import Assignment
from real_runtime.blocks.alike_layers import AlikeLayers, work_of_row
from real_runtime.blocks.executor import BlockExecutor
from real_runtime.data import DataSpec
from real_runtime.models import build_layers
from real_runtime.rank import make_executor
from real_runtime.stages.executor import StageExecutor
from real_runtime.testbeds.network_fit import message_schedule

RANKS = 3


class Room:
    """All ranks of a schedule, whose streams take turns; a message is a copy from one to the other."""

    def __init__(self, executors: Sequence[BlockExecutor], schedule: Schedule) -> None:
        self.executors = executors
        self.queues: dict[tuple[int, Stream], deque[Task]] = defaultdict(deque)
        for task in schedule:
            self.queues[task.rank, task.stream].append(task)
        self.done: set[str] = set()
        self.sent: dict[tuple[int, int, Channel | None], deque[Tensor]] = defaultdict(deque)
        self.posted: dict[str, Tensor] = {}

    def play(self) -> None:
        """Until all queues are empty."""
        while any(self.queues.values()):
            before = len(self.done)
            for queue in self.queues.values():
                while queue and all(need in self.done for need in queue[0].needs) and self.perform(queue[0]):
                    self.done.add(queue.popleft().name)
            assert len(self.done) > before, "nobody can go on"

    def perform(self, task: Task) -> bool:
        """Do the task unless it must wait for other ranks."""
        executor = self.executors[task.rank]
        if task.op in COMPUTE:
            executor.compute(task)
        elif task.op is Op.SEND:
            tensor = executor.outgoing(task)
            assert tensor.nbytes == task.nbytes
            self.sent[task.rank, task.peers[0], task.channel].append(tensor.clone())
        elif task.op is Op.RECV:
            if task.name not in self.posted:
                self.posted[task.name] = executor.incoming(task)
            arrived = self.sent[task.peers[0], task.rank, task.channel]
            if not arrived:
                return False
            self.posted[task.name].copy_(arrived.popleft())
        else:
            return self.reduce(task)
        return True

    def reduce(self, task: Task) -> bool:
        """Add up once all members have come to it."""
        heads = [self.queues[rank, task.stream] for rank in task.peers]
        if not all(queue and queue[0].op is task.op and self.is_ready(queue[0]) for queue in heads):
            return all(need in self.done for need in task.needs) and self.is_reduced(task)
        members = [self.executors[queue[0].rank].reduced(queue[0]) for queue in heads]
        total = torch.stack([member.reshape(-1) for member in members]).sum(dim=0)
        for member in members:
            member.copy_(total.view_as(member))
        self.done |= {f"reduced {queue[0].name}" for queue in heads}
        return True

    def is_ready(self, task: Task) -> bool:
        return all(need in self.done for need in task.needs) and not self.is_reduced(task)

    def is_reduced(self, task: Task) -> bool:
        return f"reduced {task.name}" in self.done


def room(way: Way, model: Model, work: Workload, *, micro_batches: int = 1) -> tuple[list[BlockExecutor], Schedule]:
    schedule = way.strategy(way.plan(model, RANKS, micro_batches), model, work)
    assignment = Assignment(
        schedule=schedule, model=model, workload=work, data=DataSpec(kind="text"), iterations=1, seed=SEED
    )
    return [BlockExecutor(assignment, program) for program in schedule.programs], schedule


def played(executors: Sequence[BlockExecutor], schedule: Schedule, iterations: int = 1) -> list[float]:
    """The loss of each iteration."""
    losses = []
    for iteration in range(iterations):
        for executor in executors:
            executor.begin(iteration)
        Room(executors, schedule).play()
        losses.append(sum(executor.loss() for executor in executors))
    return losses


@pytest.mark.parametrize("way", [*RINGS, *STARS], ids=lambda way: way.name)
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_ranks_put_out_what_the_layers_do(name: str, way: Way) -> None:
    model, work = model_of(name), workload(batch_samples=2 * SAMPLES)
    executors, schedule = room(way, model, work, micro_batches=2)
    played(executors, schedule)
    with torch.no_grad():
        expected = build_layers(model, range(len(model.layers)), seed=SEED)(inputs(model, work)[0])
    logits = torch.cat([executor.results()["logits"] for executor in executors], dim=2 if way.units else 1)
    torch.testing.assert_close(logits, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))


@pytest.mark.parametrize("way", [TENSOR, SEQUENCE, *STARS[:2]], ids=lambda way: way.name)
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_ranks_lose_what_one_device_does_over_two_steps(name: str, way: Way) -> None:
    model = model_of(name)
    work = workload(purpose="train", batch_samples=2 * SAMPLES, optimiser="momentum", learning_rate=0.1)
    executors, schedule = room(way, model, work, micro_batches=2)
    assert played(executors, schedule, iterations=2) == pytest.approx(trained(model, work, 2)[1], rel=TOLERANCE)


def test_what_a_rank_has_sent_and_used_is_let_go_of_after_some_blocks() -> None:
    model, work = model_of("gpt2"), workload()
    executors, schedule = room(OVERLAPPED, model, work)
    played(executors, schedule)
    for executor in executors:
        store = executor.state.store
        assert not any(count for count in store.to_send.values())
        assert not any(place.block.startswith("decoder.0/attention") for place in (*store.made, *store.received))
        assert any(place.block.startswith("decoder.1/mlp") for place in store.received)
        assert not any(state.inner or state.projected for state in executor.state.passes.values())


def test_an_assignment_of_blocks_and_one_of_layers_or_messages_get_their_executors() -> None:
    model, work = model_of("bert"), workload()
    schedule = TENSOR.strategy(TENSOR.plan(model, RANKS), model, work)
    assignment = partial(Assignment, model=model, workload=work, data=DataSpec(kind="text"), iterations=1, seed=SEED)
    assert isinstance(make_executor(assignment(schedule=schedule), schedule.programs[0]), BlockExecutor)
    messages = message_schedule([(0, 1)], 64)
    assert isinstance(make_executor(assignment(schedule=messages), messages.programs[0]), StageExecutor)


def test_a_row_is_of_every_layer_that_costs_the_same_and_says_its_work_again() -> None:
    model, work = model_of("gpt2"), workload()
    schedule = SEQUENCE.strategy(SEQUENCE.plan(model, RANKS), model, work)
    alike = AlikeLayers(
        Assignment(schedule=schedule, model=model, workload=work, data=DataSpec(kind="text"), iterations=1, seed=SEED)
    )
    task = next(task for task in schedule if task.block == f"{model.layers[2].name}/attention.core")
    rows = alike.rows(alike.work(task), 0.25)
    assert [row["block"] for row in rows] == [f"{layer.name}/attention.core" for layer in model.layers[1:3]]
    assert {row["seconds"] for row in rows} == {0.25}
    assert work_of_row(rows[0]) == alike.work(task)
    assert work_of_row(rows[0]).keys == TOKENS
