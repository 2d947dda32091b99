"""Does the first computation that puts out something else than numbers end the run, and is it named?"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from block_builders import block_plan, write
from runtime_builders import BERT, CASES, data, workload
from torch import Tensor

from edgesim.schedule import Op, Schedule, Task
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Purpose, Workload
from edgesim.zoo.bert import bert
from real_runtime.assignment import Assignment
from real_runtime.blocks.executor import BlockExecutor
from real_runtime.control.board import Board, shared_memory
from real_runtime.control.evidence import Failure
from real_runtime.failures import describe
from real_runtime.playing.finiteness import NotFiniteError, refuse_not_finite
from real_runtime.playing.iteration import Executor, IterationPlayer, TaskError
from real_runtime.stages.executor import StageExecutor

TOO_LARGE = 3e38  # a learning rate whose first step leaves weights that are numbers, and of no use


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_a_single_number_that_is_none_is_found_and_counted(bad: float) -> None:
    made = torch.zeros(3, 5)
    refuse_not_finite([made], 0)
    made[1, 2] = bad
    with pytest.raises(NotFiniteError, match=r"^in iteration 4, 1 of 15 numbers are infinite or none \(try a smaller"):
        refuse_not_finite([torch.ones(2), made], 4)


def test_large_numbers_whose_sum_is_infinite_are_numbers() -> None:
    refuse_not_finite([torch.full((8,), 3e38)], 0)


def assignment_of(schedule: Schedule, work: Workload, model=BERT) -> Assignment:
    return Assignment(schedule=schedule, model=model, workload=work, data=data(BERT), iterations=1, seed=0)


def player_of(executor: Executor, program: tuple[Task, ...]) -> IterationPlayer:
    dilation = SimpleNamespace(run=lambda work, kind, waited: (work(), 0.0, 0.0))
    host = SimpleNamespace(dilation=dilation, board=Board(shared_memory()), transport=None, begins=lambda *_: None)
    return IterationPlayer(host, executor, program, 1)  # type: ignore[arg-type]


def one_device(work: Workload) -> tuple[StageExecutor, tuple[Task, ...]]:
    plan = replace(CASES[0], groups=((0,),), samples=((6,),)).plan(BERT)
    schedule = hybrid_pipeline(plan, BERT, work)
    return StageExecutor(assignment_of(schedule, work), schedule.programs[0]), schedule.programs[0]


def failure(executor: Executor, program: tuple[Task, ...]) -> dict[str, object]:
    executor.begin(1)
    with pytest.raises(TaskError) as error:
        player_of(executor, program).play()
    return describe(error.value)


def test_weights_that_a_step_throws_out_of_all_bounds_are_told_of_the_step() -> None:
    executor, program = one_device(replace(workload(BERT), learning_rate=TOO_LARGE))
    assert executor.stage is not None
    for weights in executor.stage.module.parameters():
        weights.register_hook(lambda gradient: 1e10 * gradient)
    told = failure(executor, program)
    assert told["task"] == "0UPDATE@0"
    assert told["failure"] is Failure.NOT_FINITE
    assert str(told["message"]).startswith("in iteration 1, ")


def test_a_loss_that_is_none_is_told_of_the_micro_batch_whose_it_is() -> None:
    executor, program = one_device(workload(BERT))
    assert executor.stage is not None
    layer, calls = executor.stage.module[-1], []
    forward = layer.forward

    def third_is_none(entered: Tensor) -> Tensor:
        calls.append(entered)
        return forward(entered) * (torch.nan if len(calls) == 3 else 1.0)

    layer.forward = third_is_none  # type: ignore[method-assign]
    assert failure(executor, program)["task"] == "0F2@0"


def test_gradients_of_weights_alone_are_told_with_the_step_that_they_make() -> None:
    executor, program = one_device(workload(BERT))
    assert executor.stage is not None
    executor.stage.module[0].word_embeddings.weight.register_hook(lambda gradient: gradient / 0.0)
    assert failure(executor, program)["task"] == "0UPDATE@0"


def test_blocks_are_told_by_their_names() -> None:
    model = bert(name="bert", layers=2, hidden=48, heads=12, columns=20, vocabulary=259, positions=64)
    plan = block_plan(model, "sequence", 1)
    schedule = write(plan, model, "sequence", purpose=Purpose.TRAIN)
    work = replace(workload(BERT), batch_samples=2, micro_batch_samples=2, tokens=24)
    executor = BlockExecutor(assignment_of(schedule, work, model), schedule.programs[0])
    with torch.no_grad():
        executor.computations["encoder.1/mlp"].shard.out[3, 3] = torch.inf  # type: ignore[attr-defined]
    told = failure(executor, schedule.programs[0])
    assert told["task"] == next(t.name for t in schedule if t.op is Op.F and t.block == "encoder.1/mlp")
