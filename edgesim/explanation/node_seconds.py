"""What did each node of a trace take? Read off its spans, so that the schedule played with these seconds is the trace.

A node (a computation, a message, a collective) begins when all that it waits for is done, and what lies between is the
host's. A message has been sent before it has arrived, and each is waited for by others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from edgesim.schedule import Graph
from edgesim.trace import Floats, Trace

ROUNDING = 1e-12
"""Of a makespan: what is less is nobody's."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NodeSeconds:
    """What the nodes of a schedule take.

    Attributes:
        graph: the schedule's.
        sent_s: [node] from when it could begin until it has computed, or has been sent.
        landing_s: [node] from then until it has arrived; 0 of what is not sent.
    """

    graph: Graph
    sent_s: Floats
    landing_s: Floats

    def plus(self, change: "Extra") -> "NodeSeconds":
        """Return them with some more, or some fewer."""
        return NodeSeconds(
            graph=self.graph, sent_s=self.sent_s + change.sent_s, landing_s=self.landing_s + change.landing_s
        )

    def moments(self) -> Floats:
        """Return [moment] when everything happens, from 0 on (:class:`edgesim.schedule.Recurrence`)."""
        return self.graph.recurrence.moments(np.concatenate([self.sent_s, self.landing_s, [0.0]]))

    def with_all(self, changes: Iterable["Extra"]) -> "NodeSeconds":
        """Return them with all of these changes."""
        return reduce(NodeSeconds.plus, changes, self)

    @property
    def makespan_s(self) -> float:
        """From the beginning until all has happened."""
        return float(self.moments().max())


@dataclass(frozen=True, eq=False, kw_only=True)
class Extra:
    """Seconds that nodes take more, or fewer: [node] until sent, and [node] until what was sent has arrived."""

    sent_s: Floats
    landing_s: Floats

    def __neg__(self) -> "Extra":
        return Extra(sent_s=-self.sent_s, landing_s=-self.landing_s)

    def of(self, nodes: npt.NDArray[np.bool_]) -> "Extra":
        """Return what of it is of these nodes."""
        return Extra(sent_s=np.where(nodes, self.sent_s, 0.0), landing_s=np.where(nodes, self.landing_s, 0.0))

    def is_within(self, seconds: float) -> bool:
        """Whether all that it changes is no more than this, in all."""
        return float(np.abs(self.sent_s).sum() + np.abs(self.landing_s).sum()) <= seconds


@dataclass(frozen=True, eq=False, kw_only=True)
class Observed:
    """When the nodes of a trace began, were sent and arrived, and how long each had waited for its host before.

    All in seconds from the trace's first start, by [node]. ``host_s`` may be negative, where clocks or the members of a
    collective disagree on when something was over.
    """

    graph: Graph
    host_s: Floats
    start_s: Floats
    sent_s: Floats
    ended_s: Floats

    @property
    def seconds(self) -> NodeSeconds:
        """What the nodes take: played, they are the trace."""
        return NodeSeconds(
            graph=self.graph,
            sent_s=self.host_s + (self.sent_s - self.start_s),
            landing_s=self.ended_s - self.sent_s,
        )


def observe(trace: Trace) -> Observed:
    """Read a trace node by node."""
    graph = trace.schedule.graph
    count = len(graph.kind)
    begins_s = np.asarray(trace.start_s, dtype=np.float64) - trace.first_s
    ends_s = np.asarray(trace.end_s, dtype=np.float64) - trace.first_s
    start_s, ended_s = np.full(count, -np.inf), np.full(count, -np.inf)
    # A message begins with its send, and has arrived when its receive ends; a collective waits for its last member.
    beginning, ending = np.ones(len(begins_s), dtype=bool), np.ones(len(begins_s), dtype=bool)
    beginning[graph.receives] = ending[graph.sends] = False
    np.maximum.at(start_s, graph.task_nodes[beginning], begins_s[beginning])
    np.maximum.at(ended_s, graph.task_nodes[ending], ends_s[ending])
    sent_s = ended_s.copy()
    sent_s[graph.task_nodes[graph.sends]] = ends_s[graph.sends]
    ready_s = np.zeros(count)
    over_s = np.stack([ended_s, sent_s], axis=1).ravel()
    np.maximum.at(ready_s, graph.unlock_nodes, np.repeat(over_s, np.diff(graph.unlock_starts)))
    return Observed(graph=graph, host_s=start_s - ready_s, start_s=start_s, sent_s=sent_s, ended_s=ended_s)
