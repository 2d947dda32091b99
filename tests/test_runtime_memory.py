"""Does a rank of the runtime hold what memory.py says? One rank's program, played here among ranks that only listen."""

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from edgesim.memory import Memory, boundary_bytes
from edgesim.plan import Depth, Plan, make_stages
from edgesim.schedule import Op, Task
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from real_runtime.assignment import Assignment
from real_runtime.control.board import Board, shared_memory
from real_runtime.data import DataSpec
from real_runtime.playing.iteration import IterationPlayer
from real_runtime.stages.executor import StageExecutor
from real_runtime.transport import Transport

BERT = bert(name="small", layers=4, hidden=64, heads=4, columns=128, vocabulary=259, positions=64)
WORK = Workload(purpose="train", batch_samples=24, micro_batch_samples=4, tokens=16, optimiser="sgd", learning_rate=0.1)


class Living(TorchDispatchMode):
    """The bytes of all tensors that live: every storage that an operation returns, until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}

    def add(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self.sizes:
                self.sizes[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.sizes.pop, storage._cdata)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.add(
            entry for entry in (found if isinstance(found, tuple | list) else [found]) if isinstance(entry, Tensor)
        )
        return found

    @property
    def nbytes(self) -> int:
        return sum(self.sizes.values())


class Listening(Transport):
    """Everybody else takes what is sent, and sends zeros."""

    def __init__(self) -> None:
        self.uplink, self.spare_bytes = None, 0
        self.ranks = ()  # no ring is of all ranks, for which gloo would have to be there

    def send(self, tensor: Tensor, *_: object) -> None:
        assert tensor.nbytes

    def post_receive(self, tensor: Tensor, *_: object) -> Any:
        tensor.zero_()
        return SimpleNamespace(wait=lambda: None, chunks=[tensor])  # holds the tensor, as a Receive does

    def exchange(self, out: Tensor, to: int, into: Tensor, source: int) -> None:
        if into.untyped_storage().nbytes() < self.whole_bytes:
            self.spare_bytes = into.untyped_storage().nbytes()
        into.zero_()

    def all_reduce(self, flat: Tensor, ring: tuple[int, ...], rank: int) -> None:
        self.whole_bytes = flat.nbytes
        super().all_reduce(flat, ring, rank)


def plan_of(groups: list[list[int]], cuts: list[int], samples: list[list[int]], depth: Depth) -> Plan:
    stages = make_stages(cuts=cuts, groups=groups, samples=samples, depth=depth, micro_batches=WORK.micro_batches)
    return Plan(
        model=BERT.name,
        stages=stages,
        micro_batches=WORK.micro_batches,
        planner="by hand",
        micro_batch_samples=WORK.micro_batch_samples,
    )


def live_between_tasks(plan: Plan, rank: int) -> tuple[int, int]:
    """The most bytes that live between two tasks of a rank, its module included, and those of the ring's spare part."""
    schedule = hybrid_pipeline(plan, BERT, WORK)
    program = schedule.programs[rank]
    assignment = Assignment(
        schedule=schedule, model=BERT, workload=WORK, data=DataSpec(kind="text"), iterations=1, seed=0
    )
    transport, most = Listening(), 0
    with Living() as living:
        executor = StageExecutor(assignment, program)
        assert executor.stage is not None
        living.add(executor.stage.module.parameters())
        executor.begin(0)
        batch = [executor.inputs, executor.targets]
        living.add(batch)
        of_data = sum(tensor.untyped_storage().nbytes() for tensor in batch)
        compute = executor.compute

        def watched(task: Task) -> None:
            nonlocal most
            compute(task)
            if task.op in (Op.F, Op.RECOMPUTE):
                most = max(most, living.nbytes - of_data)

        executor.compute = watched  # type: ignore[method-assign]
        dilation = SimpleNamespace(run=lambda work, kind, waited: (work(), 0.0, 0.0))
        host = SimpleNamespace(
            transport=transport, dilation=dilation, board=Board(shared_memory()), begins=lambda *_: None
        )
        player = IterationPlayer(host, executor, program, 0)  # type: ignore[arg-type]
        for task in program:  # in one thread: nobody waits for anybody, and what is received is there
            if task.op is not Op.RECV:
                player.perform(task, player.slots[task.stream], waited=False)
    return most, transport.spare_bytes


def needs(plan: Plan, rank: int) -> Memory:
    board = SimpleNamespace(context_bytes=0.0)
    return plan.memory(BERT, SimpleNamespace(devices=(board,) * 3), WORK)[rank]  # type: ignore[arg-type]


def plans() -> Iterator[Any]:
    for depth in Depth:
        pipeline = plan_of([[0], [1], [2]], [0, 2, 4, 6], [[4], [4], [4]], depth)
        hybrid = plan_of([[0], [1, 2]], [0, 3, 6], [[4], [3, 1]], depth)
        for rank in range(3):
            yield pytest.param(pipeline, rank, id=f"pipeline {depth} rank {rank}")
            yield pytest.param(hybrid, rank, id=f"hybrid {depth} rank {rank}")
    stages = tuple(replace(stage, recompute=True) for stage in pipeline.stages)
    for rank in range(3):
        yield pytest.param(replace(pipeline, stages=stages), rank, id=f"recomputed {depth} rank {rank}")


@pytest.mark.slow
@pytest.mark.parametrize(("plan", "rank"), list(plans()))
def test_a_rank_holds_what_its_plan_says(plan: Plan, rank: int) -> None:
    """Counted throughout, there from their backward on: gradients of the inputs of micro-batches in flight."""
    stage = next(stage for stage in plan.stages if rank in stage.ranks)
    samples = stage.samples[stage.ranks.index(rank)]
    entering, _ = boundary_bytes(BERT, stage.layers, samples=samples, tokens=WORK.tokens)
    held, (live_bytes, spare_bytes) = needs(plan, rank), live_between_tasks(plan, rank)
    not_yet_bytes = min(stage.in_flight, WORK.micro_batches) * entering
    assert held.resting_bytes + held.stash_bytes - not_yet_bytes == pytest.approx(live_bytes, rel=1e-3)
    assert spare_bytes == held.ring_bytes
