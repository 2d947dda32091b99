"""How long would ranks compute if each were free to take whatever is ready? Without the order that its program says.

So no limit of micro-batches in flight holds anything up: what this saves is what the limit costs.
"""

from heapq import heappop, heappush

import numpy as np

from edgesim.explanation.pieces import does, each
from edgesim.schedule import COMPUTE, Graph, Op
from edgesim.schedule.columns import lengths_of
from edgesim.trace import Floats


def free_order_s(graph: Graph, seconds: Floats) -> float:
    """Return the makespan where only needs are waited for, and all but computing takes no time.

    ``seconds`` is [node]. Of what is ready, a rank takes backward passes first, then earlier micro-batches.
    """
    rank = np.where(does(graph, COMPUTE), each(graph, lambda kind: kind.rank, np.int64), -1).tolist()
    forward = each(graph, lambda kind: kind.op is not Op.B, bool).tolist()
    micro_batch = graph.columns.micro_batch[graph.member_tasks[graph.member_starts[:-1]]].tolist()
    unlocks, waits = _needs(graph)
    takes, queues, free = seconds.tolist(), dict[int, list[tuple[bool, int, int]]](), set(rank)
    events: list[tuple[float, int]] = [(0.0, node) for node, count in enumerate(waits) if not count and rank[node] < 0]
    for node, count in enumerate(waits):
        if not count and rank[node] >= 0:
            heappush(queues.setdefault(rank[node], []), (forward[node], micro_batch[node], node))
    now_s = 0.0
    while events or any(queues[number] for number in queues.keys() & free):
        for number in sorted(queues.keys() & free):
            if queues[number]:
                node = heappop(queues[number])[-1]
                free.discard(number)
                heappush(events, (now_s + takes[node], node))
        now_s, node = heappop(events)
        free.add(rank[node])
        for other in unlocks[node]:
            waits[other] -= 1
            if waits[other]:
                continue
            if rank[other] < 0:
                heappush(events, (now_s, other))
            else:
                heappush(queues.setdefault(rank[other], []), (forward[other], micro_batch[other], other))
    return now_s


def _needs(graph: Graph) -> tuple[list[list[int]], list[int]]:
    """[node] What needs it, and how much it needs; without the turns of streams."""
    columns = graph.columns
    needing = np.repeat(np.arange(len(columns)), lengths_of(columns.needs_from))
    edges = np.stack([graph.task_nodes[columns.needs], graph.task_nodes[needing]], axis=1)
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    unlocks: list[list[int]] = [[] for _ in graph.kind]
    waits = [0] * len(unlocks)
    for node, other in edges.tolist():
        unlocks[node].append(other)
        waits[other] += 1
    return unlocks, waits
