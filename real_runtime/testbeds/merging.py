"""How do all ranks' times become one trace? A message needs both of its ends to say when it really started."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgesim.schedule import MESSAGE, Channel, Schedule
from edgesim.trace import Trace

Times = dict[str, tuple[float, float]]  # by task: when it was ready, and when it ended, on the machine's clock


@dataclass(slots=True, kw_only=True)
class Reports:
    """What ranks have said of one iteration so far."""

    times: Times = field(default_factory=dict)
    loss: float = 0.0
    ranks: int = 0  # that have played it

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in what one rank says."""
        self.times |= {name: (ready_s, end_s) for name, (ready_s, end_s) in message["times"].items()}
        self.loss += message["loss"]
        self.ranks += 1

    @property
    def span_s(self) -> tuple[float, float]:
        """When its first task was ready, and its last one ended, on the machine's clock."""
        return min(ready_s for ready_s, _ in self.times.values()), max(end_s for _, end_s in self.times.values())


def merge(schedule: Schedule, times: Mapping[str, tuple[float, float]], slow_motion: float = 1.0) -> Trace:
    """One trace from all ranks' times, zero at its first start.

    A message starts when both ends are ready and its connection is free, and ends when the receiver has it all. A
    collective starts when its last member is ready.
    """
    graph = schedule.graph
    start_s = [times[task.name][0] for task in graph.tasks]
    end_s = [times[task.name][1] for task in graph.tasks]
    last_s: dict[tuple[int, int, Channel | None], float] = {}
    order = sorted(range(len(graph.members)), key=lambda node: max(end_s[task] for task in graph.members[node]))
    for node in order:
        members = graph.members[node]
        first = graph.tasks[members[0]]
        if len(members) < 2:
            continue
        ready_s = max(start_s[task] for task in members)
        if first.op in MESSAGE:
            connection = (first.rank, first.peers[0], first.channel)
            ended_s = end_s[members[1]]
            ready_s = min(max(ready_s, last_s.get(connection, 0.0)), ended_s)
            last_s[connection] = ended_s
            end_s[members[0]] = ended_s
        for task in members:
            start_s[task] = ready_s
    zero_s = min(start_s)
    return Trace(
        schedule=schedule,
        start_s=tuple((s - zero_s) / slow_motion for s in start_s),
        end_s=tuple((s - zero_s) / slow_motion for s in end_s),
        player="measured",
    )
