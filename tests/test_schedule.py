"""A schedule that cannot be played is refused before anything runs, and the message names the tasks."""

from dataclasses import replace

import pytest
from builders import chain, collective, compute, hybrid_plan, receive, schedule_of, send, workload

from edgesim.errors import ScheduleError
from edgesim.schedule import Channel, Op, Payload, Schedule, Stream, StreamKind, Task, task_from_text, task_to_text
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline


def small() -> Schedule:
    """Two uneven replicas, then one rank: messages of both directions, collectives, updates."""
    model = chain(2)
    plan = hybrid_plan(model, [[2, 1], [3]], micro_batches=2)
    return hybrid_pipeline(plan, model, workload(micro_batches=2, micro_batch_samples=3))


def test_a_schedule_survives_its_text_and_keeps_its_hash() -> None:
    again = Schedule.from_text(small().to_text())
    assert again == small()
    assert again.hash == small().hash


@pytest.mark.parametrize(
    "task",
    [
        compute(Op.UPDATE, 3, None),
        compute(Op.RECOMPUTE, 3, 7, needs=("a",)),
        replace(compute(Op.F, 12, 7, needs=("a", "b")), block="norm_mlp"),
        replace(compute(Op.B, 0, 7), block="mlp", tile=3),
        send(1, 0, 10, payload=Payload.KV, tile=2),
        receive(1, 22, 0, micro_batch=3, payload=Payload.WEIGHTS),
        replace(collective(Op.ALL_GATHER, [4, 2], 9)[1], payload=Payload.TILE, micro_batch=1),
        *collective(Op.REDUCE_SCATTER, [0, 1], 9),
        replace(compute(Op.F, 0), op=Op.CACHE_READ, nbytes=77),
    ],
    ids=str,
)
def test_every_kind_of_task_survives_its_line(task: Task) -> None:
    assert task_from_text(task_to_text(task)) == task


@pytest.mark.parametrize(
    "line",
    [
        "",
        "F0@1",
        "1X0@1 layers=0:1 samples=0:1",
        "1F0@1",
        "1F0@1 layers=0 samples=0:1",
        "1F0@1 layers=0:1 samples=0:1 bytes=x",
        "1F0@1 layers",
        "1SEND_love0@1>2 layers=1:1 samples=0:1",
        "1SEND_activation0@1 layers=1:1 samples=0:1",
    ],
)
def test_a_line_that_is_no_task_is_refused(line: str) -> None:
    with pytest.raises(ScheduleError, match="not a task"):
        task_from_text(line)


def test_a_text_that_starts_with_no_rank_is_refused() -> None:
    with pytest.raises(ScheduleError, match="expected 'rank 0' first"):
        Schedule.from_text("  0F0@0 layers=0:1 samples=0:1\n")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: send(1, 1, 10), "SEND of rank 1: needs a payload and one other rank"),
        (lambda: send(1, 0, 10, payload=None), "SEND of rank 1: needs a payload"),
        (lambda: replace(receive(1, 0, 10), peers=(0, 2)), r"RECV of rank 1: needs a payload and one other rank"),
        (lambda: send(1, 0, -1), "bytes must be >= 0, got -1"),
        (lambda: replace(collective(Op.ALL_REDUCE, [0, 1], 9)[0], rank=2), "distinct peers, itself among them"),
        (lambda: collective(Op.ALL_REDUCE, [0, 0], 9), "distinct peers"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_two_ranks_that_both_receive_first_are_a_deadlock_that_names_its_cycle() -> None:
    schedule = schedule_of(
        [receive(0, 1, 10), send(0, 1, 10, needs=["0RECV_activation0@0<1"])],
        [receive(1, 0, 10), send(1, 0, 10, needs=["1RECV_activation0@1<0"])],
    )
    cycle = "0SEND_activation0@0>1 waits for 1SEND_activation0@1>0 waits for 0SEND_activation0@0>1"
    other = "1SEND_activation0@1>0 waits for 0SEND_activation0@0>1 waits for 1SEND_activation0@1>0"
    with pytest.raises(ScheduleError) as refusal:
        schedule.check()
    assert str(refusal.value) in {f"deadlock: {cycle}", f"deadlock: {other}"}


def test_a_task_behind_the_one_that_needs_it_is_a_deadlock() -> None:
    schedule = schedule_of([compute(Op.B, 0, needs=["0F0@0"]), compute(Op.F, 0)])
    with pytest.raises(ScheduleError, match=r"deadlock: (0B0@0|0F0@0) waits for (0F0@0|0B0@0) waits for"):
        schedule.check()


def test_a_task_that_needs_itself_is_a_deadlock() -> None:
    with pytest.raises(ScheduleError, match="deadlock: 0F0@0 waits for 0F0@0"):
        schedule_of([compute(Op.F, 0, needs=["0F0@0"])]).check()


def test_collectives_in_different_order_are_a_deadlock() -> None:
    first, second = (
        collective(Op.ALL_REDUCE, [0, 1], 9),
        [replace(task, stage=1) for task in collective(Op.ALL_REDUCE, [0, 1], 9)],
    )
    with pytest.raises(ScheduleError, match=r"deadlock: .*ALL_REDUCE"):
        schedule_of([first[0], second[0]], [second[1], first[1]]).check()


def test_a_receive_that_is_late_in_its_program_is_no_deadlock() -> None:
    schedule_of(
        [send(0, 1, 10), receive(0, 1, 10, payload=Payload.GRADIENT)],
        [send(1, 0, 10, payload=Payload.GRADIENT), receive(1, 0, 10)],
    ).check()


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ([[compute(Op.F, 0, needs=["0F9@0"])]], "0F0@0 needs 0F9@0, which no rank runs"),
        (
            [[compute(Op.F, 0)], [compute(Op.F, 1, needs=["0F0@0"])]],
            "1F0@1 needs 0F0@0 of rank 0: only a message can cross ranks",
        ),
        ([[compute(Op.F, 0), compute(Op.F, 0)]], "0F0@0 appears twice"),
        ([[compute(Op.F, 1)]], "1F0@1 is in the program of rank 0"),
        ([[send(0, 1, 10)], []], "0SEND_activation0@0>1 has no RECV on rank 1"),
        ([[], [receive(1, 0, 10)]], "1RECV_activation0@1<0 has no SEND on rank 0"),
        ([[send(0, 1, 10)], [receive(1, 0, 10, payload=Payload.GRADIENT)]], "0SEND_activation0@0>1 has no RECV"),
        (
            [[send(0, 1, 10)], [receive(1, 0, 11)]],
            "unequal bytes: 0SEND_activation0@0>1 has 10 B, 1RECV_activation0@1<0 has 11 B",
        ),
        (
            [[send(0, 1, 10, samples=(0, 1))], [receive(1, 0, 10, samples=(1, 2))]],
            r"unequal samples: 0SEND_activation0@0>1 has \(0, 1\), 1RECV_activation0@1<0 has \(1, 2\)",
        ),
        (
            [[send(0, 1, 10), send(0, 1, 10, micro_batch=1)], [receive(1, 0, 10, micro_batch=1), receive(1, 0, 10)]],
            r"0SEND_activation0@0>1 comes first on its connection \(forward\), "
            "but rank 1 expects 1RECV_activation1@1<0",
        ),
        ([collective(Op.ALL_REDUCE, [0, 1], 9)[:1], []], r"0ALL_REDUCE@0 is for ranks \(0, 1\), but only \[0\] run it"),
        (
            [[task] for task in (collective(Op.ALL_REDUCE, [0, 1], 9)[0], collective(Op.ALL_REDUCE, [0, 1], 8)[1])],
            "unequal bytes: 0ALL_REDUCE@0 has 9 B, 0ALL_REDUCE@1 has 8 B",
        ),
        (
            [[task] for task in (collective(Op.ALL_REDUCE, [0, 1], 9)[0], collective(Op.ALL_REDUCE, [1, 0], 9)[0])],
            "0ALL_REDUCE@0",
        ),
    ],
)
def test_a_schedule_that_cannot_be_played_is_refused(programs: list[list[Task]], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        schedule_of(*programs).check()


def test_different_channels_need_no_common_order() -> None:
    schedule_of(
        [send(0, 1, 10), send(0, 1, 10, payload=Payload.GRADIENT)],
        [receive(1, 0, 10, payload=Payload.GRADIENT), receive(1, 0, 10)],
    ).check()


def test_streams_are_one_per_kind_of_work_peer_direction_and_channel() -> None:
    assert sorted({str(task.stream) for task in small()}) == [
        "collective/weights",
        "compute",
        "receive from 0/forward",
        "receive from 1/forward",
        "receive from 2/backward",
        "send to 0/backward",
        "send to 1/backward",
        "send to 2/forward",
    ]
    assert replace(compute(Op.F, 0), op=Op.CACHE_READ).stream == Stream(StreamKind.DISK)


def test_a_schedule_prints_its_size() -> None:
    assert str(small()) == f"schedule of {len(small())} tasks on 3 ranks, {small().hash[:12]}"


def test_a_task_knows_the_channel_of_its_bytes() -> None:
    assert send(0, 1, 10).channel is Channel.FORWARD
    assert send(0, 1, 10, payload=Payload.GRADIENT).channel is Channel.BACKWARD
    assert {task.channel for task in small() if task.op is Op.ALL_REDUCE} == {Channel.WEIGHTS}
    assert compute(Op.F, 0).channel is None
