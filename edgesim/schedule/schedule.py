"""What do all ranks play? One program per rank, which is checked, becomes text and back, and has a hash."""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from itertools import islice, pairwise

import numpy as np

from edgesim.errors import ScheduleError, reading
from edgesim.schedule.columns import TaskColumns, lengths_of
from edgesim.schedule.graph import Graph, graph_of
from edgesim.schedule.kind import Kind, Op
from edgesim.schedule.refusal import Programs, refuse
from edgesim.schedule.rows import columns_of
from edgesim.schedule.task import Task
from edgesim.schedule.text import column_lines, task_from_text, task_to_text

_LINES_AT_ONCE = 256  # so that the text of a million tasks, or of thousands of peers, is never there as a whole


class Schedule:
    """One program per rank; of tasks, or of columns that become tasks when somebody asks."""

    def __init__(self, programs: Programs | TaskColumns) -> None:
        if isinstance(programs, TaskColumns):
            self.columns = programs
            self.ranks = len(programs.first) - 1
        else:
            self.programs = tuple(tuple(program) for program in programs)
            self.ranks = len(self.programs)

    @cached_property
    def programs(self) -> tuple[tuple[Task, ...], ...]:
        """[rank] Its tasks, in order."""
        return tuple(self.columns.tasks[a:b] for a, b in pairwise(self.columns.first.tolist()))

    @cached_property
    def columns(self) -> TaskColumns:
        """All tasks in few bytes each. Raises ScheduleError for a doubled task and for an unknown need."""
        return columns_of(self.programs)

    def __iter__(self) -> Iterator[Task]:
        for program in self.programs:
            yield from program

    def __len__(self) -> int:
        return len(self.columns) if "columns" in self.__dict__ else sum(map(len, self.programs))

    def __eq__(self, other: object) -> bool:
        return self.programs == other.programs if isinstance(other, Schedule) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash)

    def __str__(self) -> str:
        return f"schedule of {len(self)} tasks on {self.ranks} ranks, {self.hash[:12]}"

    def names(self) -> list[str]:
        """Return the names of all tasks, rank by rank."""
        return self.columns.names() if "columns" in self.__dict__ else [task.name for task in self]

    @cached_property
    def iterations(self) -> int:
        """How many iterations it spans: 1, but where they overlap and updates name the micro-batch that they end."""
        columns = self.columns
        op = columns.table.fields[Kind._fields.index("op")]
        updates = op.each(lambda said: said is Op.UPDATE).astype(bool)[columns.kind]
        return max(1, len(np.unique(columns.micro_batch[updates])))

    @cached_property
    def graph(self) -> Graph:
        """The checked dependencies. Raises ScheduleError on anything that cannot be played."""
        return graph_of(self.columns) or refuse(self.programs)

    def check(self) -> None:
        """Raise ScheduleError on a misplaced or doubled task, an unknown need, unequal ends, or a deadlock."""
        _ = self.graph

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text: a header per rank, a line per task, each with its end."""
        known = "columns" in self.__dict__
        rows = column_lines(self.columns) if known else map(task_to_text, self)
        sizes = lengths_of(self.columns.first).tolist() if known else map(len, self.programs)
        for rank, size in enumerate(sizes):
            yield f"rank {rank}\n"
            for row in islice(rows, size):
                yield f"  {row}\n"

    def to_text(self) -> str:
        """Write the schedule for people and for the wire: a header per rank, a line per task."""
        return "".join(self.lines())

    @classmethod
    def from_text(cls, text: str, *, source: str = "the text") -> "Schedule":
        """Read what :meth:`to_text` wrote. Raises ScheduleError, naming the source, for anything else."""
        programs: list[list[Task]] = []
        with reading(source, "schedule", written_by="a run (schedule.txt)", error=ScheduleError):
            for line in text.splitlines():
                if line.startswith("rank "):
                    programs.append([])
                elif line.strip() and not programs:
                    raise ScheduleError(f"expected 'rank 0' first, got {line!r}")
                elif line.strip():
                    programs[-1].append(task_from_text(line))
            return cls(programs)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the text; all ranks compare it before the first task."""
        digest, lines = hashlib.sha256(), self.lines()
        while some := "".join(islice(lines, _LINES_AT_ONCE)):
            digest.update(some.encode())
        return digest.hexdigest()
