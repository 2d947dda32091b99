"""What do all ranks play? One program per rank, which is checked, becomes text and back, and has a hash."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from edgesim.errors import ScheduleError
from edgesim.schedule.graph import Graph, graph_of
from edgesim.schedule.task import Task
from edgesim.schedule.text import task_from_text, task_to_text


@dataclass(frozen=True)
class Schedule:
    """One program per rank."""

    programs: tuple[tuple[Task, ...], ...]

    def __iter__(self) -> Iterator[Task]:
        for program in self.programs:
            yield from program

    def __len__(self) -> int:
        return sum(len(program) for program in self.programs)

    def __str__(self) -> str:
        return f"schedule of {len(self)} tasks on {len(self.programs)} ranks, {self.hash[:12]}"

    @cached_property
    def graph(self) -> Graph:
        """The checked dependencies. Raises ScheduleError on anything that cannot be played."""
        return graph_of(self.programs)

    def check(self) -> None:
        """Raise ScheduleError on a misplaced or doubled task, an unknown need, unequal ends, or a deadlock."""
        _ = self.graph

    def to_text(self) -> str:
        """Write the schedule for people and for the wire: a header per rank, a line per task."""
        return "".join(
            f"rank {rank}\n" + "".join(f"  {task_to_text(task)}\n" for task in program)
            for rank, program in enumerate(self.programs)
        )

    @classmethod
    def from_text(cls, text: str) -> "Schedule":
        """Read what :meth:`to_text` wrote."""
        programs: list[list[Task]] = []
        for line in text.splitlines():
            if line.startswith("rank "):
                programs.append([])
            elif line.strip() and not programs:
                raise ScheduleError(f"not a schedule: expected 'rank 0' first, got {line!r}")
            elif line.strip():
                programs[-1].append(task_from_text(line))
        return cls(tuple(tuple(program) for program in programs))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the text; all ranks compare it before the first task."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()
