"""How long does a schedule take if no two flows ever meet? As long as its longest path; that none meet is verified.

Most pipelines and rings on switched networks are such schedules. Then no rate ever changes, every node takes what it
takes alone, and one pass over the graph finds all times. Where two flows would have used one limited resource at the
same time, the times are wrong and the simulation must be played.
"""

from struct import pack
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgesim.schedule import Graph, Recurrence
from edgesim.simulator.node_costs import NodeCosts

_TOUCH = 1 - 1e-12  # of the time: a flow that ends as another begins does not meet it, whatever rounding says


class NodeTimes(NamedTuple):
    """[node] when it starts, when it has computed or sent, and when what it sent has arrived; in seconds."""

    start_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    end_s: NDArray[np.float64]


def longest_path(graph: Graph, costs: NodeCosts) -> NodeTimes | None:
    """Return when everything happens; None where two flows meet on a limited resource."""
    recurrence = graph.recurrence
    at_s = _moments(recurrence, costs)
    first, second = recurrence.starts
    times = NodeTimes(np.maximum(at_s[first], at_s[second]), at_s[recurrence.sent], at_s[recurrence.ended])
    return None if _any_meet(costs, times) else times


def _moments(recurrence: Recurrence, costs: NodeCosts) -> NDArray[np.float64]:
    """[moment] When it is."""
    takes_s = np.concatenate([costs.alone_s, costs.latency_s, [0.0]])[recurrence.takes]
    at_s = [0.0]
    add = at_s.append
    for first, second, seconds in zip(*recurrence.waits, takes_s.tolist(), strict=True):
        one_s, other_s = at_s[first], at_s[second]
        add((one_s if one_s > other_s else other_s) + seconds)
    return np.frombuffer(pack(f"{len(at_s)}d", *at_s))  # four times as fast as numpy reads a list


def _any_meet(costs: NodeCosts, times: NodeTimes) -> bool:
    """Whether two flows are on one limited resource at the same time."""
    hops = {kind: wire.route.all for kind, wire in costs.wires.items() if wire.route.data and wire.nbytes > 0}
    # [kind] where its resources begin in a list of those of all kinds, and how many there are.
    begin, many = np.zeros((2, max(hops, default=-1) + 2), dtype=np.int64)
    resources: list[int] = []
    for kind, route in hops.items():
        begin[kind], many[kind] = len(resources), len(route)
        resources += [resource for resource, _ in route]
    flows = np.flatnonzero(many[np.minimum(costs.kind, len(many) - 1)])
    flows = flows[np.argsort(times.start_s[flows])]
    counts = many[costs.kind[flows]]
    user = np.repeat(flows, counts)
    place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    used = np.array(resources, dtype=_small(len(resources)))[begin[costs.kind[user]] + place]
    order = np.argsort(used, kind="stable")  # and so by start within each resource
    used, user = used[order], user[order]
    overlap = times.start_s[user[1:]] < times.sent_s[user[:-1]] * _TOUCH
    return bool(np.any(overlap & (used[1:] == used[:-1])))


def _small(count: int) -> type[np.unsignedinteger]:
    """Numbers of 16 bits are sorted in linear time."""
    return np.uint16 if count < 2**16 else np.uint64
