"""Where does a makespan come from? Terms that add up to it, from computing alone to all that keeps ranks waiting.

The same schedule is played again without varying durations, as if all ranks took as long, and without latency, bytes,
contention, collectives, disks and hosts. What is left is what ranks compute in the mean, and the bubble: until a stage
has something to do, while others finish, between its passes, and what a limit of micro-batches in flight makes of it
(:mod:`edgesim.explanation.free_order`). What each cause adds is the mean over the orders in which they come back.
"""

from collections.abc import Iterator

import numpy as np

from edgesim.cluster import Network
from edgesim.explanation.attribution import attribute
from edgesim.explanation.block_kinds import parts_of
from edgesim.explanation.causes import Cause, Term
from edgesim.explanation.compute import Computing, computing
from edgesim.explanation.free_order import free_order_s
from edgesim.explanation.node_seconds import ROUNDING, NodeSeconds, observe
from edgesim.explanation.pieces import pieces_of
from edgesim.model import Model
from edgesim.schedule import Op
from edgesim.trace import Trace


def breakdown(
    trace: Trace, *, network: Network | None = None, model: Model | None = None, tokens: int = 1
) -> tuple[Term, ...]:
    """Return terms whose seconds add up to the trace's makespan, whoever played it.

    The network tells latency, transfer and contention apart better than the trace alone; with the model, computing is
    told by kind of block: of layers that are computed at once, in proportion to their FLOPs.
    """
    observed = observe(trace)
    pieces = pieces_of(observed, network)
    work = computing(observed.graph, pieces[Cause.COMPUTE].sent_s)
    base = NodeSeconds(graph=observed.graph, sent_s=work.balanced_s, landing_s=np.zeros(len(work.balanced_s)))
    waiting_for = "" if work.slowest is None else f"rank {work.slowest}"
    added = [
        (Cause.WAITING, waiting_for, work.uneven),
        (Cause.VARIATION, "", work.varying),
        *((cause, "", piece) for cause, piece in pieces.items() if cause is not Cause.COMPUTE),
    ]
    least_s = ROUNDING * trace.makespan_s
    causes = [(cause, where, change) for cause, where, change in added if not change.is_within(least_s)]
    changes = [change for *_, change in causes]
    shares = attribute(len(causes), lambda state: base.with_all(changes[i] for i in sorted(state)).makespan_s).seconds
    return (
        *_pipeline(base, work, model, tokens),
        *(Term(cause=cause, where=where, seconds=s) for (cause, where, _), s in zip(causes, shares, strict=True)),
    )


def _pipeline(base: NodeSeconds, work: Computing, model: Model | None, tokens: int) -> Iterator[Term]:
    """What balanced ranks compute in the mean, and how they wait for each other meanwhile."""
    ranks = [rank for rank in work.ranks if work.usual_s[work.nodes & (work.rank == rank)].any()]
    if not ranks:
        yield Term(cause=Cause.COMPUTE, where="", seconds=base.makespan_s)
        return
    yield from _computed(base, work, model, tokens, len(ranks))
    moments = base.moments()
    ended_s = moments[base.graph.recurrence.sent]
    whole_s = float(moments.max())
    fill_s = drain_s = between_s = 0.0
    for rank in ranks:
        mine = work.nodes & (work.rank == rank)
        first_s, last_s = float((ended_s - base.sent_s)[mine].min()), float(ended_s[mine].max())
        fill_s += first_s / len(ranks)
        drain_s += (whole_s - last_s) / len(ranks)
        between_s += (last_s - first_s - float(base.sent_s[mine].sum())) / len(ranks)
    depth_s = max(0.0, whole_s - free_order_s(base.graph, base.sent_s))
    between_s -= depth_s
    bubble = {Cause.FILL: fill_s, Cause.BETWEEN: between_s, Cause.DRAIN: drain_s, Cause.DEPTH: depth_s}
    for cause, seconds in bubble.items():
        yield Term(cause=cause, where="", seconds=seconds)


def _computed(base: NodeSeconds, work: Computing, model: Model | None, tokens: int, working: int) -> Iterator[Term]:
    graph = base.graph
    by_kind_s = np.bincount(graph.kind[work.nodes], weights=work.usual_s[work.nodes])
    total: dict[tuple[Cause, str], float] = {}
    for number in np.flatnonzero(by_kind_s).tolist():
        kind = graph.columns.kinds[number]
        cause = Cause.UPDATE if kind.op is Op.UPDATE else Cause.COMPUTE
        for part, share in parts_of(kind, model, tokens).items():
            where = f"rank {kind.rank}" if cause is Cause.UPDATE else f"rank {kind.rank}, {part}"
            total[cause, where] = total.get((cause, where), 0.0) + share * float(by_kind_s[number]) / working
    for (cause, where), seconds in total.items():
        yield Term(cause=cause, where=where, seconds=seconds)
