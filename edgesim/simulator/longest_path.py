"""How long does a schedule take if no two flows ever meet? As long as its longest path; that none meet is verified.

Most pipelines and rings on switched networks are such schedules. Then every node takes what it takes alone, at the
speeds that its device or its links have meanwhile, and one pass over the graph finds all times. Where two flows would
have used one limited resource at the same time, or one met an outage, the times are wrong and the simulation must be
played.
"""

from math import isfinite, nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgesim.scenario.paces import TOUCH, Pace, lasts_s
from edgesim.schedule import Graph, Recurrence
from edgesim.simulator.disturbance import UNDISTURBED, Disturbance, by_kind
from edgesim.simulator.node_costs import NodeCosts
from edgesim.simulator.rates import UnknownRateError

_BEYOND = 1.25  # times as far as all seemed to last: where rates were looked at, and bytes may still be on their way


class NodeTimes(NamedTuple):
    """[node] when it starts, when it has computed or sent, and when what it sent has arrived; in seconds."""

    start_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    end_s: NDArray[np.float64]


def longest_path(graph: Graph, costs: NodeCosts, disturbance: Disturbance = UNDISTURBED) -> NodeTimes | None:
    """Return when everything happens; None where it must be played: two flows meet, or a rate is 0 or not known."""
    recurrence = graph.recurrence
    try:
        at_s = _disturbed_moments(recurrence, costs, disturbance)
    except UnknownRateError:
        return None
    first, second = recurrence.starts
    times = NodeTimes(np.maximum(at_s[first], at_s[second]), at_s[recurrence.sent], at_s[recurrence.ended])
    return None if _any_meet(costs, times) else times


def _disturbed_moments(recurrence: Recurrence, costs: NodeCosts, disturbance: Disturbance) -> NDArray[np.float64]:
    """[moment] When it is, as far as rates are known; and they are looked at until they are for all of it."""
    work = costs.alone_s
    if not np.isfinite(work).all():
        raise UnknownRateError  # of bytes, in an outage
    if disturbance.factors is not None:
        work = work * disturbance.factors
    at_s = _moments(recurrence, costs, work, disturbance.speeds)
    rates, known_s = disturbance.rates, 0.0
    while rates is not None and not known_s >= (last_s := float(at_s.max())):
        if not isfinite(last_s):  # bytes met an outage: they take for ever, and what waits for them has no time at all
            raise UnknownRateError
        known_s = _BEYOND * last_s
        if paces := rates.paces(costs, known_s):
            at_s = _moments(recurrence, costs, _in_bytes(work, costs, paces), {**disturbance.speeds, **paces})
    return at_s


def _in_bytes(work: NDArray[np.float64], costs: NodeCosts, paces: dict[int, Pace]) -> NDArray[np.float64]:
    """[node] Its work: bytes where the pace is of bytes."""
    table = np.full(costs.kind.max() + 1, nan)
    for kind in paces:
        table[kind] = costs.wires[kind].nbytes
    nbytes = table[costs.kind]
    return np.where(np.isnan(nbytes), work, nbytes)


def _moments(
    recurrence: Recurrence, costs: NodeCosts, work: NDArray[np.float64], paces: dict[int, Pace]
) -> NDArray[np.float64]:
    """[moment] When it is."""
    seconds = np.concatenate([work, costs.latency_s, [0.0]])
    if not paces:
        return recurrence.moments(seconds)
    takes, at_s = seconds[recurrence.takes].tolist(), [0.0]
    step_paces = np.full(len(takes), None, dtype=object)
    step_paces[recurrence.begun] = by_kind(paces, costs)
    for first, second, lasts, pace in zip(*recurrence.waits, takes, step_paces.tolist(), strict=True):
        one_s, other_s = at_s[first], at_s[second]
        start_s = one_s if one_s > other_s else other_s
        at_s.append(start_s + (lasts if pace is None else lasts_s(pace, start_s, lasts)))
    return np.array(at_s)


def _any_meet(costs: NodeCosts, times: NodeTimes) -> bool:
    """Whether two flows are on one limited resource at the same time."""
    hops = {kind: wire.route.all for kind, wire in costs.wires.items() if wire.route.data and wire.nbytes > 0}
    if not hops:
        return False
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
    overlap = times.start_s[user[1:]] < times.sent_s[user[:-1]] * TOUCH
    return bool(np.any(overlap & (used[1:] == used[:-1])))


def _small(count: int) -> type[np.unsignedinteger]:
    """Numbers of 16 bits are sorted in linear time."""
    return np.uint16 if count < 2**16 else np.uint64
