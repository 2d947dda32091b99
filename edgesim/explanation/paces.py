"""How much slower does each rank compute in one trace than in another? Throughout, or at times; it alone, or all do."""

from dataclasses import dataclass
from math import exp, sqrt

import numpy as np

from edgesim.explanation.causes import Cause
from edgesim.explanation.node_seconds import Extra
from edgesim.explanation.pieces import does, each
from edgesim.schedule import COMPUTE, Graph
from edgesim.trace import Floats

COMPUTING = "computing"
"""What a share is called that a rank's computations make."""
_SURE = 3.0  # standard errors of a median, beyond which a level is one
_OF_MEDIAN = 1.2533  # standard error of a median over that of a mean, of normal errors: sqrt(pi / 2)
_AT_TIMES = 0.05  # of a spread from which on durations are said to vary
_ALIKE = 3.0  # times the median rank's spread: what varies more varies by itself


@dataclass(frozen=True, eq=False, kw_only=True)
class NodeGroup:
    """Some nodes whose seconds change together: for what cause, where, by what, and how in words."""

    what: str
    where: str
    change: Extra
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankPace:
    """How a rank's computations compare, one by one, with the same ones of another trace.

    Attributes:
        level: how many times as long they usually take; 1 where it could be chance.
        spread: the root mean square by which the logarithm of that varies around it, weighted by seconds.
    """

    level: float
    spread: float

    @property
    def in_words(self) -> str:
        """For a table."""
        said = [in_times(self.level)] if self.level != 1 else []
        if self.spread > _AT_TIMES:
            said.append(f"at times up to {exp(2 * self.spread):.2g} times")
        return ", ".join(said)


def pace_of(before_s: Floats, after_s: Floats) -> RankPace:
    """Compare computations of one rank; those that take no time in either trace say nothing."""
    both = (before_s > 0) & (after_s > 0)
    if not both.any():
        return RankPace(level=1.0, spread=0.0)
    ratio, weight = np.log(after_s[both] / before_s[both]), before_s[both]
    middle = float(np.median(ratio))
    sure = abs(middle) > _SURE * _OF_MEDIAN * _spread(ratio, middle, weight) / sqrt(len(ratio))
    level = middle if sure else 0.0
    return RankPace(level=exp(level), spread=_spread(ratio, level, weight))


def _spread(ratio: Floats, around: float, weight: Floats) -> float:
    return float(np.sqrt(np.average((ratio - around) ** 2, weights=weight)))


def in_times(factor: float) -> str:
    """A factor of a duration, for a table."""
    return f"{factor:.3g} times as long"


def computations(graph: Graph, first: Extra, second: Extra) -> list[NodeGroup]:
    """Return a group for every rank whose speed differs, and one for what varies, if it varies on all ranks alike.

    What varies on a rank far more than on the others is that rank's: something else runs on it.
    """
    rank, before_s, after_s = each(graph, lambda kind: kind.rank, np.int64), first.sent_s, second.sent_s
    nodes = does(graph, COMPUTE)
    ranks = np.unique(rank[nodes]).tolist()
    paces = [pace_of(before_s[nodes & (rank == r)], after_s[nodes & (rank == r)]) for r in ranks]
    spreads = [pace.spread for pace in paces]
    alike = len(spreads) > 1 and max(spreads) <= _ALIKE * float(np.median(spreads))
    groups, varying_s = [], np.zeros(len(before_s))
    for number, pace in zip(ranks, paces, strict=True):
        mine = nodes & (rank == number)
        all_s = np.where(mine, after_s - before_s, 0.0)
        speed_s = np.where(mine, before_s * (pace.level - 1), 0.0) if alike else all_s
        varying_s += all_s - speed_s
        groups.append(NodeGroup(what=COMPUTING, where=f"rank {number}", change=_sent(speed_s), detail=pace.in_words))
    return [*groups, NodeGroup(what=str(Cause.VARIATION), where="", change=_sent(varying_s))]


def _sent(sent_s: Floats) -> Extra:
    return Extra(sent_s=sent_s, landing_s=np.zeros(len(sent_s)))
