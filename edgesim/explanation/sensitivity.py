"""What would a trace gain if a rank or a link were a little faster? Its schedule is played again with that."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgesim.cluster import Network
from edgesim.explanation.causes import Cause
from edgesim.explanation.node_seconds import Extra, observe
from edgesim.explanation.pieces import Pieces, each, pieces_of
from edgesim.schedule import COMPUTE, MESSAGE, Graph
from edgesim.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What would be saved.

    Attributes:
        what: what becomes faster, or more.
        where: a rank or a link; "" for all.
        saves_s: of the makespan. Negative where it would take longer.
        detail: what else would change, in words.
    """

    what: str
    where: str
    saves_s: float
    detail: str = ""

    @property
    def name(self) -> str:
        """What becomes faster, with its place."""
        return f"{self.what}, {self.where}" if self.where else self.what


def gains(trace: Trace, *, faster: float = 0.1, network: Network | None = None) -> tuple[Gain, ...]:
    """Return what the trace would gain, the most first, if each rank, link, latency ... were faster by this share.

    The order of tasks stays, and so does what they wait for; what they would meet on links then is not known.
    """
    observed = observe(trace)
    pieces, base = pieces_of(observed, network), observed.seconds
    whole_s, part = base.makespan_s, 1 - 1 / (1 + faster)
    found = (
        Gain(what=what, where=where, saves_s=whole_s - base.plus(-_part(change, part)).makespan_s)
        for what, where, change in _faster(observed.graph, pieces)
    )
    return tuple(sorted(found, key=lambda gain: -gain.saves_s))


def _part(change: Extra, part: float) -> Extra:
    return Extra(sent_s=part * change.sent_s, landing_s=part * change.landing_s)


def _faster(graph: Graph, pieces: Pieces) -> Iterator[tuple[str, str, Extra]]:
    rank = each(graph, lambda kind: kind.rank if kind.op in COMPUTE else -1, np.int64)
    for number in sorted(set(rank.tolist()) - {-1}):
        yield "computing", f"rank {number}", pieces[Cause.COMPUTE].of(rank == number)
    link = each(graph, lambda kind: f"link {kind.rank}>{kind.peers[0]}" if kind.op in MESSAGE else "", object)
    for name in sorted(set(link.tolist()) - {""}):
        yield "link rate", name, pieces[Cause.TRANSFER].of(link == name)
    for cause in (Cause.LATENCY, Cause.COLLECTIVE, Cause.DISK):
        if not pieces[cause].is_within(0):
            yield str(cause), "", pieces[cause]
