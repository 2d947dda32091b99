"""Replicas that add their gradients bucket by bucket wait less, and hold what that takes."""

from dataclasses import replace

import pytest
from builders import chain, constant_profile, data_plan, device, homogeneous, hybrid_plan, switched, workload

from edgesim.errors import PlanError
from edgesim.footprint import memory_over_time
from edgesim.model import Cost, Layer, Model
from edgesim.plan import Plan
from edgesim.schedule import Op, Schedule, Task
from edgesim.simulator import simulate
from edgesim.strategies.data import data
from edgesim.strategies.gradient_buckets import gradient_buckets
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.trace import Trace

MODEL = chain(3, parameter_bytes=4000)
F_S, B_S = 1.0, 2.0  # of a layer


def written(plan: Plan, bucket_bytes: float | None, model: Model = MODEL) -> Schedule:
    asked = workload(micro_batches=plan.micro_batches, micro_batch_samples=plan.micro_batch_samples)
    return hybrid_pipeline(plan, model, asked, bucket_bytes=bucket_bytes)


def played(bucket_bytes: float | None, *, micro_batches: int = 2, bytes_per_s: float = 4000) -> Trace:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=bytes_per_s))
    schedule = written(data_plan(MODEL, [1, 1], micro_batches=micro_batches), bucket_bytes)
    profile = constant_profile(MODEL, cluster, forward_s=F_S, backward_s=B_S, update_s=0.5)
    return simulate(schedule, cluster=cluster, model=MODEL, profile=profile, tokens=1)


def with_layer(index: int, layer: Layer) -> Model:
    layers = list(MODEL.layers)
    layers[index] = layer
    return replace(MODEL, layers=tuple(layers))


def frozen(layer: Layer) -> Layer:
    return replace(layer, blocks=tuple(replace(block, trainable=False) for block in layer.blocks))


@pytest.mark.parametrize(
    ("bucket_bytes", "buckets"),
    [
        (1, [((2, 3), 4000), ((1, 2), 4000), ((0, 1), 4000)]),
        (4000, [((2, 3), 4000), ((1, 2), 4000), ((0, 1), 4000)]),
        (4001, [((1, 3), 8000), ((0, 1), 4000)]),
        (8001, [((0, 3), 12000)]),
    ],
)
def test_a_bucket_ends_with_the_layer_that_fills_it(
    bucket_bytes: float, buckets: list[tuple[tuple[int, int], int]]
) -> None:
    assert gradient_buckets(MODEL, (0, 3), bucket_bytes) == buckets


def test_frozen_layers_before_all_that_is_trained_belong_to_its_bucket() -> None:
    assert gradient_buckets(with_layer(0, frozen(MODEL.layers[0])), (0, 3), 4000) == [((2, 3), 4000), ((0, 2), 4000)]


def test_no_bucket_ends_where_no_gradient_goes_back() -> None:
    (block,) = MODEL.layers[1].blocks
    silent = with_layer(1, Layer(name="l1", blocks=(replace(block, gradient_bytes=Cost()),)))
    assert gradient_buckets(silent, (0, 3), 4000) == [((1, 3), 8000), ((0, 1), 4000)]


@pytest.mark.parametrize("bucket_bytes", [0, -1, float("nan")])
def test_buckets_that_nothing_could_fill_are_refused(bucket_bytes: float) -> None:
    with pytest.raises(PlanError, match="bucket_bytes must be > 0"):
        written(data_plan(MODEL, [1, 1]), bucket_bytes)


def test_the_last_micro_batch_goes_back_bucket_by_bucket_and_the_update_waits_for_all() -> None:
    program = written(data_plan(MODEL, [2, 1], micro_batches=2), 8000).programs[1]
    assert [task.name for task in program] == [
        "0F0@1",
        "0B0@1",
        "0F1@1",
        "0B1:0@1",
        "0ALL_REDUCE:0@1",
        "0B1:1@1",
        "0ALL_REDUCE:1@1",
        "0UPDATE@1",
    ]
    by_name: dict[str, Task] = {task.name: task for task in program}
    assert by_name["0B1:0@1"].needs == ("0F1@1",)
    assert by_name["0B1:1@1"].needs == ("0B1:0@1",)
    assert by_name["0ALL_REDUCE:1@1"].needs == ("0B1:1@1",)
    assert by_name["0UPDATE@1"].needs == ("0ALL_REDUCE:0@1", "0ALL_REDUCE:1@1")
    assert [(task.layers, task.nbytes) for task in program if task.op is Op.ALL_REDUCE] == [
        ((1, 3), 8000),
        ((0, 1), 4000),
    ]


def test_a_gradient_is_sent_back_behind_the_last_bucket() -> None:
    plan = hybrid_plan(chain(4), [[2], [1, 1]], micro_batches=1)
    sent = next(task for task in written(plan, 1, chain(4)).programs[1] if task.op is Op.SEND)
    assert sent.needs == ("1B0:2@1",)
    assert not any(task.bucket is not None for task in written(plan, 1, chain(4)).programs[0]), "nobody to add with"


def test_one_bucket_is_the_schedule_without_buckets() -> None:
    plan = data_plan(MODEL, [2, 1], micro_batches=2)
    assert written(plan, 12000) == written(plan, None)
    asked = workload(micro_batches=2, micro_batch_samples=3)
    assert data(plan, MODEL, asked, bucket_bytes=4000) == written(plan, 4000) != written(plan, None)


def test_a_schedule_with_buckets_is_read_as_it_was_written() -> None:
    schedule = written(data_plan(MODEL, [2, 1], micro_batches=2), 4000)
    read = Schedule.from_text(schedule.to_text())
    assert (read, read.hash, read.programs) == (schedule, schedule.hash, schedule.programs)


@pytest.mark.parametrize(
    ("bytes_per_s", "waits_s"),
    [
        (4000, 1),  # 1 s for each bucket, 2 s to compute the next: only the last one is waited for
        (2000, 2),
        (1000, 8),  # three buckets of 4 s begin when the first layer has gone back
    ],
)
def test_only_what_is_added_up_behind_the_last_layer_costs_time(bytes_per_s: float, waits_s: float) -> None:
    """Two replicas, two micro-batches, three layers of 1 and 2 s, an update of half a second for each layer."""
    computed_s = 2 * 3 * (F_S + B_S) + 3 * 0.5
    assert played(4000, bytes_per_s=bytes_per_s).makespan_s == pytest.approx(computed_s + waits_s)
    assert played(None, bytes_per_s=bytes_per_s).makespan_s == pytest.approx(computed_s + 12000 / bytes_per_s)


def test_stashes_go_bucket_by_bucket_beside_the_spare_part_of_what_is_added_up() -> None:
    """Weights and gradients are 24 kB, a layer's stash is 500 B, and half of a bucket is received beside it."""
    trace = played(4000, micro_batches=1)
    asked = workload(micro_batch_samples=2)
    assert memory_over_time(trace.of_rank(0), MODEL, asked, device()) == [
        (0, 24000),
        (0, 25500),
        (5, 25000),
        (5, 27000),
        (6, 25000),
        (7, 24500),
        (7, 26500),
        (8, 24500),
        (9, 24000),
        (9, 26000),
        (10, 24000),
    ]
