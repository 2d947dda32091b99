"""Stages that compute activations a second time hold less, take longer, and learn the same."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from builders import (
    chain,
    constant_profile,
    data_plan,
    device,
    homogeneous,
    pipeline_plan,
    plan_of,
    switched,
    workload,
)

from edgesim.cluster import Cluster
from edgesim.errors import OutOfMemoryError, PlanError
from edgesim.footprint import memory_over_time
from edgesim.model import Model, from_table
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.pipeline_energy import above_idle_j
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.exact.certify import certify
from edgesim.planners.literature.gpipe import gpipe
from edgesim.planners.problem import Problem, ask
from edgesim.planners.recomputation import Recompute, recomputed
from edgesim.schedule import Op, Schedule
from edgesim.simulator import simulate
from edgesim.strategies.data import data
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.trace import Trace
from edgesim.workload import Purpose
from edgesim.zoo.bert import bert
from real_runtime.stages.module import StageModule

F_S, B_S, UPDATE_S = 1.0, 2.0, 0.5  # of a layer


def again(plan: Plan, *stages: int) -> Plan:
    """The plan whose stages recompute: all, or these."""
    chosen = stages or range(len(plan.stages))
    return replace(plan, stages=tuple(replace(s, recompute=p in chosen) for p, s in enumerate(plan.stages)))


def written(plan: Plan, model: Model) -> Schedule:
    return hybrid_pipeline(
        plan, model, workload(micro_batches=plan.micro_batches, micro_batch_samples=plan.micro_batch_samples)
    )


def played(plan: Plan, model: Model, cluster: Cluster) -> Trace:
    profile = constant_profile(model, cluster, forward_s=F_S, backward_s=B_S, update_s=UPDATE_S)
    return simulate(written(plan, model), cluster=cluster, model=model, profile=profile, tokens=1)


def test_a_micro_batch_is_computed_again_just_before_it_goes_back_once_its_output_was_sent() -> None:
    model = chain(2)
    first = written(again(pipeline_plan(model, micro_batches=2, depth=Depth.GPIPE)), model).programs[0]
    computed = [task for task in first if task.op in (Op.F, Op.B, Op.RECOMPUTE)]
    assert [task.name for task in computed] == ["0F0@0", "0F1@0", "0RECOMPUTE0@0", "0B0@0", "0RECOMPUTE1@0", "0B1@0"]
    assert computed[2].needs == ("0F0@0", "0SEND_activation0@0>1")
    assert computed[3].needs == ("0RECOMPUTE0@0", "0RECV_gradient0@0<1")
    assert (computed[2].layers, computed[2].samples) == (computed[0].layers, computed[0].samples)


def test_only_the_stages_that_are_told_so_recompute() -> None:
    model = chain(3)
    programs = written(again(pipeline_plan(model, micro_batches=3), 1), model).programs
    assert [sum(task.op is Op.RECOMPUTE for task in program) for program in programs] == [0, 3, 0]


def test_requests_have_nothing_to_compute_again() -> None:
    model, asked = chain(2), workload(micro_batches=2, purpose=Purpose.INFER)
    plan = pipeline_plan(model, micro_batches=2)
    assert hybrid_pipeline(again(plan), model, asked) == hybrid_pipeline(plan, model, asked)


def test_buckets_are_added_up_behind_a_whole_recomputation() -> None:
    model = chain(2, parameter_bytes=4000)
    plan = again(data_plan(model, [1, 1]))
    program = data(plan, model, workload(micro_batch_samples=2), bucket_bytes=1).programs[0]
    assert [task.name for task in program][:4] == ["0F0@0", "0RECOMPUTE0@0", "0B0:0@0", "0ALL_REDUCE:0@0"]
    assert program[2].needs == ("0RECOMPUTE0@0",)


def test_a_schedule_with_recomputation_is_read_as_it_was_written() -> None:
    model = chain(2)
    schedule = written(again(pipeline_plan(model, micro_batches=2)), model)
    read = Schedule.from_text(schedule.to_text())
    assert (read, read.hash) == (schedule, schedule.hash)


def test_a_plan_says_who_recomputes_and_old_plans_do_not() -> None:
    plan = pipeline_plan(chain(2), micro_batches=2)
    half = again(plan, 1)
    assert str(half) == "layers 0-0 on r0:1 K=2 | layers 1-1 on r1:1 K=1, recomputed"
    assert Plan.from_json(half.to_json()) == half != plan
    assert '"recompute"' not in plan.to_json()
    assert Plan.from_json(plan.to_json()) == plan


def test_ranks_that_divide_blocks_recompute_nothing() -> None:
    stage = data_plan(chain(1), [1]).stages[0]
    with pytest.raises(PlanError, match="only ranks that divide samples recompute"):
        replace(stage, tokens=(1,), recompute=True)


# --- seconds ----------------------------------------------------------------------------------------------------------


def test_one_device_pays_a_forward_pass_more_per_micro_batch() -> None:
    model, cluster = chain(2), homogeneous(1)
    plan = data_plan(model, [1], micro_batches=3)
    assert played(plan, model, cluster).makespan_s == 3 * 2 * (F_S + B_S) + 2 * UPDATE_S
    assert played(again(plan), model, cluster).makespan_s == 3 * 2 * (F_S + B_S + F_S) + 2 * UPDATE_S


def test_a_stage_recomputes_while_it_waits_for_a_gradient() -> None:
    """(M + P - 1)(F + B) = 9 s without; the last stage waits for nothing, the first one for the first gradient."""
    model, cluster = chain(2), homogeneous(2)
    plan = pipeline_plan(model, micro_batches=2, depth=Depth.GPIPE)
    assert played(plan, model, cluster).makespan_s == 9 + UPDATE_S
    assert played(again(plan), model, cluster).makespan_s == 11 + UPDATE_S
    assert played(again(plan, 0), model, cluster).makespan_s == 10 + UPDATE_S


def test_the_formulas_count_the_second_pass() -> None:
    model, cluster = chain(2), homogeneous(1)
    plan = data_plan(model, [1], micro_batches=3)
    profile = constant_profile(model, cluster, forward_s=F_S, backward_s=B_S, update_s=UPDATE_S)
    problem = Problem(model=model, cluster=cluster, profile=profile, workload=workload(micro_batches=3))
    assert iteration_s(problem, again(plan)) == pytest.approx(played(again(plan), model, cluster).makespan_s)
    more_j = above_idle_j(StageCosts(problem), again(plan))[0] - above_idle_j(StageCosts(problem), plan)[0]
    power = cluster.devices[0].power
    assert more_j == pytest.approx(3 * 2 * F_S * (power.compute_w - power.idle_w))


def test_no_bound_of_pipelines_that_keep_activations_is_told_of_one_that_recomputes() -> None:
    model, cluster = chain(2), homogeneous(2)
    plan = again(pipeline_plan(model, micro_batches=2))
    problem = Problem(
        model=model, cluster=cluster, profile=constant_profile(model, cluster), workload=workload(micro_batches=2)
    )
    with pytest.raises(PlanError, match="certify bounds pipelines that keep activations"):
        certify(problem, plan)


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_of_all_micro_batches_in_flight_only_one_is_stashed() -> None:
    """A stash of 500 B beyond the output that is sent, of four micro-batches or of one; all else is the same."""
    model, cluster, asked = chain(2), homogeneous(2), workload(micro_batches=4)
    plan = pipeline_plan(model, micro_batches=4, depth=Depth.GPIPE)
    kept, less = (each.memory(model, cluster, asked)[0] for each in (plan, again(plan)))
    assert (kept.stash_bytes, less.stash_bytes) == (4 * 500, 500)
    assert replace(kept, stash_bytes=500) == less


def test_a_stash_lives_from_the_recomputation_to_the_end_of_the_backward() -> None:
    """Weights and gradients of two layers are 16 kB, their stash is 1 kB."""
    model, cluster = chain(2), homogeneous(1)
    trace = played(again(plan_of_two(model)), model, cluster)
    steps = memory_over_time(trace.of_rank(0), model, workload(micro_batches=2), device())
    assert steps == [
        (0, 16000),
        (0, 16000),
        (2, 16000),
        (4, 17000),
        (10, 16000),
        (10, 17000),
        (16, 16000),
    ]


def plan_of_two(model: Model) -> Plan:
    """Both forward passes of one device, then both backward passes."""
    stage = replace(data_plan(model, [1]).stages[0], in_flight=2)
    return plan_of(model, [stage], micro_batches=2)


# --- planners ---------------------------------------------------------------------------------------------------------


def a_problem(memory_bytes: float, *, micro_batches: int = 8) -> Problem:
    """A pipeline of two boards, whose layers have 4 kB of weights and gradients each, and stashes of 0.5 kB."""
    model, cluster = chain(2, output_bytes=0), homogeneous(2, memory_bytes=memory_bytes, network=switched(2))
    return Problem(
        model=model,
        cluster=cluster,
        profile=constant_profile(model, cluster),
        workload=workload(micro_batches=micro_batches),
    )


def test_gpipe_fits_with_recomputation_where_it_does_not_without() -> None:
    """8 kB and 8 stashes are 12 kB; with one stash 8.5 kB."""
    assert [stage.recompute for stage in ask(gpipe, a_problem(12000)).stages] == [False, False]
    assert [stage.recompute for stage in ask(gpipe, a_problem(11999)).stages] == [True, True]
    with pytest.raises(OutOfMemoryError):
        ask(gpipe, a_problem(8499))


@pytest.mark.parametrize(
    ("recompute", "memory_bytes", "expected"),
    [
        ("never", 11999, [False, False]),
        ("where_needed", 12000, [False, False]),
        ("always", 12000, [True, True]),
    ],
)
def test_whether_stages_recompute_can_be_asked_for(
    recompute: Recompute, memory_bytes: float, expected: list[bool]
) -> None:
    plan = gpipe(a_problem(memory_bytes), recompute=recompute)
    assert [stage.recompute for stage in plan.stages] == expected


def test_with_one_micro_batch_in_flight_nothing_is_gained() -> None:
    problem = a_problem(1e9, micro_batches=1)
    assert not any(stage.recompute for stage in gpipe(problem, recompute="always").stages)


def test_an_unknown_word_is_refused_with_those_that_are_known() -> None:
    problem = a_problem(1e9)
    with pytest.raises(PlanError, match=r"unknown recompute 'sometimes' \(try 'never', 'where_needed', 'always'"):
        recomputed(problem, gpipe(problem), "sometimes")  # type: ignore[arg-type]


# --- for real ---------------------------------------------------------------------------------------------------------

BERT = bert(name="small", layers=2, hidden=64, heads=4, columns=128, vocabulary=259, positions=64)
MOBILENET = from_table(table="mobilenet_v2")


def text() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 259, (4, 16), generator=torch.Generator().manual_seed(1))
    return ids, ids


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(4, 3, 64, 64, generator=generator), torch.randint(0, 10, (4,), generator=generator)


@pytest.mark.xdist_group("torch")
@pytest.mark.parametrize(("model", "drawn"), [(BERT, text), (MOBILENET, images)], ids=["bert", "mobilenet"])
def test_a_stage_that_recomputes_learns_the_same_to_the_bit(
    model: Model, drawn: Callable[[], tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """Losses, gradients, and the running statistics of batch norms, which see every sample once."""
    inputs, targets = drawn()
    asked = workload(micro_batches=2, micro_batch_samples=2, tokens=inputs.shape[1] if model is BERT else 1)
    layers = (0, len(model.layers))
    kept, less = (StageModule(model, asked, layers, seed=3, stops=[1]) for _ in range(2))
    for m in range(2):
        part = slice(2 * m, 2 * m + 2)
        kept.forward(m, inputs[part], targets[part])
        less.forward_keeping_input(m, inputs[part], targets[part])
    for m in range(2):
        kept.backward(m, layers, None)
        less.recompute(m)
        less.backward(m, layers, None)
    assert less.loss == kept.loss > 0
    assert torch.equal(less.flat_gradients, kept.flat_gradients)
    assert float(kept.flat_gradients.abs().sum()) > 0
    for mine, theirs in zip(less.module.buffers(), kept.module.buffers(), strict=True):
        assert torch.equal(mine, theirs)
