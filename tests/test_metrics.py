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
from edgesim.footprint import memory_over_time
from edgesim.memory import WHOLE, Memory, RankLoad, Share, held_bytes
from edgesim.metrics import Metrics, measure
from edgesim.model import Block, divided
from edgesim.plan import Depth
from edgesim.schedule import Op, Payload, Task
from edgesim.trace import RankSpans, Span, Trace
from edgesim.workload import Purpose, Workload
from edgesim.zoo.bert import bert

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
    steps = memory_over_time(trace.of_rank(0), chain(1), workload(), device())
    assert steps == [(0, 8000), (0, 8500), (1, 9000), (4, 8500), (6, 8000)]


def test_computations_of_no_length_never_make_memory_negative() -> None:
    program = [task for m in range(3) for task in (compute(Op.F, 0, m), compute(Op.B, 0, m))]
    trace = play_programs(homogeneous(1), program, forward_s=0.0)
    held = [nbytes for _, nbytes in memory_over_time(trace.of_rank(0), chain(1), workload(), device())]
    assert (min(held), max(held)) == (8000, 8500)


def test_inference_keeps_no_stash_but_the_input_and_output_of_a_block_while_it_computes() -> None:
    trace = play_programs(homogeneous(1), [compute(Op.F, 0, m) for m in range(2)])
    steps = memory_over_time(trace.of_rank(0), chain(1), workload(purpose=Purpose.INFER), device())
    assert steps == [(0, 4000), (0, 5000), (1, 4000), (1, 5000), (2, 4000)]


def test_the_ring_takes_its_part_while_it_runs() -> None:
    programs = [
        [compute(Op.F, 0, needs=[]), replace(ring, needs=(f"0F0@{rank}",))]
        for rank, ring in enumerate(collective(Op.ALL_REDUCE, range(2), 4000))
    ]
    programs = [[replace(program[0], rank=rank, stage=0), program[1]] for rank, program in enumerate(programs)]
    trace = play_programs(homogeneous(2, network=switched(2, bytes_per_s=4000)), *programs)
    steps = memory_over_time(trace.of_rank(1), chain(1), workload(), device())
    assert steps == [(0, 8000), (0, 8500), (1, 10500), (2, 8500)]


def test_the_framework_counts_once_for_a_rank_that_works() -> None:
    cluster = homogeneous(2, context_bytes=300.0)
    assert metrics_of(play_programs(cluster, [compute(Op.F, 0)]), cluster, layers=1).peak_bytes == (8800, 0)


def test_a_rank_of_two_stages_holds_the_parameters_of_both() -> None:
    def on(layers: tuple[int, int], stage: int) -> list[Task]:
        return [replace(compute(op, 0), layers=layers, stage=stage) for op in (Op.F, Op.B)]

    trace = play_programs(homogeneous(1), [*on((0, 1), 0), *on((1, 2), 1)])
    first, last = memory_over_time(trace.of_rank(0), chain(2), workload(), device(context_bytes=7.0))[:: 2 * 2]
    boundary = (
        2 * 1000
    )  # layer 0 sends an output and gets its gradient; layer 1 alike: these bytes never leave the rank
    assert first == (0, 7 + 16000 + 2 * boundary)
    assert last[1] == first[1]


# --- memory of blocks -------------------------------------------------------------------------------------------------

TWO = bert(name="two", layers=2, hidden=64, heads=4, columns=256, vocabulary=100, positions=64)
LAYERS = (0, len(TWO.layers))
T = 32
# Of rank 1 in a stage of four: what it computes of heads (1 of 4), of columns (64 of 256) and of tokens (8 of 32).
SCHEMES = {
    "tensor": Share(heads=0.25, columns=0.25),
    "sequence": Share(tokens=8),
    "hybrid_model": Share(heads=0.25, columns=0.25, tokens=8),
}


def task_of(op: Op, micro_batch: int, layer: int, block: Block, share: Share, *, part: str = "", **more) -> Task:
    """A block's task on rank 1, with the units and tokens of its share."""
    block = next((piece for piece in block.parts if piece.name == part), block)  # not all parts of a head are cut
    cut = share.splits_blocks and block.splits
    own = share.tokens is not None and not cut
    return Task(
        op=op,
        rank=1,
        stage=0,
        layers=(layer, layer + 1),
        micro_batch=micro_batch,
        samples=(0, 2),
        block=f"{TWO.layers[layer].name}/{block.name}",
        units=(block.splits // 4, block.splits // 2) if cut else (0, 0),
        tokens=(8, 16) if own else (0, 0),
        **more,
    )


def forward(micro_batch: int, share: Share) -> list[Task]:
    """Attention and MLP by their parts."""
    return [
        task_of(Op.F, micro_batch, i, block, share, part=part)
        for i, layer in enumerate(TWO.layers)
        for block in layer.blocks
        for part in [part.name for part in block.parts] or [block.name]
    ]


def backward(micro_batch: int, share: Share) -> list[Task]:
    return [replace(task, op=Op.B) for task in reversed(forward(micro_batch, share))]


def one_after_the_other(tasks: list[Task]) -> list[Span]:
    """A second each."""
    return [Span(task=task, start_s=float(i), end_s=float(i + 1)) for i, task in enumerate(tasks)]


def held_of(share: Share, asked: Workload, **more: int) -> Memory:
    numbers = {"samples": 2, "in_flight": 2, "micro_batches": 2, "replicas": 1} | more
    return held_bytes(TWO, asked, RankLoad(layers=LAYERS, context_bytes=5.0, share=share, **numbers))


@pytest.mark.parametrize("share", SCHEMES.values(), ids=SCHEMES)
def test_training_block_by_block_rises_to_what_the_share_needs_and_returns(share: Share) -> None:
    """Two micro-batches forwarded before the first goes back: every block's stash of both is there at once."""
    asked = workload(tokens=T)
    tasks = [*forward(0, share), *forward(1, share), *backward(0, share), *backward(1, share)]
    steps = memory_over_time(RankSpans.of(one_after_the_other(tasks)), TWO, asked, device(context_bytes=5.0))
    held = held_of(share, asked)
    amounts = [nbytes for _, nbytes in steps]
    assert amounts[0] == pytest.approx(held.resting_bytes)
    assert amounts[-1] == pytest.approx(held.resting_bytes)
    assert max(amounts) == pytest.approx(held.total_bytes)
    top = amounts.index(max(amounts))
    assert amounts[:top] == sorted(amounts[:top])
    assert amounts[top:] == sorted(amounts[top:], reverse=True)


def test_a_block_is_kept_from_the_first_of_its_parts_until_the_last_has_gone_back() -> None:
    share, asked = SCHEMES["tensor"], workload(tokens=T)
    attention = TWO.block("encoder.0/attention")
    parts = [task_of(Op.F, 0, 1, attention, share, part=part.name) for part in attention.parts]
    tasks = [*parts, *(replace(task, op=Op.B) for task in reversed(parts))]
    steps = memory_over_time(RankSpans.of(one_after_the_other(tasks)), TWO, asked, device())
    kept = divided(attention, 0.25).stash_bytes(2, T)
    entered = min(kept, TWO.layers[0].output_bytes(2, T))  # received from the layer before, by its plan
    rest = steps[0][1]
    assert steps == [(0, rest), (0, rest + kept - entered), (6, rest)]


@pytest.mark.parametrize("share", SCHEMES.values(), ids=SCHEMES)
def test_inference_block_by_block_holds_inputs_and_outputs_while_it_computes(share: Share) -> None:
    asked = workload(tokens=T, purpose=Purpose.INFER, weight_bytes=2)
    spans = one_after_the_other(forward(0, share))
    steps = memory_over_time(RankSpans.of(spans), TWO, asked, device(context_bytes=5.0))
    held = held_of(share, asked, in_flight=1, micro_batches=1)
    assert steps[0][1] == steps[-1][1] == held.resting_bytes
    assert max(nbytes for _, nbytes in steps) == pytest.approx(held.total_bytes)
    assert len(steps) == 1 + 2 * len(spans)


def test_tokens_that_are_generated_one_by_one_are_no_share_of_the_prompt() -> None:
    share, asked = SCHEMES["tensor"], workload(tokens=T, purpose=Purpose.INFER)
    generated = [replace(task, tokens=(T, T + 1)) for task in forward(1, share)]
    steps = memory_over_time(RankSpans.of(one_after_the_other([*forward(0, share), *generated])), TWO, asked, device())
    held = held_of(share, asked, micro_batches=1)
    assert max(nbytes for _, nbytes in steps) - steps[0][1] == pytest.approx(held.transient_bytes)


def test_sums_of_gradients_take_their_part_and_partial_sums_of_activations_none() -> None:
    share, asked = SCHEMES["sequence"], workload(tokens=T)
    ring = replace(collective(Op.ALL_REDUCE, range(4), TWO.parameter_bytes)[1], layers=LAYERS)
    partial = replace(ring, payload=Payload.PARTIAL, block="encoder.0/attention", micro_batch=0)
    computed = one_after_the_other([*forward(0, share), *backward(0, share)])
    end_s = computed[-1].end_s
    spans = [*computed, *(Span(task=task, start_s=end_s, end_s=end_s + 9) for task in (partial, ring))]
    steps = memory_over_time(RankSpans.of(spans), TWO, asked, device())
    spare = held_of(share, asked, replicas=4).ring_bytes
    rest = steps[0][1]
    assert steps[-2:] == [(end_s, pytest.approx(rest + spare)), (end_s + 9, pytest.approx(rest))]


def test_a_task_of_an_unknown_block_is_refused() -> None:
    task = replace(forward(0, WHOLE)[0], block="encoder.0/convolution")
    with pytest.raises(ValueError, match=r"layer encoder\.0 of two has no block 'convolution'"):
        memory_over_time(RankSpans.of(one_after_the_other([task])), TWO, workload(), device())


# --- the verdict does not know the player -----------------------------------------------------------------------------


def test_the_same_times_mean_the_same_whoever_played() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=50))
    trace = play_programs(cluster, [compute(Op.F, 0), send(0, 1, 100)], [receive(1, 0, 100)])
    other = replace(trace, player="measured", profile_hash=None)
    mine, theirs = (metrics_of(t, cluster).to_dict() for t in (trace, other))
    assert mine.pop("player") != theirs.pop("player")
    assert (mine.pop("energy_from"), theirs.pop("energy_from")) == ("simulated times", "measured times")
    assert mine.pop("profile_hash") != theirs.pop("profile_hash")
    assert mine == theirs


def test_metrics_are_plain_data() -> None:
    assert pipeline_metrics(1, 1).to_dict()["makespan_s"] == pytest.approx(F_S + B_S)
