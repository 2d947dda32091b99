"""Is the right rank blamed, at the right task, for the right cause? On tables of evidence, without any process."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from real_runtime.control.board import Doing, State
from real_runtime.control.diagnosis import diagnose, is_hung_with_lock
from real_runtime.control.evidence import Ending, Failure, Memory, OwnError, Patience, RankEvidence
from real_runtime.control.vitals import Vitals
from real_runtime.testbeds.opening import patience_of
from real_runtime.testbeds.spec import TestbedSpec

NOW_S = 100.0
PATIENCE = Patience(deadline_s=8.0)


def doing(task: str, state: State, *, stream: str = "compute", since_s: float = 92.0, **more: object) -> Doing:
    return Doing(stream=stream, task=task, state=state, since_s=since_s, **more)  # type: ignore[arg-type]


def computes(task: str, **more: object) -> Doing:
    return doing(task, State.COMPUTES, **more)


def rank(number: int, *doings: Doing, **more: object) -> RankEvidence:
    """A rank that has not moved for the deadline."""
    return RankEvidence(rank=number, doings=doings or (computes(f"1F{number}"),), **{"idle_s": 8.0, **more})  # type: ignore[arg-type]


def error(failure: Failure, task: str = "1F0") -> dict[str, object]:
    return {"error": OwnError(failure=failure, task=task, message="its message"), "error_at_s": NOW_S}


def killed(code: int, **more: object) -> dict[str, Ending]:
    return {"ending": Ending(exit_code=code, at_s=NOW_S, **more)}  # type: ignore[arg-type]


def told(*ranks: RankEvidence) -> str:
    return diagnose(ranks, NOW_S, PATIENCE)


STOPPED = {"vitals": Vitals(state="T")}


@pytest.mark.parametrize(
    ("ranks", "cause"),
    [
        ([{}, error(Failure.PEER_GONE), killed(-9)], "rank 2 was killed by SIGKILL at 1F2"),
        ([{}, {}, killed(-9, cause="Oh!")], "rank 2 was killed by SIGKILL at 1F2: Oh!"),
        ([error(Failure.OTHER), {}, killed(-9)], "rank 2 was killed by SIGKILL at 1F2"),
        (
            [{}, killed(-9, memory=Memory.AT_ITS_LIMIT), {}],
            "rank 1 ran out of memory at 1F1: the kernel killed it at its limit",
        ),
        (
            [{}, killed(-9, memory=Memory.SOMEWHERE), {}],
            "rank 1 was killed by SIGKILL at 1F1, when the kernel killed for want of memory on this machine: "
            "it likely ran out of memory",
        ),
        ([{}, {}, killed(3)], "rank 2 ended itself with code 3 at 1F2"),
        ([{}, {}, killed(1, last_words="Oh!")], "rank 2 ended itself with code 1 at 1F2 (it last wrote: Oh!)"),
        ([error(Failure.OTHER), error(Failure.OUT_OF_MEMORY), {}], "rank 1 ran out of memory at 1F0: its message"),
        ([error(Failure.OTHER, "0B3"), {}, STOPPED], "rank 0 failed at 0B3: its message"),
        (
            [{}, error(Failure.NOT_FINITE, "0B3"), error(Failure.PEER_GONE)],
            "rank 1 put out numbers that are not finite at 0B3: its message",
        ),
        ([error(Failure.PEER_GONE), {}, STOPPED], "rank 2 was stopped (SIGSTOP) at 1F2 and does not answer"),
        ([{}, {"link_down_s": 2.0}, {}], "rank 1's link is down since 2 s, at 1F1"),
        ([error(Failure.PEER_GONE), {}, {}], "rank 0 lost a connection at 1F0: its message"),
    ],
)
def test_of_several_signs_the_likeliest_cause_is_told(ranks: Sequence[dict[str, object]], cause: str) -> None:
    assert told(*(rank(number, **more) for number, more in enumerate(ranks))) == cause


def test_of_two_that_ended_the_first_is_to_blame() -> None:
    first, second = Ending(exit_code=-9, at_s=NOW_S - 0.2), Ending(exit_code=-6, at_s=NOW_S - 0.1)
    assert told(rank(0, ending=second), rank(1, ending=first)).startswith("rank 1 was killed by SIGKILL")


def waiting_pipeline(last: RankEvidence) -> list[RankEvidence]:
    """Rank 0 waits for rank 1's gradients, rank 1 for those of the last rank, which has not come to send them."""
    waits = [
        (
            doing("0B2 waiting for 0RECV2", State.NEEDS, needs=f"receive from {peer}/backward"),
            doing("0RECV2", State.RECEIVES, stream=f"receive from {peer}/backward", message=2, awaits=(peer,)),
        )
        for peer in (1, 2)
    ]
    sends = doing("1SEND2", State.NEEDS, stream="send to 0/backward", needs="compute")
    return [rank(0, *waits[0]), rank(1, *waits[1], sends), last]


def test_a_hang_is_found_at_the_end_of_the_chain_of_waits() -> None:
    sends = doing("2SEND2", State.NEEDS, stream="send to 1/backward", needs="compute")
    hangs = rank(2, computes("2F3"), sends)
    assert told(*waiting_pipeline(hangs)) == "rank 2 computes 2F3 since 8 s and uses no processor: it hangs"
    swaps = rank(2, computes("2F3"), sends, faults_per_s=300.0)
    assert told(*waiting_pipeline(swaps)) == (
        "rank 2 computes 2F3 since 8 s: it is out of memory or swapping (300 pages per second)"
    )
    endless = rank(2, computes("2F3", since_s=10.0), sends, idle_s=0.0, task_cpu_s=81.0)
    assert told(*waiting_pipeline(endless)) == (
        "rank 2 computes 2F3 since 90 s: it has used the processor for 81 s, and does not end"
    )


def test_a_rank_that_has_got_what_it_needs_and_does_not_go_on_is_to_blame() -> None:
    stuck = rank(
        2,
        doing("2F3 waiting for 2RECV3", State.NEEDS, needs="receive from 1/forward"),
        doing("done", State.IDLE, stream="receive from 1/forward"),
    )
    assert told(*waiting_pipeline(stuck)).startswith("rank 2 computes 2F3 waiting for 2RECV3 since 8 s")


def test_a_message_that_both_ends_wait_for_is_the_links_fault_and_one_rank_that_all_retry_is_named() -> None:
    sends = doing("2SEND2", State.SENDS, stream="send to 1/backward", message=2, awaits=(1,))
    needs = doing("waiting for 2SEND2", State.NEEDS, needs="send to 1/backward")
    ranks = waiting_pipeline(rank(2, needs, sends))
    assert told(*ranks) == (
        "the link between rank 1 and rank 2: nothing passes it (0RECV2 waits since 8 s, all ranks are alive)"
    )
    ranks = waiting_pipeline(rank(2, needs, sends, stuck_with=(0, 1)))
    assert told(*ranks).startswith("rank 2's link: nothing passes it")


def test_where_all_wait_in_a_circle_everybodys_task_is_told() -> None:
    """The first is at a meeting that nobody else is at; the other waits for a message of its."""
    meets = doing("joining", State.MEETS, message=1, awaits=(1,))
    needs = doing("1F1", State.NEEDS, needs="receive from 0/forward")
    receives = doing("1RECV", State.RECEIVES, stream="receive from 0/forward", message=3, awaits=(0,))
    assert told(rank(0, meets), rank(1, needs, receives)) == (
        "nothing has moved for 8 s, and no rank waits for one that could be blamed: "
        "rank 0 at joining since 8 s, rank 1 at 1F1 since 8 s"
    )


def test_an_all_reduce_waits_for_whoever_has_not_come() -> None:
    def meets(peers: tuple[int, ...]) -> tuple[Doing, Doing]:
        return (
            doing("waiting for 0ALL_REDUCE", State.NEEDS, needs="collective/weights"),
            doing("0ALL_REDUCE", State.MEETS, stream="collective/weights", message=0, awaits=peers),
        )

    late = rank(2, computes("0B3"), doing("0ALL_REDUCE", State.NEEDS, stream="collective/weights", needs="compute"))
    assert told(rank(0, *meets((0, 1, 2))), rank(1, *meets((0, 1, 2))), late).startswith("rank 2 computes 0B3")
    ranks = [rank(0, *meets((0, 1)), stuck_with=(1,)), rank(1, *meets((0, 1)))]
    assert told(*ranks).startswith("the link between rank 0 and rank 1: nothing passes it (0ALL_REDUCE waits")


def test_who_does_not_come_up_is_named_while_the_others_join() -> None:
    joining = doing("joining", State.MEETS, awaits=(0, 1, 2))
    late = rank(1, doing("starting", State.STARTS, since_s=40.0))
    assert told(rank(0, joining), late, rank(2, joining)) == "rank 1 does not come up: starting since 60 s"


@pytest.mark.parametrize(
    ("signs", "hangs"),
    [
        ({"silent_s": 1.6, "silent_cpu_s": 1.55, "vitals": Vitals(state="R")}, True),  # it never lets the lock go
        ({"silent_s": 1.6, "silent_cpu_s": 0.4, "vitals": Vitals(state="R")}, False),  # kept waiting for a processor
        ({"silent_s": 5.0, "silent_cpu_s": 1.55, "vitals": Vitals(state="R")}, True),  # the same, at last
        ({"silent_s": 3.1, "silent_cpu_s": 0.0, "vitals": Vitals(state="S")}, True),  # it sleeps with the lock
        ({"silent_s": 3.1, "silent_cpu_s": 0.1, "vitals": Vitals(state="S")}, True),  # threads look whether it is free
        ({"silent_s": 3.1, "silent_cpu_s": 0.2, "vitals": Vitals(state="S")}, False),
        ({"silent_s": 3.1, "silent_cpu_s": 0.0, "vitals": Vitals(state="D")}, False),  # it waits for a disk
        ({"silent_s": 0.2, "silent_cpu_s": 0.2, "vitals": Vitals(state="R")}, False),
    ],
)
def test_a_thread_that_holds_the_lock_is_told_from_a_machine_that_is_busy(
    signs: dict[str, object], hangs: bool
) -> None:
    suspect = rank(1, computes("1F1", since_s=98.4), **signs)
    assert is_hung_with_lock(suspect, PATIENCE) is hangs
    assert told(rank(0), suspect).startswith("rank 1 hangs at 1F1 since 2 s: it ") is hangs


def test_libraries_may_load_without_a_sign_of_life_for_longer() -> None:
    signs = {"silent_s": 5.0, "silent_cpu_s": 5.0}
    assert not is_hung_with_lock(rank(0, doing("starting", State.STARTS), **signs), PATIENCE)
    assert is_hung_with_lock(rank(0, **signs), PATIENCE)


def test_under_a_quota_a_rank_may_be_silent_as_long_as_nothing_may_move() -> None:
    """Seen beside other load: 23 s at a fifth of a core."""
    throttled = rank(0, silent_s=23.0, silent_cpu_s=4.6, vitals=Vitals(state="R"))
    assert is_hung_with_lock(throttled, patience_of(TestbedSpec(deadline_s=30)))
    assert not is_hung_with_lock(throttled, patience_of(TestbedSpec(deadline_s=30, cpu_quota=True)))
    assert is_hung_with_lock(
        replace(throttled, silent_s=200.0, silent_cpu_s=40.0), patience_of(TestbedSpec(deadline_s=30, cpu_quota=True))
    )
