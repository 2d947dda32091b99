"""Which tasks make the difference between two traces of one schedule? Groups of them change sides, in every order.

Where both play the same schedule, nothing but seconds can differ. So the schedule is played again with the seconds of
the first, and what a rank computed, a link carried or a disk did is given its seconds of the second, in every order.
"""

import numpy as np

from edgesim.cluster import Network
from edgesim.explanation.attribution import attribute
from edgesim.explanation.causes import Cause, CauseShare
from edgesim.explanation.node_seconds import ROUNDING, Extra, observe
from edgesim.explanation.paces import NodeGroup, computations, in_times
from edgesim.explanation.pieces import Pieces, each, pieces_of
from edgesim.schedule import DISK, MESSAGE, Graph
from edgesim.trace import Trace

_ALIKE = 1.2  # of the slowest link's change over the fastest's: within it all links have changed alike


def swaps(
    first: Trace, second: Trace, *, networks: tuple[Network | None, Network | None] = (None, None)
) -> tuple[CauseShare, ...]:
    """Return what each group of tasks adds to the second trace's makespan over the first's, the largest first.

    The shares add up to the difference. ``networks`` are those of the first and of the second, where they are known.
    Raises ValueError for traces of two schedules.
    """
    if first.schedule.hash != second.schedule.hash:
        raise ValueError(
            f"{first} and {second} are of two schedules: no task of one is a task of the other "
            "(break both down, and compare the terms)"
        )
    observed = observe(first), observe(second)
    pieces = [pieces_of(each_of, network) for each_of, network in zip(observed, networks, strict=True)]
    base, least_s = observed[0].seconds, ROUNDING * max(first.makespan_s, second.makespan_s)
    groups = [group for group in _groups(base.graph, *pieces) if not group.change.is_within(least_s)]
    changes = [group.change for group in groups]
    added = attribute(len(groups), lambda state: base.with_all(changes[i] for i in sorted(state)).makespan_s)
    rows = zip(groups, added.seconds, added.least_s, added.most_s, strict=True)
    shares = (
        CauseShare(what=g.what, where=g.where, seconds=s, least_s=least, most_s=most, detail=g.detail)
        for g, s, least, most in rows
    )
    return tuple(sorted(shares, key=lambda share: -abs(share.seconds)))


def _groups(graph: Graph, first: Pieces, second: Pieces) -> list[NodeGroup]:
    differs = {cause: _between(piece, second[cause]) for cause, piece in first.items()}
    # A slower link makes what waits for it wait longer, too: that is the link's, and only the rest is contention.
    slower = _waits_longer(first, second)
    transfer = _sum(differs[Cause.TRANSFER], slower)
    return [
        *computations(graph, first[Cause.COMPUTE], second[Cause.COMPUTE]),
        NodeGroup(what=str(Cause.LATENCY), where="", change=differs[Cause.LATENCY]),
        NodeGroup(what=str(Cause.CONTENTION), where="", change=_sum(differs[Cause.CONTENTION], -slower)),
        *_links(graph, first[Cause.TRANSFER], transfer),
        *_disks(graph, differs[Cause.DISK]),
        NodeGroup(what=str(Cause.COLLECTIVE), where="", change=differs[Cause.COLLECTIVE]),
        NodeGroup(what=str(Cause.HOST), where="", change=differs[Cause.HOST]),
    ]


def _waits_longer(first: Pieces, second: Pieces) -> Extra:
    """What contention of the first would be more if it grew as the transfers do."""
    before, after = (piece[Cause.TRANSFER].sent_s + piece[Cause.TRANSFER].landing_s for piece in (first, second))
    more = np.divide(after, before, out=np.ones_like(before), where=before > 0) - 1
    waited = first[Cause.CONTENTION]
    return Extra(sent_s=more * waited.sent_s, landing_s=more * waited.landing_s)


def _links(graph: Graph, before: Extra, change: Extra) -> list[NodeGroup]:
    """A group per link; one for all of them where all have become slower, or faster, alike."""
    link = each(graph, lambda kind: f"link {kind.rank}>{kind.peers[0]}" if kind.op in MESSAGE else "", object)
    groups, times = [], []
    for name in sorted(set(link.tolist()) - {""}):
        own, was_s = change.of(link == name), float((before.sent_s + before.landing_s)[link == name].sum())
        if own.is_within(0):
            continue
        # Of a link that took no time there is no factor.
        times.append(1 + float((own.sent_s + own.landing_s).sum()) / was_s if was_s > 0 else 0.0)
        detail = in_times(times[-1]) if times[-1] > 0 else ""
        groups.append(NodeGroup(what=str(Cause.TRANSFER), where=name, change=own, detail=detail))
    if len(groups) > 1 and 0 < max(times) <= _ALIKE * min(times):
        return [NodeGroup(what=str(Cause.TRANSFER), where="all links", change=change, detail=in_times(times[0]))]
    return groups


def _disks(graph: Graph, change: Extra) -> list[NodeGroup]:
    rank = each(graph, lambda kind: kind.rank if kind.op in DISK else -1, np.int64)
    names = sorted(set(rank.tolist()) - {-1})
    return [NodeGroup(what=str(Cause.DISK), where=f"rank {name}", change=change.of(rank == name)) for name in names]


def _between(before: Extra, after: Extra) -> Extra:
    return _sum(after, -before)


def _sum(one: Extra, other: Extra) -> Extra:
    return Extra(sent_s=one.sent_s + other.sent_s, landing_s=one.landing_s + other.landing_s)
