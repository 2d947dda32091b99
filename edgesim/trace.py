"""What happened, and when? Spans of tasks and readings of meters on one clock, from either player."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesim.errors import reading
from edgesim.schedule import NONE, Kind, Op, Schedule, Stream, Task

Floats = npt.NDArray[np.float64]


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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RankSpans:
    """The spans of one rank as columns, in the order of its program.

    ``kinds`` are what its tasks say, ``kind`` and ``micro_batch`` are [span] numbers as in a schedule's columns.
    """

    kinds: Sequence[Kind]
    kind: npt.NDArray[np.int64]
    micro_batch: npt.NDArray[np.int64]
    start_s: Floats
    end_s: Floats

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def intervals(self) -> Floats:
        """[span, 2] When each starts and ends."""
        return np.stack([self.start_s, self.end_s], axis=1)

    def each(self, value: Callable[[Kind], Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return [span] a value that depends on its kind alone, asked for once per kind."""
        return np.array([value(kind) for kind in self.kinds], dtype=dtype)[self.kind]

    def counts(self) -> Iterator[tuple[Kind, int]]:
        """Yield every kind, and how many of the spans are of it."""
        return zip(self.kinds, np.bincount(self.kind, minlength=len(self.kinds)).tolist(), strict=True)

    def does(self, *ops: Op) -> npt.NDArray[np.bool_]:
        """Return [span] whether it is one of these operations."""
        return self.each(lambda kind: kind.op in ops, bool)

    def said(self, spans: npt.NDArray[np.int64]) -> list[Kind]:
        """Return the kinds of these spans, in their order."""
        return [self.kinds[kind] for kind in self.kind[spans].tolist()]

    def first(self, spans: npt.NDArray[np.int64]) -> list[Kind]:
        """Return the kinds of these spans, each once, in the order in which they come first."""
        return [self.kinds[kind] for kind in dict.fromkeys(self.kind[spans].tolist())]

    @classmethod
    def of(cls, spans: Sequence[Span]) -> "RankSpans":
        """Return the columns of spans that are already there."""
        kinds: dict[Kind, int] = {}
        micro_batches = [NONE if span.task.micro_batch is None else span.task.micro_batch for span in spans]
        return cls(
            kind=np.array([kinds.setdefault(span.task.kind, len(kinds)) for span in spans], dtype=np.int64),
            kinds=list(kinds),
            micro_batch=np.array(micro_batches, dtype=np.int64),
            start_s=np.array([span.start_s for span in spans], dtype=np.float64),
            end_s=np.array([span.end_s for span in spans], dtype=np.float64),
        )


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

    @cached_property
    def first_s(self) -> float:
        """When the first task starts; 0 for an empty schedule."""
        return float(min(self.start_s, default=0.0))

    @cached_property
    def last_s(self) -> float:
        """When the last task ends; 0 for an empty schedule."""
        return float(max(self.end_s, default=0.0))

    @property
    def makespan_s(self) -> float:
        """The time from the start of the first task to the end of the last."""
        return self.last_s - self.first_s

    @cached_property
    def ranks(self) -> tuple[RankSpans, ...]:
        """[rank] Its spans."""
        columns, spans = self.schedule.columns, []
        start_s, end_s = (np.asarray(times, dtype=np.float64) for times in (self.start_s, self.end_s))
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
        head = {"player": self.player, "schedule": self.schedule.hash, "profile": self.profile_hash}
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
        )
