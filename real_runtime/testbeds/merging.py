"""How do all ranks' times become one trace? A message needs both of its ends to say when it really started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgesim.errors import RunError
from edgesim.schedule import MESSAGE, Channel, Schedule, Task
from edgesim.trace import Reading, Trace

UNCERTAINTY = "clock_uncertainty_s"
"""What a reading says of a rank that has a clock of its own."""

Times = dict[str, tuple[float, float]]  # by task: when it was ready, and when it ended, on the machine's clock


@dataclass(slots=True, kw_only=True)
class Reports:
    """What ranks have said of one iteration so far."""

    times: Times = field(default_factory=dict)
    loss: float = 0.0
    late: float = 0.0  # of the rank that was so most
    ranks: int = 0  # that have played it

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in what one rank says."""
        self.times |= {name: (ready_s, end_s) for name, (ready_s, end_s) in message["times"].items()}
        self.loss += message["loss"]
        self.late = max(self.late, message.get("late", 0.0))  # a job's tasks are not asked
        self.ranks += 1

    @property
    def span_s(self) -> tuple[float, float]:
        """When its first task was ready, and its last one ended, on the machine's clock."""
        return min(ready_s for ready_s, _ in self.times.values()), max(end_s for _, end_s in self.times.values())


def report_of(reports: Sequence[Reports], iteration: int) -> Reports:
    """What ranks have said of an iteration. Raises RunError for one that nobody was asked to play."""
    if not 0 <= iteration < len(reports):
        raise RunError(f"a rank tells of iteration {iteration}, and {len(reports)} are played")
    return reports[iteration]


def merge(
    schedule: Schedule,
    times: Mapping[str, tuple[float, float]],
    slow_motion: float = 1.0,
    uncertainties_s: Sequence[float] = (),
    notes: tuple[str, ...] = (),
) -> Trace:
    """One trace from all ranks' times, zero at its first start.

    A message starts when both ends are ready and its connection is free, and ends when the receiver has it all. A
    collective starts when its last member is ready. ``uncertainties_s`` say by how much each rank's clock may be off,
    where they have clocks of their own: they become readings. ``notes`` are the trace's. Raises RunError where a
    message arrived before it was sent by more than that.
    """
    graph = schedule.graph
    try:
        start_s = [times[task.name][0] for task in graph.tasks]
        end_s = [times[task.name][1] for task in graph.tasks]
    except KeyError as missing:
        raise RunError(f"no rank has told when it did {missing}, though all say that they are done") from None
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
            if uncertainties_s:
                _refuse_early(first, ready_s=start_s[members[0]], ended_s=ended_s, uncertainties_s=uncertainties_s)
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
        readings=tuple(
            Reading(rank=rank, what=UNCERTAINTY, at_s=0.0, value=value) for rank, value in enumerate(uncertainties_s)
        ),
        began_s=zero_s / slow_motion,
        notes=notes,
    )


def _refuse_early(send: Task, *, ready_s: float, ended_s: float, uncertainties_s: Sequence[float]) -> None:
    """Raise RunError where a message had arrived before it could be sent: the clocks do not fit."""
    between_s = uncertainties_s[send.rank] + uncertainties_s[send.peers[0]]
    if ended_s < ready_s - between_s:
        raise RunError(
            f"{send.name} arrived {(ready_s - ended_s) * 1e3:.2g} ms before it was sent, and the clocks of rank "
            f"{send.rank} and rank {send.peers[0]} are known to {between_s * 1e3:.2g} ms: one of them has jumped (run "
            "again; see that nothing sets the monotonic clock there, as a suspended board does)"
        )
