"""What does every node of a schedule take on this cluster? Seconds of computations, and ways of bytes, kind by kind."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgesim.cluster import Cluster
from edgesim.errors import ScheduleError
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.ring import ring_steps
from edgesim.schedule import COLLECTIVE, COMPUTE, MESSAGE, Graph, Op
from edgesim.schedule.kind import Kind
from edgesim.simulator.fabric import Fabric, Route
from edgesim.units import MOST
from edgesim.work import work_of


class Wire(NamedTuple):
    """How a node's bytes travel: along a route, then for a latency, after which all have arrived."""

    route: Route
    nbytes: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
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

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """[node] How much later than they were sent its bytes arrive; 0 where there are none."""
        latency_s = np.zeros(self.kind.max(initial=-1) + 1)
        for kind, wire in self.wires.items():
            latency_s[kind] = wire.latency_s
        return latency_s[self.kind]

    @property
    def alone_s(self) -> NDArray[np.float64]:
        """[node] What it takes to compute or to send where it shares nothing; infinitely long where a link is out."""
        alone_s = np.zeros(self.kind.max(initial=-1) + 1)
        for kind, seconds in self.seconds.items():
            alone_s[kind] = seconds
        for kind, wire in self.wires.items():
            if wire.route.data and wire.nbytes > 0:
                slowest = max(seconds for _, seconds in wire.route.all)
                alone_s[kind] = wire.nbytes / (1 / slowest) if slowest < inf else inf
        return alone_s[self.kind]


def node_costs(
    graph: Graph, fabric: Fabric, cluster: Cluster, model: Model, profile: Profile, tokens: int
) -> NodeCosts:
    """Return what the nodes take. Raises ProfileError for a computation that the profile does not know.

    Raises ScheduleError for bytes, seconds or latencies that are too many to be added up.
    """
    seconds: dict[int, float] = {}
    wires: dict[int, Wire] = {}
    for number in np.flatnonzero(np.bincount(graph.kind)).tolist():
        each = graph.columns.kinds[number]
        _refuse_beyond(each.nbytes, "bytes", each)
        if each.op in MESSAGE or each.op in COLLECTIVE:
            wires[number] = _wire(each, fabric)
            _refuse_beyond(wires[number].latency_s, "seconds of latency", each)
        elif each.op in COMPUTE:
            seconds[number] = _computed_s(each, cluster, model, profile, tokens)
            _refuse_beyond(seconds[number], "seconds", each)
        else:
            seconds[number] = each.nbytes / cluster.devices[each.rank].disk_bytes_per_s
    return NodeCosts(kind=graph.kind, seconds=seconds, wires=wires)


def _refuse_beyond(amount: float, what: str, kind: Kind) -> None:
    if not amount <= MOST:
        raise ScheduleError(f"{''.join(kind.name_around)} takes more than {MOST:g} {what}, which no clock can count")


def _computed_s(kind: Kind, cluster: Cluster, model: Model, profile: Profile, tokens: int) -> float:
    device = cluster.devices[kind.rank].name
    if kind.block:
        work = work_of(kind, model, tokens)
        return profile.block_s(device=device, block=work.block, op=work.op, portion=work.portion)
    samples = 0 if kind.op is Op.UPDATE else kind.samples[1] - kind.samples[0]
    layers = model.layers[slice(*kind.layers)]
    return profile.layers_s(device=device, layers=layers, op=kind.op, samples=samples, tokens=tokens)


def _wire(kind: Kind, fabric: Fabric) -> Wire:
    """The way of a message, or of a ring collective.

    Ring all-reduce of S bytes on n ranks: 2(n-1) steps of S/n; all-gather and reduce-scatter: n-1 steps
    (Patarasuk & Yuan, JPDC 2009).
    """
    latencies_s = fabric.network.latency_s
    if kind.op is Op.SEND:
        source, destination = kind.rank, kind.peers[0]
        latency_s = latencies_s[source][destination]
        return Wire(fabric.route(((source, destination),)), kind.nbytes, latency_s)
    if len(kind.peers) == 1:
        return Wire(fabric.route(()), 0.0, 0.0)  # who is alone passes nothing on
    ring = tuple(zip(kind.peers, (*kind.peers[1:], kind.peers[0]), strict=True))
    steps = ring_steps(len(ring), all_reduce=kind.op is Op.ALL_REDUCE)
    latency_s = steps * max(latencies_s[a][b] for a, b in ring)
    return Wire(fabric.route(ring), steps * kind.nbytes / len(ring), latency_s)
