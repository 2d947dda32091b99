"""Which kinds of tasks share a name, a stream, a meeting? Numbers, the same for kinds that share."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgesim.schedule.kind import COMPUTE, DISK, MEETING, Op, Peers
from edgesim.schedule.kind_table import Field, KindTable, Numbers, combined, dense

ALONE, SENDS, RECEIVES, MEETS = range(4)
_ROLE = {Op.SEND: SENDS, Op.RECV: RECEIVES} | dict.fromkeys(COMPUTE | DISK, ALONE) | dict.fromkeys(MEETING, MEETS)


class KindNumbers(NamedTuple):
    """[kind] what a check compares.

    Attributes:
        rank: the rank.
        role: whether such tasks start alone, send, receive, or meet in a collective.
        name: all that their names say but the micro-batch.
        stream: the rank and its queue.
        meeting: what the ends of a message or the members of a collective have in common; 0 for those that start alone.
        size: the bytes, and the samples of a message; 0 for those that start alone.
        members: how many ranks meet in a collective that the rank is one of; 0 for all others.
    """

    rank: Numbers
    role: Numbers
    name: Numbers
    stream: Numbers
    meeting: Numbers
    size: Numbers
    members: Numbers


def numbers_of(table: KindTable) -> KindNumbers:
    """Number what kinds say, in one pass over their fields."""
    op, rank, stage, layers, block, tile, samples, _, _, payload, peers, nbytes, bucket = table.fields
    role = op.each(_ROLE.__getitem__)
    sends, message, meets = role == SENDS, (role == SENDS) | (role == RECEIVES), role == MEETS
    places = {place: i for i, place in enumerate(dict.fromkeys([*rank.values, *(p[0] for p in peers.values if p)]))}
    here = rank.each(places.__getitem__), len(places)
    peer = np.where(message, peers.each(lambda named: places[named[0]] if named else 0), 0), len(places)
    part = [_column(payload), _column(block), _column(tile)]
    ends = [
        (np.where(message, np.where(sends, here[0], peer[0]), op.numbers), max(len(places), len(op.values))),
        (np.where(message, np.where(sends, peer[0], here[0]), peers.numbers), max(len(places), len(peers.values))),
        (np.where(meets, 1 + stage.numbers, 0), 1 + len(stage.values)),
    ]
    return KindNumbers(
        rank=rank.each(int),
        role=role,
        name=dense(combined(_column(stage), _column(op), *part, _column(bucket), here, peer)[0]),
        stream=dense(combined(here, _queues(table), peer)[0]),
        meeting=np.where(role == ALONE, 0, dense(combined(*ends, *part, _column(layers))[0])),
        size=np.where(role == ALONE, 0, nbytes.numbers * len(samples.values) + np.where(message, samples.numbers, 0)),
        members=_members(rank, peers, meets),
    )


def _column(field: Field) -> tuple[Numbers, int]:
    return field.numbers, len(field.values)


def _queues(table: KindTable) -> tuple[Numbers, int]:
    """[kind] a number for the queue of its rank, whoever the peer is: it depends on the operation and the payload."""
    op, payload = table.fields[0], table.fields[9]
    _, first, pairs = np.unique(combined(_column(op), _column(payload))[0], return_index=True, return_inverse=True)
    streams = [table[number].stream for number in first.tolist()]
    queues = Field.of((stream.kind, stream.channel) for stream in streams)
    return queues.numbers[pairs], len(queues.values)


def _members(rank: Field, peers: Field, meets: npt.NDArray[np.bool_]) -> Numbers:
    """[kind] how many ranks meet in a collective that the rank is one of."""
    members = np.zeros_like(rank.numbers)
    rings: dict[int, Peers] = {}
    for number in np.flatnonzero(meets).tolist():
        said = peers.numbers[number]
        if (ring := rings.get(said)) is None:
            ring = rings[said] = Peers.of(peers.values[said])
        members[number] = len(ring) if rank.values[rank.numbers[number]] in ring.ranks else 0
    return members
