"""Which kinds of tasks share a name, a stream, a meeting? Numbers, the same for kinds that share."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from edgesim.schedule.columns import Numbers
from edgesim.schedule.kind import COLLECTIVE, COMPUTE, DISK, MESSAGE, Kind, Op, Peers, Stream

ALONE, SENDS, RECEIVES, MEETS = range(4)
_ROLE = {Op.SEND: SENDS, Op.RECV: RECEIVES} | dict.fromkeys(COMPUTE | DISK, ALONE) | dict.fromkeys(COLLECTIVE, MEETS)


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


def numbers_of(kinds: Sequence[Kind]) -> KindNumbers:
    """Number what kinds say, in one pass over them."""
    names: dict[Hashable, int] = {}
    queues: dict[Hashable, int] = {}
    streams: dict[Stream, int] = {}
    meetings: dict[Hashable, int] = {}
    sizes: dict[Hashable, int] = {}
    rows = []
    for kind in kinds:
        op, rank, stage, _, block, tile, samples, _, _, payload, peers, nbytes = kind
        role, meeting, size, members = _ROLE[op], 0, 0, 0
        to_or_from = (op, payload, peers[0]) if op in MESSAGE else (op, payload)
        if (queue := queues.get(to_or_from)) is None:
            queue = queues[to_or_from] = streams.setdefault(kind.stream, len(streams))
        name = names.setdefault((stage, to_or_from, block, tile, rank), len(names))
        if role != ALONE:
            meeting = meetings.setdefault(kind.meeting, len(meetings))
            size = sizes.setdefault(nbytes if role == MEETS else (nbytes, samples), len(sizes))
            members = len(peers) if role == MEETS and rank in Peers.of(peers).ranks else 0
        rows.append((rank, role, name, queue, meeting, size, members))
    said = KindNumbers(*np.array(rows, dtype=np.int64).reshape(-1, len(KindNumbers._fields)).T)
    return said._replace(stream=said.rank * len(streams) + said.stream)
