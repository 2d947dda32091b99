"""What decided when a trace ended? Its critical path: tasks each of which waited for the one before, back to the start.

Every step is a stretch of time, and each begins where the one before ended: together they are the makespan.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgesim.explanation.causes import Cause
from edgesim.explanation.node_seconds import Observed, observe
from edgesim.schedule import COLLECTIVE, COMPUTE, DISK, MESSAGE, Kind, Op
from edgesim.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStep:
    """One stretch of the path, in seconds from the trace's first start.

    Attributes:
        cause: what it is spent on; of a message that has been sent and not yet arrived, latency.
        where: the rank, or the two ranks of a link.
        task: the number of the task in the schedule; of a message its send.
        start_s: when it begins.
        end_s: when it ends. Before its start where two clocks disagree.
    """

    cause: Cause
    where: str
    task: int
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


def critical_path(trace: Trace) -> tuple[PathStep, ...]:
    """Return the steps from the first to the last, without those that take no time."""
    observed = observe(trace)
    if not len(observed.start_s):
        return ()
    before = _Before(observed)
    node, is_sent = before.last()
    steps: list[PathStep] = []
    while True:
        steps += _steps(observed, node, is_sent, before.ready_s(node))
        if (earlier := before.binding(node)) is None:
            break
        node, is_sent = earlier
    return tuple(step for step in reversed(steps) if step.seconds)


class _Before:
    """For every node, the ends that it waited for."""

    def __init__(self, observed: Observed) -> None:
        graph = observed.graph
        self.over_s = np.stack([observed.ended_s, observed.sent_s], axis=1).ravel()
        ends = np.repeat(np.arange(len(self.over_s)), np.diff(graph.unlock_starts))
        # Of each node the end that came last stands last.
        order = np.lexsort((self.over_s[ends], graph.unlock_nodes))
        nodes, ends = graph.unlock_nodes[order], ends[order]
        self.latest = np.full(len(observed.start_s), -1)
        self.latest[nodes] = ends

    def last(self) -> tuple[int, bool]:
        end = int(self.over_s.argmax())
        return end // 2, bool(end % 2)

    def ready_s(self, node: int) -> float:
        end = int(self.latest[node])
        return 0.0 if end < 0 else float(self.over_s[end])

    def binding(self, node: int) -> tuple[int, bool] | None:
        end = int(self.latest[node])
        return None if end < 0 else (end // 2, bool(end % 2))


def _steps(observed: Observed, node: int, is_sent: bool, ready_s: float) -> Sequence[PathStep]:
    """The last stretch first: landing, computing or sending, and what was before it began."""
    graph = observed.graph
    kind, task = graph.columns.kinds[graph.kind[node]], int(graph.member_tasks[graph.member_starts[node]])
    start_s, sent_s, ended_s = (float(of[node]) for of in (observed.start_s, observed.sent_s, observed.ended_s))
    where = _where(kind)
    parts = [(Cause.HOST, ready_s, start_s), (_cause(kind), start_s, sent_s)]
    if not is_sent:
        parts.append((Cause.LATENCY, sent_s, ended_s))
    return [PathStep(cause=cause, where=where, task=task, start_s=a, end_s=b) for cause, a, b in reversed(parts)]


def _cause(kind: Kind) -> Cause:
    for cause, ops in ((Cause.TRANSFER, MESSAGE), (Cause.COLLECTIVE, COLLECTIVE), (Cause.DISK, DISK)):
        if kind.op in ops:
            return cause
    if kind.op is Op.UPDATE:
        return Cause.UPDATE
    return Cause.COMPUTE if kind.op in COMPUTE else Cause.HOST


def _where(kind: Kind) -> str:
    if kind.op in MESSAGE:
        return f"link {kind.rank}>{kind.peers[0]}"
    if kind.op in COLLECTIVE:
        return f"ring {','.join(map(str, kind.peers))}"
    return f"rank {kind.rank}"
