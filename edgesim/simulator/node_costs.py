"""What does every node of a schedule take on this cluster? Seconds of computations, and ways of bytes, kind by kind."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgesim.schedule import COLLECTIVE, COMPUTE, MESSAGE, Graph, Op
from edgesim.simulator.kind_costs import KindCosts, Wire, refuse_beyond


@dataclass(frozen=True, eq=False, kw_only=True)
class NodeCosts:
    """The costs of a schedule's nodes, found once for all nodes of a kind.

    Attributes:
        kind: [node] the number of its kind.
        seconds: [kind] of a computation, or of work at a disk.
        wires: [kind] of a message, or of a collective.
    """

    kind: NDArray[np.int64]
    seconds: dict[int, float]
    wires: dict[int, Wire]

    @cached_property
    def latency_s(self) -> NDArray[np.float64]:
        """[node] How much later than they were sent its bytes arrive; 0 where there are none."""
        return self._by_kind({kind: wire.latency_s for kind, wire in self.wires.items()})

    @cached_property
    def alone_s(self) -> NDArray[np.float64]:
        """[node] What it takes to compute or to send where it shares nothing; infinitely long where a link is out."""
        return self._by_kind(self.seconds | {kind: wire.alone_s for kind, wire in self.wires.items()})

    def _by_kind(self, seconds: dict[int, float]) -> NDArray[np.float64]:
        """[node] The seconds of its kind."""
        table = np.zeros(self.kind.max(initial=-1) + 1)
        table[list(seconds)] = list(seconds.values())
        return table[self.kind]


def node_costs(graph: Graph, costs: KindCosts) -> NodeCosts:
    """Return what the nodes take. Raises ProfileError for a computation that the profile does not know.

    Raises ScheduleError for bytes, seconds or latencies that are too many to be added up.
    """
    seconds: dict[int, float] = {}
    wires: dict[int, Wire] = {}
    kinds = graph.columns.kinds
    for number in np.flatnonzero(np.bincount(graph.kind)).tolist():
        each = kinds[number]
        refuse_beyond(each.nbytes, "bytes", each)
        if each.op in MESSAGE or each.op in COLLECTIVE:
            wires[number] = costs.wire(each)
        elif each.op in COMPUTE:
            seconds[number] = costs.seconds(each)
        elif each.op is Op.COMMIT:
            seconds[number] = 0.0  # a word over the control channel; hosts' costs of a job hold it
        else:
            device = costs.cluster.devices[each.rank]
            rate = device.disk_bytes_per_s if each.op is Op.CACHE_READ else device.writes_bytes_per_s
            seconds[number] = each.nbytes / rate
    return NodeCosts(kind=graph.kind, seconds=seconds, wires=wires)
