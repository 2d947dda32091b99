"""Which kind of task takes other than was simulated, and on which device or link?

    error   simulated_s / measured_s - 1
    part    what the kind takes of the iteration there, simulated or measured, whichever is more

A computation is of its rank; a message of its link, from when both ends were ready until its bytes had passed; a
collective of all its members, from when the last of them was ready. Seconds are the mean over the tasks of a kind at a
place; ``measured_s`` is the median of that over iterations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from edgesim.schedule import MESSAGE, Graph, Task
from edgesim.trace import Trace
from experiments.analysis.fidelity import kind
from experiments.analysis.task_kinds import LEAST_PART
from experiments.autopilot.tolerances import Means, Tolerances, means_of

Place = tuple[int, ...]  # a rank; the sender and the receiver of a message; the members of a collective


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A kind of task at a place, as it was simulated and as it was measured, in seconds per task."""

    kind: str
    place: Place
    tasks: int
    simulated_s: float
    measured_s: float
    part: float
    tolerance: float
    means: Means

    @property
    def error(self) -> float:
        """Of the simulation; infinite where something was simulated that takes no time."""
        if self.measured_s > 0:
            return self.simulated_s / self.measured_s - 1
        return float("inf") if self.simulated_s > 0 else 0.0

    @property
    def is_off(self) -> bool:
        """Whether it is off by more than its tolerance, and takes enough of the iteration to matter."""
        return abs(self.error) > self.tolerance and self.part >= LEAST_PART


def deviations(simulated: Trace, measured: Sequence[Trace], tolerances: Tolerances) -> tuple[Deviation, ...]:
    """Every kind of task at every place, in the order of the schedule."""
    told, seen = _seconds(simulated), [_seconds(trace) for trace in measured]
    iteration_s = median(trace.makespan_s for trace in measured)
    found = []
    for (named, place), (task, seconds) in told.items():
        simulated_s, measured_s = mean(seconds), median(mean(each[named, place][1]) for each in seen)
        part = max(simulated_s / simulated.makespan_s, measured_s / iteration_s)
        found.append(
            Deviation(
                kind=named,
                place=place,
                tasks=len(seconds),
                simulated_s=simulated_s,
                measured_s=measured_s,
                part=len(seconds) * part,
                tolerance=tolerances.of(task.op),
                means=means_of(task.op),
            )
        )
    return tuple(found)


def _seconds(trace: Trace) -> dict[tuple[str, Place], tuple[Task, list[float]]]:
    """Of every kind at every place, one of its tasks and the seconds of all."""
    graph, found = trace.schedule.graph, dict[tuple[str, Place], tuple[Task, list[float]]]()
    for members in graph.members:
        first = graph.tasks[members[0]]
        seconds = max(trace.end_s[member] for member in members) - trace.start_s[members[0]]
        place = (first.rank, first.peers[0]) if first.op in MESSAGE else _ranks(graph, members)
        found.setdefault((kind(first), place), (first, []))[1].append(seconds)
    return found


def _ranks(graph: Graph, members: Sequence[int]) -> Place:
    return tuple(sorted(graph.tasks[member].rank for member in members))
