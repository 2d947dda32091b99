"""What are a trace's seconds spent on? Computing, sending, landing, waiting for links: pieces that add up to them."""

from collections.abc import Callable, Hashable, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesim.cluster import Network
from edgesim.explanation.causes import Cause
from edgesim.explanation.node_seconds import Extra, Observed
from edgesim.schedule import COLLECTIVE, COMPUTE, DISK, MESSAGE, Graph, Kind, Op
from edgesim.trace import Floats

Pieces = dict[Cause, Extra]
"""By cause, what nodes take of it."""


def pieces_of(observed: Observed, network: Network | None = None) -> Pieces:
    """Divide what nodes take; all pieces together are all of it.

    Of a message, the network says what it would take alone, and its latency; the rest is contention. Without a network
    the fastest message of its kind says it, and what lands fastest from the same sender.
    """
    graph, busy_s = observed.graph, observed.sent_s - observed.start_s
    landing_s = observed.ended_s - observed.sent_s
    pieces = {}
    for cause, ops in ((Cause.COMPUTE, COMPUTE), (Cause.COLLECTIVE, COLLECTIVE), (Cause.DISK, DISK)):
        such = does(graph, ops)
        pieces[cause] = Extra(sent_s=np.where(such, busy_s, 0.0), landing_s=np.where(such, landing_s, 0.0))
    words = ~does(graph, COMPUTE | COLLECTIVE | DISK | MESSAGE)  # of the coordinator's, which is no work of a rank's
    host_s = observed.host_s + np.where(words, busy_s, 0.0)
    pieces[Cause.HOST] = Extra(sent_s=host_s, landing_s=np.zeros(len(busy_s)))
    return pieces | _messages(graph, does(graph, MESSAGE), busy_s, landing_s, network)


def _messages(
    graph: Graph, messages: npt.NDArray[np.bool_], busy_s: Floats, landing_s: Floats, network: Network | None
) -> Pieces:
    if network is None:
        pair_latency_s = _least(graph, messages, lambda kind: (kind.rank, kind.peers), np.maximum(landing_s, 0.0))
        latency_s = np.minimum(pair_latency_s, np.maximum(busy_s + landing_s, 0.0))
        alone_s = _least(graph, messages, lambda kind: kind, busy_s + landing_s - latency_s)
    else:
        known = network
        latency_s = each(graph, lambda kind: _latency_s(kind, known), np.float64)
        alone_s = each(graph, lambda kind: _alone_s(kind, known), np.float64)
    # What lands after it was sent is latency first, and no message has more of anything than it took.
    landed_s = np.minimum(np.maximum(landing_s, 0.0), latency_s)
    early_s = np.minimum(np.maximum(busy_s, 0.0), latency_s - landed_s)
    left_sent_s, left_landing_s = busy_s - early_s, landing_s - landed_s
    left_s = left_sent_s + left_landing_s
    late_s = np.maximum(left_s - alone_s, 0.0)
    share = np.divide(late_s, left_s, out=np.zeros_like(left_s), where=left_s > 0)
    parts = {
        Cause.LATENCY: (early_s, landed_s),
        Cause.CONTENTION: (share * left_sent_s, share * left_landing_s),
        Cause.TRANSFER: ((1 - share) * left_sent_s, (1 - share) * left_landing_s),
    }
    return {
        cause: Extra(sent_s=np.where(messages, sent_s, 0.0), landing_s=np.where(messages, late, 0.0))
        for cause, (sent_s, late) in parts.items()
    }


def _latency_s(kind: Kind, network: Network) -> float:
    return network.message_delay_s(kind.rank, kind.peers[0]) if kind.op in MESSAGE else 0.0


def _alone_s(kind: Kind, network: Network) -> float:
    """What its bytes take at the rate of the slowest hop."""
    if kind.op not in MESSAGE:
        return 0.0
    return kind.nbytes * max(seconds for _, seconds in network.hops(kind.rank, kind.peers[0]))


def _least(graph: Graph, such: npt.NDArray[np.bool_], group: Callable[[Kind], Hashable], values: Floats) -> Floats:
    """[node] The least value of the nodes in its group."""
    numbers: dict[Hashable, int] = {}
    of_node = each(graph, lambda kind: numbers.setdefault(group(kind), len(numbers)), np.int64)
    least = np.full(len(numbers), np.inf)
    np.minimum.at(least, of_node[such], values[such])
    return np.where(such, least[of_node], 0.0)


def does(graph: Graph, ops: Set[Op]) -> npt.NDArray[np.bool_]:
    """Return [node] whether it does one of these."""
    return each(graph, lambda kind: kind.op in ops, bool)


def each(graph: Graph, value: Callable[[Kind], Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return [node] a value that depends on its kind alone, asked for once per kind."""
    kinds, used = graph.columns.kinds, np.flatnonzero(np.bincount(graph.kind))
    table = np.zeros(int(graph.kind.max(initial=-1)) + 1, dtype=dtype)
    table[used] = [value(kinds[number]) for number in used.tolist()]
    return table[graph.kind]
