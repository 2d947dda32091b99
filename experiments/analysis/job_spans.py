"""What happened in a job, as tables: what the whole was at, and what each rank did. Seconds of the job's clock.

spans.csv    a row per span of either player: training (of ``count`` iterations that all take as long), lost work,
             detection, re-planning, reconnection, migration, restart, checkpoint
ranks.csv    a row per rank and time: which stage of which plan it trains, or that it is idle, recovers, moves what
             another plan needs, or is away
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgesim.job import Activity, Job, JobTrace
from edgesim.plan import Plan

TRAINS, IDLE, RECOVERS, MOVES, AWAY = "trains", "idle", "recovers", "moves", "away"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """A span of a job."""

    player: str
    activity: str
    start_s: float
    end_s: float
    first: int
    count: int
    redone: int
    samples_per_s: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """What a rank does for a time; ``stage`` and ``layers`` are those that it trains, else empty."""

    player: str
    rank: int
    start_s: float
    end_s: float
    does: str
    stage: int | None = None
    layers: str = ""


def span_rows(traces: Iterable[JobTrace]) -> Iterator[SpanRow]:
    """The spans of all players, in their order."""
    for trace in traces:
        for span in trace.spans:
            trains = span.activity is Activity.TRAINING and span.seconds > 0
            yield SpanRow(
                player=trace.player,
                activity=str(span.activity),
                start_s=span.start_s,
                end_s=span.end_s,
                first=span.first,
                count=span.count,
                redone=span.redone,
                samples_per_s=span.count * trace.batch_samples / span.seconds if trains else 0.0,
                says=span.says,
            )


def rank_rows(traces: Iterable[JobTrace], job: Job, ranks: int) -> Iterator[RankRow]:
    """What every rank of a cluster of so many does, from change to change."""
    for trace in traces:
        plan, there, since_s = job.phases[0].plan, set(job.members), 0.0
        for resumption in trace.resumptions:
            change = resumption.change
            yield from _rows(trace.player, plan, there, since_s, change.at_s, ranks)
            there = there - {*change.lost, *change.leaving} | set(change.joining)
            resumed_s = max(change.at_s, resumption.resumed_s)
            busy = RECOVERS if (*change.lost, *change.leaving, *change.joining) else MOVES  # what another plan needs
            for rank in range(ranks):
                does = busy if rank in {*plan.ranks, *resumption.plan.ranks} & there else _absent(rank, there)
                yield RankRow(player=trace.player, rank=rank, start_s=change.at_s, end_s=resumed_s, does=does)
            plan, since_s = resumption.plan, resumed_s
        yield from _rows(trace.player, plan, there, since_s, trace.end_s, ranks)


def _rows(player: str, plan: Plan, there: set[int], start_s: float, end_s: float, ranks: int) -> Iterator[RankRow]:
    stages = {rank: s for s, stage in enumerate(plan.stages) for rank in stage.ranks}
    for rank in range(ranks):
        times = {"player": player, "rank": rank, "start_s": start_s, "end_s": end_s}
        if (s := stages.get(rank)) is not None and rank in there:
            begin, end = plan.stages[s].layers
            yield RankRow(**times, does=TRAINS, stage=s, layers=f"{begin} to {end - 1}")  # type: ignore[arg-type]
        else:
            yield RankRow(**times, does=_absent(rank, there))  # type: ignore[arg-type]


def _absent(rank: int, there: set[int]) -> str:
    return IDLE if rank in there else AWAY
