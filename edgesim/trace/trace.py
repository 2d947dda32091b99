"""What happened, and when? Spans of tasks and readings of meters on one clock, from either player."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from edgesim.errors import reading
from edgesim.schedule import Schedule, Stream
from edgesim.trace.spans import RankSpans, Span
from edgesim.trace.times import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A meter's value at a time; ``what`` names the quantity with its unit: power_w, memory_bytes."""

    rank: int
    what: str
    at_s: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One iteration as it was played: start and end of every task of the schedule, in the schedule's order.

    Kept as columns, for speed; iterate to get spans. ``player`` is "simulated" or "measured"; ``profile_hash`` says
    which profile a simulated trace rests on. ``began_s`` is when second 0 of a measured one was on the monotonic clock
    of the machine that played it; in slow motion on one that is as slow. ``notes`` say what should be known of how a
    measured one came about.
    """

    schedule: Schedule
    start_s: Sequence[float]
    end_s: Sequence[float]
    player: str
    profile_hash: str | None = None
    readings: tuple[Reading, ...] = ()
    began_s: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.schedule) == len(self.start_s) == len(self.end_s):
            counts = f"{len(self.start_s)} starts and {len(self.end_s)} ends"
            raise ValueError(f"trace: a schedule of {len(self.schedule)} tasks, but {counts}")

    def __iter__(self) -> Iterator[Span]:
        for task, start_s, end_s in zip(self.schedule, self.start_s, self.end_s, strict=True):
            yield Span(task=task, start_s=start_s, end_s=end_s)

    def __len__(self) -> int:
        return len(self.start_s)

    def __str__(self) -> str:
        return f"{self.player} trace of {len(self)} tasks, {self.makespan_s:.6g} s"

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        """Starts and ends, to reckon with."""
        return np.asarray(self.start_s, dtype=np.float64), np.asarray(self.end_s, dtype=np.float64)

    @cached_property
    def first_s(self) -> float:
        """When the first task starts; 0 for an empty schedule."""
        return float(self._arrays[0].min()) if len(self) else 0.0

    @cached_property
    def last_s(self) -> float:
        """When the last task ends; 0 for an empty schedule."""
        return float(self._arrays[1].max()) if len(self) else 0.0

    @property
    def makespan_s(self) -> float:
        """The time from the start of the first task to the end of the last."""
        return self.last_s - self.first_s

    @cached_property
    def ranks(self) -> tuple[RankSpans, ...]:
        """[rank] Its spans."""
        columns, spans = self.schedule.columns, []
        start_s, end_s = self._arrays
        for first, end in pairwise(columns.first.tolist()):
            used, kind = np.unique(columns.kind[first:end], return_inverse=True)
            own = RankSpans(
                kinds=[columns.kinds[number] for number in used.tolist()],
                kind=kind,
                micro_batch=columns.micro_batch[first:end],
                start_s=start_s[first:end],
                end_s=end_s[first:end],
            )
            spans.append(own)
        return tuple(spans)

    def of_rank(self, rank: int) -> RankSpans:
        """Return the spans of a rank; none of one that the schedule does not know."""
        return self.ranks[rank] if rank < len(self.ranks) else RankSpans.of(())

    def order(self) -> dict[tuple[int, Stream], list[str]]:
        """Return the names of tasks by rank and stream in the order of their start, which both players share."""
        queues: dict[tuple[int, Stream], list[tuple[float, int, str]]] = {}
        for i, span in enumerate(self):
            queues.setdefault((span.task.rank, span.task.stream), []).append((span.start_s, i, span.task.name))
        return {queue: [name for *_, name in sorted(entries)] for queue, entries in queues.items()}

    def to_lines(self) -> str:
        """Write JSON lines: a head, then the name, start and end of each task, then the readings."""
        return "".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield the lines of :meth:`to_lines`, each with its end."""
        head: dict[str, Any] = {"player": self.player, "schedule": self.schedule.hash, "profile": self.profile_hash}
        if self.began_s is not None:
            head["began_s"] = self.began_s
        if self.notes:
            head["notes"] = list(self.notes)
        yield json.dumps(head) + "\n"
        for name, start_s, end_s in zip(map(json.dumps, self.schedule.names()), self.start_s, self.end_s, strict=True):
            yield f'{{"task": {name}, "start_s": {float(start_s)!r}, "end_s": {float(end_s)!r}}}\n'
        for r in self.readings:
            yield json.dumps({"rank": r.rank, "what": r.what, "at_s": r.at_s, "value": r.value}) + "\n"

    @classmethod
    def from_lines(cls, text: str, schedule: Schedule, *, source: str = "the text") -> "Trace":
        """Read what :meth:`to_lines` wrote, for the schedule that was played. Raises ValueError, naming the source."""
        with reading(source, "trace", written_by="a run (simulated.jsonl)"):
            head, *rows = (json.loads(line) for line in text.splitlines())
            return cls._from_rows(head, rows, schedule)

    @classmethod
    def _from_rows(cls, head: dict[str, Any], rows: list[dict[str, Any]], schedule: Schedule) -> "Trace":
        if head["schedule"] != schedule.hash:
            raise ValueError(f"trace is of schedule {head['schedule'][:12]}, not of {schedule.hash[:12]}")
        spans = [row for row in rows if "task" in row]
        if [row["task"] for row in spans] != schedule.names():
            raise ValueError(f"trace of {len(spans)} tasks: not those of its schedule, in its order")
        return cls(
            schedule=schedule,
            player=head["player"],
            profile_hash=head["profile"],
            start_s=tuple(row["start_s"] for row in spans),
            end_s=tuple(row["end_s"] for row in spans),
            readings=tuple(Reading(**row) for row in rows if "what" in row),
            began_s=head.get("began_s"),
            notes=tuple(head.get("notes", ())),
        )
