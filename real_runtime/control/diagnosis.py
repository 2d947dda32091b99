"""Which rank ended the run, at which task, and why? One sentence from the evidence of all ranks, and nothing else.

The likeliest cause comes first: a process that ended, a rank's own failure, a process that is held or hung, a link that
is down; and where nothing of that shows, whoever all others wait for.
"""

import signal
from collections.abc import Callable, Iterable, Sequence

from real_runtime.control.board import Doing, State
from real_runtime.control.evidence import HOST_LOST, Failure, Memory, Patience, RankEvidence
from real_runtime.control.waiting import Broken, Busy, Idle, culprit

_SWAPS_FROM = 50.0  # page faults from a disk per second; a process that computes has none
# Of a core: a crowded machine leaves little to a process that computes; of one that sleeps, the threads that wait for
# Python's lock look 200 times a second whether it is free, for 0.7 %, after what it computed in its last beat.
_BUSY_SHARE = 0.05


def diagnose(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str:
    """The likeliest cause, naming a rank, its task and what happened; always a sentence."""
    kinds: tuple[Callable[[Sequence[RankEvidence], float, Patience], str | None], ...] = (
        _ended,
        _out_of_memory,
        _failed,
        _not_finite,
        _stopped,
        _hung_with_lock,
        _link_down,
        _others_wait_for,
        _lost_connection,
    )
    for kind in kinds:
        if (told := kind(ranks, now_s, patience)) is not None:
            return told
    at = ", ".join(f"rank {rank.rank} at {_at(rank.main, now_s)}" for rank in ranks)
    return f"nothing has moved for {patience.deadline_s:g} s, and no rank waits for one that could be blamed: {at}"


def is_decisive(ranks: Iterable[RankEvidence]) -> bool:
    """Whether no further evidence is worth waiting for, but that of things which happened at the same time."""
    return any(
        rank.ending is not None or (rank.error is not None and rank.error.failure is not Failure.PEER_GONE)
        for rank in ranks
    )


def _ended(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    ended = [(rank.ending.at_s, rank, rank.ending) for rank in ranks if rank.ending is not None]
    if not ended:
        return None
    _, rank, ending = min(ended, key=lambda each: (each[0], each[1].rank))
    said = f" (it last wrote: {ending.last_words})" if ending.last_words else ""
    said = f": {ending.cause}" if ending.cause else said
    at = rank.main.task
    if ending.exit_code == HOST_LOST:
        return f"rank {rank.rank} is lost at {at}{said}"
    if (name := signal_of(ending.exit_code)) is None:
        return f"rank {rank.rank} ended itself with code {ending.exit_code} at {at}{said}"
    if ending.memory is Memory.AT_ITS_LIMIT:
        return f"rank {rank.rank} ran out of memory at {at}: the kernel killed it at its limit"
    if ending.memory is Memory.SOMEWHERE and name == "SIGKILL":
        return (
            f"rank {rank.rank} was killed by SIGKILL at {at}, when the kernel killed for want of memory "
            f"on this machine: it likely ran out of memory"
        )
    return f"rank {rank.rank} was killed by {name} at {at}{said}"


def signal_of(exit_code: int) -> str | None:
    """The signal that ended a process; None if it ended itself."""
    return signal.Signals(-exit_code).name if exit_code < 0 else None


def _out_of_memory(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    return _own_error(ranks, Failure.OUT_OF_MEMORY, "ran out of memory")


def _failed(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    return _own_error(ranks, Failure.OTHER, "failed")


def _not_finite(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    return _own_error(ranks, Failure.NOT_FINITE, "put out numbers that are not finite")


def _own_error(ranks: Sequence[RankEvidence], failure: Failure, happened: str) -> str | None:
    """What the first rank with such an error said."""
    failed = [
        (rank.error_at_s, rank, rank.error)
        for rank in ranks
        if rank.error is not None and rank.error.failure is failure
    ]
    if not failed:
        return None
    _, rank, error = min(failed, key=lambda each: (each[0], each[1].rank))
    return f"rank {rank.rank} {happened} at {error.task}: {error.message}"


def _stopped(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    for rank in ranks:
        if rank.vitals.is_stopped:
            return f"rank {rank.rank} was stopped (SIGSTOP) at {rank.main.task} and does not answer"
    return None


def _hung_with_lock(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    for rank in ranks:
        if is_hung_with_lock(rank, patience):
            busy = rank.silent_cpu_s > _BUSY_SHARE * rank.silent_s
            how = "uses its processor" if busy else "sleeps"
            return (
                f"rank {rank.rank} hangs at {_at(rank.main, now_s)}: "
                f"it {how} and holds Python's lock, no other thread of it has run for {rank.silent_s:.0f} s"
            )
    return None


def is_hung_with_lock(rank: RankEvidence, patience: Patience) -> bool:
    """Whether only a thread that never lets Python's lock go explains the silence, whatever else the machine does.

    A rank that is kept waiting for a processor uses none, and is ready to run; one that waits for a disk is neither.
    """
    limit_s = patience.starting_silent_s if rank.main.state is State.STARTS else patience.silent_s
    if rank.silent_s < limit_s:
        return False
    return rank.silent_cpu_s >= limit_s or (
        rank.silent_s >= 2 * limit_s and rank.silent_cpu_s < _BUSY_SHARE * rank.silent_s and rank.vitals.state == "S"
    )


def _link_down(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    down = [rank for rank in ranks if rank.link_down_s >= patience.link_down_s]
    if not down:
        return None
    rank = max(down, key=lambda each: each.link_down_s)
    return f"rank {rank.rank}'s link is down since {rank.link_down_s:.0f} s, at {rank.main.task}"


def _others_wait_for(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    if any(rank.error is not None for rank in ranks):
        return None
    for rank in ranks:
        if rank.task_cpu_s >= patience.computations * patience.deadline_s:
            end = f"it has used the processor for {rank.task_cpu_s:.0f} s, and does not end"
            return f"rank {rank.rank} computes {_at(rank.main, now_s)}: {end}"
    match culprit(ranks):
        case Busy(rank, doing):
            return f"rank {rank.rank} {_does(rank, doing, now_s)}"
        case Broken(rank, None, doing):
            return (
                f"rank {rank.rank}'s link: nothing passes it ({doing.task} waits since {now_s - doing.since_s:.0f} s, "
                f"all ranks are alive)"
            )
        case Broken(rank, other, doing) if other is not None:
            return (
                f"the link between rank {rank.rank} and rank {other.rank}: nothing passes it "
                f"({doing.task} waits since {now_s - doing.since_s:.0f} s, all ranks are alive)"
            )
        case Idle(rank):
            return f"rank {rank.rank} takes no part: it waits for a command, and the other ranks wait for it"
    return None


def _does(rank: RankEvidence, doing: Doing, now_s: float) -> str:
    """What a rank that all others wait for does."""
    since = _at(doing, now_s)
    if doing.state is State.STARTS:
        return f"does not come up: {since}"
    if rank.faults_per_s >= _SWAPS_FROM:
        return f"computes {since}: it is out of memory or swapping ({rank.faults_per_s:.0f} pages per second)"
    if rank.vitals.state == "D":
        return f"computes {since}: it waits for a disk"
    return f"computes {since} and uses no processor: it hangs"


def _at(doing: Doing, now_s: float) -> str:
    return f"{doing.task} since {now_s - doing.since_s:.0f} s"


def _lost_connection(ranks: Sequence[RankEvidence], now_s: float, patience: Patience) -> str | None:
    return _own_error(ranks, Failure.PEER_GONE, "lost a connection")
