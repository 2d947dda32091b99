"""Who waits for whom, and for whom do all wait in the end? Follows ranks' own words from stream to stream.

A rank's computation waits for a message, the message for its sender's computation, and so on. Schedules have no
circles, so every chain ends at a rank that does not wait, or where both ends of a message wait for each other: then
what is between them is broken.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from real_runtime.control.board import Doing, State
from real_runtime.control.evidence import RankEvidence


@dataclass(frozen=True, slots=True)
class Busy:
    """A chain's end: a rank that computes."""

    rank: RankEvidence
    doing: Doing


@dataclass(frozen=True, slots=True)
class Broken:
    """A chain's end: two ranks that wait for each other; without the other, a rank that nobody reaches."""

    rank: RankEvidence
    other: RankEvidence | None
    doing: Doing


@dataclass(frozen=True, slots=True)
class Idle:
    """A chain's end: a rank that takes no part."""

    rank: RankEvidence


End = Busy | Broken | Idle


def culprit(ranks: Sequence[RankEvidence]) -> End | None:
    """The end of most chains; one that is busy before one that is broken."""
    ends = [end for rank in ranks for end in _follow(ranks, rank, rank.main, frozenset())]
    for kind in (Busy, Broken, Idle):
        if found := [end for end in ends if isinstance(end, kind)]:
            number, _ = Counter(end.rank.rank for end in found).most_common(1)[0]
            first = next(end for end in found if end.rank.rank == number)
            return _link(ranks, first) if isinstance(first, Broken) else first
    return None


def _follow(
    ranks: Sequence[RankEvidence], rank: RankEvidence, doing: Doing, seen: frozenset[tuple[int, str]]
) -> Iterator[End]:
    """Where the chains end that begin with what one stream of a rank does."""
    if (rank.rank, doing.stream) in seen:
        return
    seen |= {(rank.rank, doing.stream)}
    match doing.state:
        case State.STARTS | State.COMPUTES:
            yield Busy(rank, doing)
        case State.IDLE if doing is rank.main:
            yield Idle(rank)
        case State.NEEDS:
            needed = next((theirs for theirs in rank.doings if theirs.stream == doing.needs), None)
            if needed is None or needed.state is State.IDLE:  # it has got what it needs, and does not go on
                yield Busy(rank, doing)
            else:
                yield from _follow(ranks, rank, needed, seen)
        case State.SENDS | State.RECEIVES | State.MEETS:
            others = [ranks[number] for number in doing.awaits if number != rank.rank and number < len(ranks)]
            absent = [other for other in others if _other_end(rank, doing, other) is None]
            for other in absent:
                yield from _follow(ranks, other, _on_the_way(rank, doing, other), seen)
            if not absent:
                yield from (Broken(rank, other, doing) for other in others)


def _other_end(rank: RankEvidence, doing: Doing, other: RankEvidence) -> Doing | None:
    """The stream of the other rank that is at the same message or meeting; None if none is there yet."""
    states = {State.SENDS: State.RECEIVES, State.RECEIVES: State.SENDS, State.MEETS: State.MEETS}
    for theirs in other.doings:
        same = theirs.message == doing.message and _channel(theirs) == _channel(doing)
        if theirs.state is states[doing.state] and same and rank.rank in theirs.awaits:
            return theirs
    return None


def _on_the_way(rank: RankEvidence, doing: Doing, other: RankEvidence) -> Doing:
    """What keeps the other rank from coming: what it does in that stream, if it is at anything, or its computation."""
    facing = {State.SENDS: State.RECEIVES, State.RECEIVES: State.SENDS, State.MEETS: State.MEETS}[doing.state]
    for theirs in other.doings:
        waits = theirs.state in (facing, State.NEEDS) and theirs is not other.main
        if waits and _channel(theirs) == _channel(doing) and _faces(theirs, rank.rank, doing):
            return theirs
    return other.main


def _faces(theirs: Doing, rank: int, doing: Doing) -> bool:
    """Whether a stream of the other rank is the opposite of the one that waits."""
    kind = {State.SENDS: f"receive from {rank}", State.RECEIVES: f"send to {rank}"}.get(doing.state, "collective")
    return theirs.stream.partition("/")[0] == kind


def _channel(doing: Doing) -> str:
    """Streams are called after who is at their other end, a slash, and their channel."""
    return doing.stream.partition("/")[2]


def _link(ranks: Sequence[RankEvidence], end: Broken) -> Broken:
    """Whose link it is: the one rank that all stuck connections have in common; with one connection, both."""
    pairs = {frozenset((rank.rank, other)) for rank in ranks for other in rank.stuck_with}
    if not pairs:
        return end
    degree = Counter(number for pair in pairs for number in pair)
    number, most = degree.most_common(1)[0]
    if most == len(pairs) and most > 1:
        return Broken(ranks[number], None, end.doing)
    if len(pairs) == 1:
        one, two = sorted(next(iter(pairs)))
        return Broken(ranks[one], ranks[two], end.doing)
    return end
