"""How evenly do ranks compute? How much each does, how much durations vary that should be equal, who is the slowest."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesim.explanation.node_seconds import Extra
from edgesim.explanation.pieces import does, each
from edgesim.schedule import COMPUTE, Graph
from edgesim.trace import Floats

_LEAST_ALIKE = 3  # computations of one kind, of which the one in the middle says what all should take


@dataclass(frozen=True, eq=False, kw_only=True)
class Computing:
    """What ranks compute in a trace.

    Attributes:
        nodes: [node] whether it is a computation.
        rank: [node] whose.
        usual_s: [node] the median of all computations of its kind; what it took, where these are too few to tell.
        balanced_s: [node] the same, if every rank that works took as long in all.
        varying: what computations took beside the usual.
        uneven: what they usually take beside the balanced.
        slowest: the rank that usually takes longest in all; None where none computes.
    """

    nodes: npt.NDArray[np.bool_]
    rank: npt.NDArray[np.int64]
    usual_s: Floats
    balanced_s: Floats
    varying: Extra
    uneven: Extra
    slowest: int | None

    @property
    def ranks(self) -> list[int]:
        """Who computes."""
        return [int(rank) for rank in np.unique(self.rank[self.nodes])]

    def by_rank_s(self, seconds: Floats) -> Floats:
        """Return [rank] its computations' seconds in all."""
        total_s: Floats = np.bincount(self.rank[self.nodes], weights=seconds[self.nodes]).astype(np.float64)
        return total_s


def computing(graph: Graph, took_s: Floats) -> Computing:
    """Read what computations took, by [node], where ``took_s`` is 0 for all else."""
    nodes = does(graph, COMPUTE)
    rank = each(graph, lambda kind: kind.rank, np.int64)
    usual_s = _usual_s(graph, nodes, took_s)
    total_s = np.bincount(rank[nodes], weights=usual_s[nodes])
    working = total_s > 0
    mean_s = float(total_s[working].mean()) if working.any() else 0.0
    factor = np.divide(mean_s, total_s, out=np.ones_like(total_s), where=working)
    balanced_s = np.where(nodes, usual_s * factor[np.minimum(rank, len(factor) - 1)], 0.0) if nodes.any() else usual_s
    nothing = np.zeros(len(took_s))
    return Computing(
        nodes=nodes,
        rank=rank,
        usual_s=usual_s,
        balanced_s=balanced_s,
        varying=Extra(sent_s=took_s - usual_s, landing_s=nothing),
        uneven=Extra(sent_s=usual_s - balanced_s, landing_s=nothing),
        slowest=int(total_s.argmax()) if working.any() else None,
    )


def _usual_s(graph: Graph, nodes: npt.NDArray[np.bool_], took_s: Floats) -> Floats:
    usual_s: Floats = took_s.copy()
    order = np.flatnonzero(nodes)[np.argsort(graph.kind[nodes], kind="stable")]
    for alike in np.split(order, np.flatnonzero(np.diff(graph.kind[order])) + 1):
        if len(alike) >= _LEAST_ALIKE:
            usual_s[alike] = np.median(took_s[alike])
    return usual_s
