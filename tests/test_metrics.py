"""Every figure has an answer in closed form, and every state of power one that only it can change."""

from dataclasses import replace

import pytest
from builders import (
    chain,
    collective,
    compute,
    constant_profile,
    data_plan,
    device,
    homogeneous,
    pipeline_plan,
    play,
    play_programs,
    receive,
    send,
    switched,
    workload,
)

from edgesim.cluster import Cluster
from edgesim.energy import wire_bytes
from edgesim.metrics import Metrics, measure, memory_over_time
from edgesim.plan import Depth
from edgesim.schedule import Op, Task
from edgesim.trace import Trace
from edgesim.workload import Purpose

F_S, B_S = 0.010, 0.020


def metrics_of(trace: Trace, cluster: Cluster, *, layers: int = 2) -> Metrics:
    return measure(trace, cluster=cluster, model=chain(layers), workload=workload())


def pipeline_metrics(stages: int, micro_batches: int, *, depth: Depth = Depth.ONE_F_ONE_B) -> Metrics:
    model, cluster = chain(stages), homogeneous(stages)
    plan = pipeline_plan(model, micro_batches=micro_batches, depth=depth)
    trace = play(plan, model, cluster, constant_profile(model, cluster, forward_s=F_S, backward_s=B_S))
    return measure(trace, cluster=cluster, model=model, workload=workload(micro_batches=micro_batches))


@pytest.mark.parametrize(("p", "m"), [(1, 1), (2, 3), (4, 8)])
def test_the_bubble_of_equal_stages_is_the_time_to_fill_and_drain(p: int, m: int) -> None:
    found = pipeline_metrics(p, m)
    assert found.bubble == pytest.approx((p - 1) / (m + p - 1))
    assert found.utilisation == pytest.approx((m / (m + p - 1),) * p)


def test_throughput_counts_samples_and_latency_is_one_iteration() -> None:
    found = pipeline_metrics(2, 3)
    assert found.makespan_s == found.latency_s == pytest.approx(4 * (F_S + B_S))
    assert found.samples_per_s == pytest.approx(3 / found.makespan_s)


def test_ranks_that_hold_nothing_leave_the_bubble_alone_but_draw_idle_power() -> None:
    model, cluster = chain(1), homogeneous(2)
    trace = play(data_plan(model, [1]), model, cluster, constant_profile(model, cluster))
    found = metrics_of(trace, cluster)
    assert found.bubble == pytest.approx(0)
    assert found.utilisation == pytest.approx((1, 0))
    assert sum(found.energy_by_state_j[1].values()) == found.energy_by_state_j[1]["waiting"] == pytest.approx(0.030)
    assert found.peak_bytes[1] == 0


def test_a_schedule_of_messages_only_is_all_bubble() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=100))
    trace = play_programs(cluster, [send(0, 1, 100)], [receive(1, 0, 100)])
    assert metrics_of(trace, cluster).bubble == 1


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_only_the_sender_puts_bytes_on_the_wire() -> None:
    assert wire_bytes(send(0, 1, 70)) == 70
    assert wire_bytes(receive(1, 0, 70)) == 0
    assert wire_bytes(compute(Op.F, 0)) == 0


@pytest.mark.parametrize(("op", "parts"), [(Op.ALL_REDUCE, 6), (Op.ALL_GATHER, 3), (Op.REDUCE_SCATTER, 3)])
def test_a_member_of_a_ring_sends_its_part_at_every_step(op: Op, parts: int) -> None:
    assert wire_bytes(collective(op, range(4), 4000)[0]) == parts * 1000


def test_sent_bytes_are_those_of_activations_and_gradients() -> None:
    found = pipeline_metrics(3, 4)
    assert found.sent_bytes == (4 * 1000, 2 * 4 * 1000, 4 * 1000)


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "held"), [(Depth.GPIPE, (4, 4, 4)), (Depth.ONE_F_ONE_B, (3, 2, 1)), (Depth.ASTEROID, (4, 3, 1))]
)
def test_peak_memory_is_parameters_gradients_messages_and_a_stash_per_micro_batch_in_flight(
    depth: Depth, held: tuple[int, ...]
) -> None:
    """Stashes of 500 B hold no more than the input that was received, but on the first stage."""
    found = pipeline_metrics(3, 4, depth=depth)
    messages = [
        4 * 1000,
        2 * 4 * 1000 + 4 * 1000,
        2 * 4 * 1000,
    ]  # gradients in; activations in, gradients in and out ...
    outputs = [1000 * held[0], 1000 * held[1], 0]
    stashes = [500 * held[0], 0, 0]
    assert found.peak_bytes == pytest.approx(
        [8000 + sum(bytes_) for bytes_ in zip(messages, outputs, stashes, strict=True)]
    )


def test_a_stash_lives_from_the_start_of_its_forward_to_the_end_of_its_backward() -> None:
    program = [compute(Op.F, 0, 0), compute(Op.F, 0, 1), compute(Op.B, 0, 0), compute(Op.B, 0, 1)]
    trace = play_programs(homogeneous(1), program)
    steps = memory_over_time(list(trace), chain(1), workload(), device())
    assert steps == [(0, 8000), (0, 8500), (1, 9000), (4, 8500), (6, 8000)]


def test_computations_of_no_length_never_make_memory_negative() -> None:
    program = [task for m in range(3) for task in (compute(Op.F, 0, m), compute(Op.B, 0, m))]
    trace = play_programs(homogeneous(1), program, forward_s=0.0)
    held = [nbytes for _, nbytes in memory_over_time(list(trace), chain(1), workload(), device())]
    assert (min(held), max(held)) == (8000, 8500)


def test_inference_keeps_no_stash_but_the_input_and_output_of_a_block_while_it_computes() -> None:
    trace = play_programs(homogeneous(1), [compute(Op.F, 0, m) for m in range(2)])
    steps = memory_over_time(list(trace), chain(1), workload(purpose=Purpose.INFER), device())
    assert steps == [(0, 4000), (0, 5000), (1, 4000), (1, 5000), (2, 4000)]


def test_the_ring_takes_its_part_while_it_runs() -> None:
    programs = [
        [compute(Op.F, 0, needs=[]), replace(ring, needs=(f"0F0@{rank}",))]
        for rank, ring in enumerate(collective(Op.ALL_REDUCE, range(2), 4000))
    ]
    programs = [[replace(program[0], rank=rank, stage=0), program[1]] for rank, program in enumerate(programs)]
    trace = play_programs(homogeneous(2, network=switched(2, bytes_per_s=4000)), *programs)
    steps = memory_over_time([span for span in trace if span.task.rank == 1], chain(1), workload(), device())
    assert steps == [(0, 8000), (0, 8500), (1, 10500), (2, 8500)]


def test_the_framework_counts_once_for_a_rank_that_works() -> None:
    cluster = homogeneous(2, context_bytes=300.0)
    assert metrics_of(play_programs(cluster, [compute(Op.F, 0)]), cluster, layers=1).peak_bytes == (8800, 0)


def test_a_rank_of_two_stages_holds_the_parameters_of_both() -> None:
    def on(layers: tuple[int, int], stage: int) -> list[Task]:
        return [replace(compute(op, 0), layers=layers, stage=stage) for op in (Op.F, Op.B)]

    trace = play_programs(homogeneous(1), [*on((0, 1), 0), *on((1, 2), 1)])
    first, last = memory_over_time(list(trace), chain(2), workload(), device(context_bytes=7.0))[:: 2 * 2]
    boundary = (
        2 * 1000
    )  # layer 0 sends an output and gets its gradient; layer 1 alike: these bytes never leave the rank
    assert first == (0, 7 + 16000 + 2 * boundary)
    assert last[1] == first[1]


# --- the verdict does not know the player -----------------------------------------------------------------------------


def test_the_same_times_mean_the_same_whoever_played() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=50))
    trace = play_programs(cluster, [compute(Op.F, 0), send(0, 1, 100)], [receive(1, 0, 100)])
    other = replace(trace, player="measured", profile_hash=None)
    mine, theirs = (metrics_of(t, cluster).to_dict() for t in (trace, other))
    assert mine.pop("player") != theirs.pop("player")
    assert mine.pop("profile_hash") != theirs.pop("profile_hash")
    assert mine == theirs


def test_metrics_are_plain_data() -> None:
    assert pipeline_metrics(1, 1).to_dict()["makespan_s"] == pytest.approx(F_S + B_S)
