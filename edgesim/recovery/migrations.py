"""What is sent so that ranks hold what they shall? Layers that they lack, from all who have them, in equal parts.

All messages of a migration are sent at once, each pair of ranks on a connection of its own: neighbours do not wait for
each other. Version 0 is everybody's, drawn by a seed or read from a file, and so are weights that are never trained and
that a layer shares with one elsewhere: neither is sent.

With relays, ranks that lack the same layers get a part of them each, and pass it on while the next one comes in: who
holds the layers sends them once, however many ranks lack them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, groupby
from typing import NamedTuple

from edgesim.apportion import even_shares, ranges
from edgesim.errors import InfeasibleError
from edgesim.job import Copy, Held, Migration
from edgesim.plan import Plan
from edgesim.planners.cost_models.transfers import Transfers
from edgesim.planners.problem import Problem
from edgesim.recovery.pieces import Piece, numbers_of, receive_of, send_of
from edgesim.schedule import Op, Schedule, Task

Layers = tuple[int, int]
Wanted = Mapping[int, Layers]  # by rank, the layers that it shall hold
Sent = tuple[Piece, Piece | None]  # what is sent, and what its sender has to receive before
_PIECES = 4  # chosen: of what a rank passes on; it begins to when the first of them is there


class Lack(NamedTuple):
    """Consecutive layers that a rank lacks, and who has them."""

    rank: int
    layers: Layers
    holders: tuple[int, ...]


def wanted_by(plan: Plan) -> Wanted:
    """Return what the ranks of a plan shall hold: the layers of their stages."""
    return {rank: stage.layers for stage in plan.stages for rank in stage.ranks}


def migration(
    name: str,
    wanted: Wanted,
    held: Held,
    version: int,
    problem: Problem,
    *,
    senders: Sequence[int] | None = None,
    relays: bool = False,
) -> Migration | None:
    """Return the messages that bring ranks what they lack of a version; None where nothing needs to move.

    ``senders`` are the only ones that send; None: all who have something. With ``relays`` ranks pass on what others
    lack as well. Raises InfeasibleError naming a layer that nobody holds in this version.
    """
    lacks = list(_lacks(wanted, held, version, problem, senders)) if version else []
    if not lacks:
        return None
    programs: list[list[Task]] = [[] for _ in range(1 + max(max(lack.rank, *lack.holders) for lack in lacks))]
    for piece, behind in _relayed(lacks, problem) if relays else _direct(lacks, problem, count()):
        programs[piece.sender].append(send_of(piece, needs=() if behind is None else (receive_of(behind).name,)))
        programs[piece.receiver].append(receive_of(piece))
    schedule = Schedule(programs)
    schedule.check()
    arriving = tuple(Copy(rank=lack.rank, layers=lack.layers, version=version) for lack in lacks)
    return Migration(name=name, schedule=schedule, arriving=arriving)


def _lacks(wanted: Wanted, held: Held, version: int, problem: Problem, senders: Sequence[int] | None) -> Iterator[Lack]:
    of_version = held.of_version(version)
    holders = [of_version.holders(layer, version) for layer in range(len(problem.model.layers))]
    sending = [tuple(r for r in having if senders is None or r in senders) for having in holders]
    for rank, layers in sorted(wanted.items()):
        lacked = [layer for layer in range(*layers) if rank not in holders[layer]]
        for layer in lacked:
            if not sending[layer]:
                name = problem.model.layers[layer].name
                raise InfeasibleError(
                    f"rank {rank} lacks layer {name} of {problem.model.name} in version {version}, and nobody holds it "
                    "(go back to a version that somebody holds of each layer, or to a checkpoint)"
                )
        # Consecutive layers that the same ranks have: such layers minus their places are one number.
        for (_, having), run in groupby(enumerate(lacked), key=lambda pair: (pair[1] - pair[0], sending[pair[1]])):
            some = [layer for _, layer in run]
            yield Lack(rank=rank, layers=(some[0], some[-1] + 1), holders=having)


def _direct(lacks: Sequence[Lack], problem: Problem, number: Iterator[int]) -> Iterator[Sent]:
    """Every rank gets what it lacks from all holders, in equal parts."""
    for rank, layers, holders in lacks:
        numbers = numbers_of(problem.model, layers, problem.workload)
        for holder, units in zip(holders, ranges(even_shares(numbers, len(holders))), strict=True):
            if units[1] > units[0]:
                yield (
                    Piece(sender=holder, receiver=rank, stage=0, layers=layers, units=units, number=next(number)),
                    None,
                )


def _relayed(lacks: Sequence[Lack], problem: Problem) -> Iterator[Sent]:
    """What several ranks lack is sent to each of them in part, piece by piece, and passed on to the others."""
    number, alike = count(), defaultdict[tuple[Layers, tuple[int, ...]], list[Lack]](list)
    for lack in lacks:
        alike[lack.layers, lack.holders].append(lack)
    for (layers, holders), same in alike.items():
        if len(same) == 1:
            yield from _direct(same, problem, number)
            continue
        ranks = [lack.rank for lack in same]
        pairs = [(holder, rank) for _ in range(_PIECES) for rank in ranks for holder in holders]
        numbers = numbers_of(problem.model, layers, problem.workload)
        for (holder, rank), units in zip(pairs, ranges(even_shares(numbers, len(pairs))), strict=True):
            if units[1] > units[0]:
                piece = Piece(sender=holder, receiver=rank, stage=0, layers=layers, units=units, number=next(number))
                yield piece, None
                for other in ranks:
                    if other != rank:
                        yield replace(piece, sender=rank, receiver=other, number=next(number)), piece


def migrated_bytes(migrations: tuple[Migration, ...]) -> int:
    """Return the bytes of all messages."""
    return sum(task.nbytes for each in migrations for task in each.schedule if task.op is Op.SEND)


def migrating_s(migrations: tuple[Migration, ...], problem: Problem) -> float:
    """Return the seconds that migrations take one after the other, by the busiest network card of each."""
    return sum(_seconds(each.schedule, problem) for each in migrations)


def _seconds(schedule: Schedule, problem: Problem) -> float:
    received, sent = dict[int, float](), dict[int, float]()
    for task in schedule:
        amounts = sent if task.op is Op.SEND else received
        amounts[task.rank] = amounts.get(task.rank, 0.0) + task.nbytes
    return Transfers(problem.cluster.network, sorted({*received, *sent})).seconds(received, sent)
