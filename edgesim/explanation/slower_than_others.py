"""Which rank or link is to blame? What a trace would gain if it were as fast as the others, and all else as it is."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgesim.cluster import Network
from edgesim.explanation.causes import Cause
from edgesim.explanation.compute import computing
from edgesim.explanation.node_seconds import Extra, Observed, observe
from edgesim.explanation.pieces import Pieces, each, pieces_of
from edgesim.schedule import MESSAGE
from edgesim.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """A rank or a link that is slower than the others.

    Attributes:
        where: which.
        times: how many times as long it takes as the others in the median: of a rank what it computes in all, of a
            link the seconds of a byte.
        saves_s: by how much the makespan would be shorter if it took as long as they.
    """

    where: str
    times: float
    saves_s: float


def blames(trace: Trace, *, network: Network | None = None) -> tuple[Blame, ...]:
    """Return the ranks and links that are slower than the others, those first without which most would be saved."""
    observed = observe(trace)
    pieces, base = pieces_of(observed, network), observed.seconds
    found = (
        Blame(where=where, times=times, saves_s=base.makespan_s - base.plus(-lost).makespan_s)
        for where, times, lost in (*_ranks(observed, pieces), *_links(observed, pieces))
    )
    return tuple(sorted((blame for blame in found if blame.saves_s > 0), key=lambda blame: -blame.saves_s))


def _ranks(observed: Observed, pieces: Pieces) -> Iterator[tuple[str, float, Extra]]:
    took_s = pieces[Cause.COMPUTE].sent_s
    work = computing(observed.graph, took_s)
    total_s = work.by_rank_s(took_s) if work.nodes.any() else np.zeros(0)
    for rank in work.ranks:
        times = _times(total_s, rank, work.ranks)
        if times > 1:
            mine = work.nodes & (work.rank == rank)
            yield f"rank {rank}", times, _less(pieces[Cause.COMPUTE].of(mine), times)


def _links(observed: Observed, pieces: Pieces) -> Iterator[tuple[str, float, Extra]]:
    piece = pieces[Cause.TRANSFER]
    graph, numbers = observed.graph, dict[tuple[int, int], int]()
    link = each(
        graph,
        lambda kind: numbers.setdefault((kind.rank, kind.peers[0]), len(numbers)) if kind.op in MESSAGE else -1,
        np.int64,
    )
    nbytes = each(graph, lambda kind: kind.nbytes, np.float64)
    carried = link >= 0
    sent = np.bincount(link[carried], weights=nbytes[carried], minlength=len(numbers))
    took = np.bincount(link[carried], weights=(piece.sent_s + piece.landing_s)[carried], minlength=len(numbers))
    per_byte = np.divide(took, sent, out=np.zeros(len(took)), where=sent > 0)
    used = [number for number in numbers.values() if per_byte[number] > 0]
    for (source, destination), number in numbers.items():
        if number in used and (times := _times(per_byte, number, used)) > 1:
            mine = link == number
            yield f"link {source}>{destination}", times, _less(piece.of(mine), times)


def _times(values: np.ndarray[tuple[int], np.dtype[np.float64]], one: int, of: list[int]) -> float:
    """How many times the median of the others one is; 0 where there is no other."""
    others = [float(values[other]) for other in of if other != one and values[other] > 0]
    return float(values[one]) / float(np.median(others)) if others else 0.0


def _less(change: Extra, times: float) -> Extra:
    """What of its seconds is more than the others take."""
    part = 1 - 1 / times
    return Extra(sent_s=part * change.sent_s, landing_s=part * change.landing_s)
