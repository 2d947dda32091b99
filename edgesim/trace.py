"""What happened, and when? Spans of tasks and readings of meters on one clock, from either player."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesim.errors import reading
from edgesim.schedule import Schedule, Stream, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One task, from start to end. Of a message: from when both ends were ready until its bytes had passed."""

    task: Task
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """The length of the span."""
        return self.end_s - self.start_s


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
    which profile a simulated trace rests on.
    """

    schedule: Schedule
    start_s: Sequence[float]
    end_s: Sequence[float]
    player: str
    profile_hash: str | None = None
    readings: tuple[Reading, ...] = ()

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

    @property
    def makespan_s(self) -> float:
        """The time from the start of the first task to the end of the last; 0 for an empty schedule."""
        return max(self.end_s, default=0.0) - min(self.start_s, default=0.0)

    def order(self) -> dict[tuple[int, Stream], list[str]]:
        """Return the names of tasks by rank and stream in the order of their start, which both players share."""
        queues: dict[tuple[int, Stream], list[tuple[float, int, str]]] = {}
        for i, span in enumerate(self):
            queues.setdefault((span.task.rank, span.task.stream), []).append((span.start_s, i, span.task.name))
        return {queue: [name for *_, name in sorted(entries)] for queue, entries in queues.items()}

    def to_lines(self) -> str:
        """Write JSON lines: a head, then the name, start and end of each task, then the readings."""
        head = {"player": self.player, "schedule": self.schedule.hash, "profile": self.profile_hash}
        spans = [{"task": span.task.name, "start_s": span.start_s, "end_s": span.end_s} for span in self]
        readings = [{"rank": r.rank, "what": r.what, "at_s": r.at_s, "value": r.value} for r in self.readings]
        return "".join(json.dumps(row) + "\n" for row in (head, *spans, *readings))

    @classmethod
    def from_lines(cls, text: str, schedule: Schedule) -> "Trace":
        """Read what :meth:`to_lines` wrote, for the schedule that was played."""
        with reading("the text", "trace", written_by="a run (simulated.jsonl)"):
            head, *rows = (json.loads(line) for line in text.splitlines())
            return cls._from_rows(head, rows, schedule)

    @classmethod
    def _from_rows(cls, head: dict[str, Any], rows: list[dict[str, Any]], schedule: Schedule) -> "Trace":
        if head["schedule"] != schedule.hash:
            raise ValueError(f"trace is of schedule {head['schedule'][:12]}, not of {schedule.hash[:12]}")
        spans = [row for row in rows if "task" in row]
        if [row["task"] for row in spans] != [task.name for task in schedule]:
            raise ValueError(f"trace of {len(spans)} tasks: not those of its schedule, in its order")
        return cls(
            schedule=schedule,
            player=head["player"],
            profile_hash=head["profile"],
            start_s=tuple(row["start_s"] for row in spans),
            end_s=tuple(row["end_s"] for row in spans),
            readings=tuple(Reading(**row) for row in rows if "what" in row),
        )


def to_perfetto(traces: Iterable[Trace]) -> str:
    """Write Chrome's trace format for ui.perfetto.dev: a process per player and rank, a thread per stream."""
    events: list[dict[str, Any]] = []
    for number, trace in enumerate(traces):
        zero_s = min(trace.start_s, default=0.0)
        offset = 1000 * number
        lanes: dict[tuple[int, Stream], int] = {}
        for span in trace:
            rank, stream = span.task.rank, span.task.stream
            if (rank, stream) not in lanes:
                lanes[rank, stream] = len(lanes)
                events.append(_label("process_name", offset + rank, 0, f"{trace.player} rank {rank}"))
                events.append(_label("thread_name", offset + rank, lanes[rank, stream], str(stream)))
            events.append(
                {
                    "name": span.task.name,
                    "cat": str(span.task.op),
                    "ph": "X",
                    "pid": offset + rank,
                    "tid": lanes[rank, stream],
                    "ts": (span.start_s - zero_s) * 1e6,
                    "dur": span.seconds * 1e6,
                    "args": _details(span.task),
                }
            )
        for r in trace.readings:
            at_us = (r.at_s - zero_s) * 1e6
            events.append({"name": r.what, "ph": "C", "pid": offset + r.rank, "ts": at_us, "args": {r.what: r.value}})
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


def _details(task: Task) -> dict[str, Any]:
    """What a click on a task shows; tokens and units where it is of some of them."""
    ranges = {"tokens": task.tokens, "units": task.units}
    divided = {name: some for name, some in ranges.items() if some[1]}
    return {"layers": task.layers, "samples": task.samples, "bytes": task.nbytes, **divided}


def _label(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}


def save_perfetto(path: Path, traces: Iterable[Trace]) -> None:
    """Write :func:`to_perfetto` to a file."""
    path.write_text(to_perfetto(traces))
