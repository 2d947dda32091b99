"""How does what every micro-batch repeats become a schedule? Templates of tasks, written once and used many times.

A template is what a rank does at a stretch: for a micro-batch, or once in an iteration. What a task needs is said by
numbers of other kinds: the task of that kind for the same micro-batch, or for one that lies a lag before it, if there
is one; of a task without a micro-batch, for the last.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from edgesim.schedule import NONE, Kind, Schedule, TaskColumns
from edgesim.schedule.columns import expanded, lengths_of, starts_of
from edgesim.schedule.kind_table import KindTable, Numbers

Template = int
Uses = Sequence[tuple[Template, int]]  # what one rank does in order, each for a micro-batch or for NONE


class TaskTemplates:
    """All templates of a schedule, and the kinds of tasks that they are made of."""

    def __init__(self, micro_batches: int) -> None:
        self.micro_batches = micro_batches
        self.kinds: list[Kind] = []
        self.needs: list[Sequence[int]] = []  # [kind] the kinds that it needs
        self.lags: list[Sequence[int]] = []  # [kind] by how many micro-batches each of them lies before
        self.starts: list[int] = [0]  # [template] its first kind; at the end the number of all kinds

    @property
    def next(self) -> int:
        """The number that the next kind will have."""
        return len(self.kinds)

    def write(self, kind: Kind, needs: Sequence[int] = (), *, lagging: Sequence[tuple[int, int]] = ()) -> int:
        """Add a task to the template that is being written; return the number of its kind.

        ``lagging`` are kinds that it needs too, each for an earlier micro-batch: so many before its own.
        """
        self.kinds.append(kind)
        self.needs.append((*needs, *(number for number, _ in lagging)))
        self.lags.append((*(0 for _ in needs), *(lag for _, lag in lagging)))
        return self.next - 1

    def end(self) -> Template:
        """End the template that is being written; return its number."""
        self.starts.append(len(self.kinds))
        return len(self.starts) - 2

    def schedule(self, uses: Sequence[Uses]) -> Schedule:
        """Return the schedule in which each rank does these, each template at most once for each micro-batch."""
        starts = np.array(self.starts)
        template, of = np.array(list(chain.from_iterable(uses)), dtype=np.int64).reshape(-1, 2).T
        lengths = lengths_of(starts)[template]
        begins = starts_of(lengths)
        kind = expanded(starts[template], lengths)
        micro_batch = np.repeat(of, lengths)
        needed, lag, needs_from = self._needed(kind, micro_batch)
        needing = np.repeat(micro_batch, lengths_of(needs_from))
        # Where the needed task's template was used: a row per template, a column per micro-batch and one for NONE.
        width = self.micro_batches + 1
        place = np.zeros((len(starts) - 1) * width, dtype=np.int64)
        place[template * width + of % width] = begins[:-1]
        template_of = np.repeat(np.arange(len(starts) - 1), lengths_of(starts))  # [kind]
        once = np.ones(len(starts) - 1, dtype=bool)
        once[template[of != NONE]] = False
        asked = template_of[needed]
        at = np.where(once[asked], NONE, np.where(needing == NONE, self.micro_batches - 1, needing - lag))
        return Schedule(
            TaskColumns(
                table=KindTable.of(self.kinds),
                kind=kind,
                micro_batch=micro_batch,
                first=begins[starts_of([len(own) for own in uses])],
                needs=place[asked * width + at % width] + needed - starts[asked],
                needs_from=needs_from,
            )
        )

    def _needed(self, kind: Numbers, micro_batch: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """The kinds that each task needs, task after task; how far before; and where those of each begin."""
        counts = np.array([len(needs) for needs in self.needs])
        flat, lags = (np.array(list(chain.from_iterable(each)), dtype=np.int64) for each in (self.needs, self.lags))
        lengths = counts[kind]
        chosen = expanded(starts_of(counts)[kind], lengths)
        needed, lag = flat[chosen], lags[chosen]
        if not lag.any():
            return needed, lag, starts_of(lengths)
        needing = np.repeat(np.arange(len(kind)), lengths)
        there = (lag == 0) | (micro_batch[needing] >= lag)
        return needed[there], lag[there], starts_of(np.bincount(needing[there], minlength=len(kind)))
