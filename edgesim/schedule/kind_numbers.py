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
        meeting: what the ends of a message or the members of a collective have in common; 0 for all others.
        size: the bytes, and the samples of a message.
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
    names, streams, meetings, sizes = (_Known() for _ in range(4))
    queues: dict[tuple[Hashable, ...], Stream] = {}
    rows = []
    for kind in kinds:
        op, rank, stage, _, block, tile, samples, _, _, payload, peers, nbytes = kind
        message = op in MESSAGE
        peer = peers[0] if message else None
        if (queue := queues.get((op, payload, peer))) is None:
            queue = queues[op, payload, peer] = kind.stream
        role = _ROLE[op]
        rows.append(
            (
                rank,
                role,
                names.number((stage, op, payload, block, tile, rank, peer)),
                streams.number((rank, queue)),
                meetings.number(kind.meeting) if role else 0,
                sizes.number((nbytes, samples if message else None)),
                len(peers) if role == MEETS and rank in Peers.of(peers).ranks else 0,
            )
        )
    return KindNumbers(*np.array(rows, dtype=np.int64).reshape(-1, len(KindNumbers._fields)).T)


class _Known(dict[Hashable, int]):
    """Values that have a number."""

    def number(self, value: Hashable) -> int:
        return self.setdefault(value, len(self))
