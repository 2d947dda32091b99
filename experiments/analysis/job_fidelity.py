"""How far is a simulated job from the one that was executed? Rows per job and phase, and what they add up to.

total         seconds from the beginning of the job to its end
goodput       samples per second that count, over all of it
pause         of each recovery: from the change until training goes on
detection, planning, reconnection, migration, restart   its parts
rate after    samples per second once it goes on
training      seconds per iteration while nothing happens
replication   what backups add to these as a share, sent as often as a job sends them by default (conf/job/)

error         simulated / measured - 1; of a share, which may be nothing, their difference
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO
from statistics import median
from typing import Any

from edgesim.job import Activity, JobMetrics, JobTrace, Safety
from edgesim.recovery.replication import seldom_enough
from edgesim.schedule import Payload

TOTAL, GOODPUT, PAUSE, TRAINING, REPLICATION = "total", "goodput", "pause", "training", "replication"
RATE_AFTER = "rate after"
PARTS = ("detection", "planning", "reconnection", "migration", "restart")
_REPLICATE_WITHIN = 0.02  # of the time, as jobs have it by default
_LEAST_S = 0.05  # of a part that is compared: shorter ones are of the machine's threads, not of the job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job's figure in both players: seconds, samples per second or a share. One that failed says why.

    ``change`` counts the recoveries of a job, from 1 on; 0 is the whole job.
    """

    case: str
    policy: str
    what: str
    change: int = 0
    simulated: float | None = None
    measured: float | None = None
    error: float | None = None
    reason: str = ""


def rows(
    *, case: str, policy: str, simulated: tuple[JobTrace, JobMetrics], measured: tuple[JobTrace, JobMetrics]
) -> list[JobRow]:
    """The rows of one job. Recoveries are compared where both players had as many."""
    (said_trace, said), (seen_trace, seen) = simulated, measured
    found = [
        _row(case, policy, TOTAL, said.end_s, seen.end_s),
        _row(case, policy, GOODPUT, said.goodput_samples_per_s, seen.goodput_samples_per_s),
        _row(case, policy, TRAINING, *(_iterations_s(trace)[0] for trace in (said_trace, seen_trace))),
    ]
    found += _replication(case, policy, said_trace, seen_trace)
    if len(said.recoveries) != len(seen.recoveries):
        reason = f"simulated with {len(said.recoveries)} changes, measured with {len(seen.recoveries)}"
        return [*found, JobRow(case=case, policy=policy, what=PAUSE, reason=reason)]
    for change, (mine, theirs) in enumerate(zip(said.recoveries, seen.recoveries, strict=True), start=1):
        found.append(_row(case, policy, PAUSE, mine.pause_s, theirs.pause_s, change))
        if mine.samples_per_s_after and theirs.samples_per_s_after:
            rates = mine.samples_per_s_after, theirs.samples_per_s_after
            found.append(_row(case, policy, RATE_AFTER, *rates, change))
        for part in PARTS:
            simulated_s, measured_s = getattr(mine, f"{part}_s"), getattr(theirs, f"{part}_s")
            if simulated_s or measured_s:
                found.append(_row(case, policy, part, simulated_s, measured_s, change))
    return found


def _iterations_s(trace: JobTrace) -> tuple[float, float]:
    """The median seconds of iterations until the first change: of those that send no backups, and of those that do."""
    end_s = min((each.resumed_s for each in trace.resumptions), default=trace.end_s)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for span in trace.of(Activity.TRAINING):
        if span.end_s <= end_s and span.trace is not None:
            backs_up = any(task.payload is Payload.WEIGHTS for task in span.trace.schedule)
            seconds[backs_up] += [span.seconds / span.count] * span.count
    plain, replicating = (median(values) if values else 0.0 for values in (seconds[False], seconds[True]))
    return plain, replicating


def _replication(case: str, policy: str, simulated: JobTrace, measured: JobTrace) -> list[JobRow]:
    """What backups add to an iteration, spread over the iterations from one to the next; none where none were sent."""
    said_s, seen_s = _iterations_s(simulated), _iterations_s(measured)
    if not min(*said_s, *seen_s):
        return []
    every = max(Safety().replicate_every or 1, seldom_enough(*said_s, within=_REPLICATE_WITHIN))
    one, other = ((replicating_s / plain_s - 1) / every for plain_s, replicating_s in (said_s, seen_s))
    return [JobRow(case=case, policy=policy, what=REPLICATION, simulated=one, measured=other, error=one - other)]


def _row(case: str, policy: str, what: str, simulated: float, measured: float, change: int = 0) -> JobRow:
    error = simulated / measured - 1 if measured else None
    return JobRow(
        case=case, policy=policy, what=what, change=change, simulated=simulated, measured=measured, error=error
    )


def summary(table: Sequence[JobRow]) -> dict[str, Any]:
    """What the rows add up to, by what was compared: how many, median and worst |error|."""
    jobs = {(row.case, row.policy) for row in table if row.what == TOTAL and row.simulated is not None}
    found: dict[str, Any] = {"jobs": len(jobs), "measured": _claims(table)}
    for what in (TOTAL, GOODPUT, TRAINING, REPLICATION, PAUSE, RATE_AFTER, *PARTS):
        errors = [abs(row.error) for row in table if row.what == what and row.error is not None and _counts(row)]
        if errors:
            found[what] = {"rows": len(errors), "median_abs_error": median(errors), "worst_abs_error": max(errors)}
    return found


def _counts(row: JobRow) -> bool:
    shares = row.what in (GOODPUT, REPLICATION, RATE_AFTER)
    return shares or max(row.simulated or 0.0, row.measured or 0.0) >= _LEAST_S


def _claims(table: Sequence[JobRow]) -> dict[str, Any]:
    """What was measured of policies, beside each other in the cases that both went through."""
    seen = {(row.what, row.case, row.policy, row.change): row.measured for row in table if row.measured is not None}
    detection = [value for (what, *_), value in seen.items() if what == "detection"]
    shares = [value for (what, *_), value in seen.items() if what == REPLICATION]
    found: dict[str, Any] = {
        "detection_s": max(detection, default=None),
        "replication": median(shares) if shares else None,
    }
    for other in ("heavy", "heavy_missing", "restart"):
        for name, what in (("pause", PAUSE), ("rate_after", RATE_AFTER)):
            ratios = [
                seen[what, case, other, change] / value
                for (each, case, policy, change), value in seen.items()
                if each == what and policy == "lightweight" and value and (what, case, other, change) in seen
            ]
            if ratios:
                found[f"{name}_{other}_over_lightweight"] = {"median": median(ratios), "least": min(ratios)}
    return found


def to_csv(table: Sequence[JobRow]) -> str:
    """Write the rows."""
    out = StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(JobRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(_written(table))
    return out.getvalue()


def _written(table: Sequence[JobRow]) -> Iterator[dict[str, Any]]:
    for row in table:
        yield {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in asdict(row).items()}
