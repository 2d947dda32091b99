"""How far have ranks come with a job's iterations? Which are committed, and what each took, as they report it."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgesim.errors import RunError
from edgesim.job import Activity, Change, JobSpan, Phase, Safety
from edgesim.trace import Trace
from real_runtime.testbeds.merging import Reports, merge


@dataclass(slots=True, kw_only=True)
class Iterations:
    """The iterations of one stretch of training, from ``first`` on.

    Attributes:
        committed: how many iterations of the job are done.
        clock: turns seconds of the machine's clock into the job's.
        redone_below: iterations that had been done before, and were lost.
        begun_s: on the job's clock, when the iteration began that is played now.
    """

    phase: Phase
    safety: Safety
    first: int
    committed: int
    redone_below: int
    clock: Callable[[float], float]
    slow_motion: float
    begun_s: float
    replicated: int | None = None
    losses: dict[int, float] = field(default_factory=dict)
    spans: list[JobSpan] = field(default_factory=list)
    _ready: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    _reports: dict[int, Reports] = field(default_factory=lambda: defaultdict(Reports))

    @property
    def ranks(self) -> frozenset[int]:
        """Who plays."""
        return frozenset(self.phase.plan.ranks)

    def hear_ready(self, rank: int, message: Mapping[str, Any]) -> bool:
        """Hear that a rank has all of an iteration; whether all have, so that it is committed now."""
        number = message["ready"]
        self._ready[number][rank] = message["loss"]
        if self._ready[number].keys() != self.ranks:
            return False
        self.committed = number + 1
        self.losses[number] = sum(self._ready.pop(number).values())
        if self.phase.replicates(number, self.safety.replicate_every, first=self.first):
            self.replicated = number
        return True

    def hear_times(self, message: Mapping[str, Any]) -> JobSpan | None:
        """Hear what an iteration took one rank; what it took all, when all have told."""
        number = message["iteration"]
        report = self._reports[number]
        report.hear(message)
        if report.ranks < len(self.ranks):
            return None
        schedule = self.phase.schedule_of(number, self.safety.replicate_every, first=self.first)
        trace = merge(schedule, self._reports.pop(number).times, self.slow_motion)
        return self._add(number, self.clock(report.span_s[1]), trace)

    def check_version(self, rank: int, version: int) -> None:
        """Raise RunError unless a rank that is done has trained as many iterations as are committed."""
        if version != self.committed:
            raise RunError(
                f"rank {rank} has trained {version} iterations, and {self.committed} are committed: what it holds is "
                "of no use (report this as a fault of edgesim)"
            )

    def untold(self, now_s: float) -> list[JobSpan]:
        """What was committed, and not told by all before somebody was lost."""
        told = self.first + len(self.spans)
        return [self._add(number, now_s, None) for number in range(told, self.committed)]

    def lost(self, change: Change) -> list[JobSpan]:
        """An iteration that is lost, and what passed until somebody knew."""
        at_s, noticed_s = max(change.at_s, self.begun_s), max(change.noticed_s, self.begun_s)
        parts = ((Activity.LOST, self.begun_s, at_s), (Activity.DETECTION, at_s, noticed_s))
        return [
            JobSpan(activity=activity, start_s=start_s, end_s=end_s, first=self.committed, says=str(change))
            for activity, start_s, end_s in parts
        ]

    def _add(self, number: int, end_s: float, trace: Trace | None) -> JobSpan:
        span = JobSpan(
            activity=Activity.TRAINING,
            start_s=self.begun_s,
            end_s=max(end_s, self.begun_s),
            first=number,
            trace=trace,
            redone=int(number < self.redone_below),
            model=self.phase.model,
        )
        self.begun_s = span.end_s
        self.spans.append(span)
        return span
