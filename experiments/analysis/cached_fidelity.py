"""How far is a simulated job with an activation cache from the same one executed? By its phases, and as a whole."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO
from statistics import median
from typing import Any

from edgesim.job import Activity, JobTrace

FILLING, REDISTRIBUTION, CACHED, TOTAL = "caching epoch", "redistribution", "cached epochs", "total"
RECOVERY, REFILL = "of these recovery", "of these refill"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRow:
    """Seconds of one phase of one job in both players. A job that failed says why."""

    case: str
    storage: str
    what: str
    simulated: float | None = None
    measured: float | None = None
    error: float | None = None
    reason: str = ""


def phase_seconds(trace: JobTrace) -> dict[str, float]:
    """By phase: the epoch that fills the cache, what is sent and taken up then, and the epochs from the cache.

    Where somebody is lost, recovery is from then until training goes on; a refill may be a part of it, or of what is
    sent and taken up between the epochs.
    """
    spans = list(trace.of(Activity.TRAINING))
    filled_s = max(span.end_s for span in spans if span.model is None)
    begins_s = min(span.start_s for span in spans if span.model is not None)
    lost = [resumed for resumed in trace.resumptions if resumed.change.lost]
    beside = {
        RECOVERY: sum(resumed.resumed_s - resumed.change.at_s for resumed in lost),
        REFILL: trace.seconds(Activity.REFILL),
    }
    phases = {FILLING: filled_s, REDISTRIBUTION: begins_s - filled_s, CACHED: trace.end_s - begins_s}
    return {**phases, **{what: seconds for what, seconds in beside.items() if seconds > 0}, TOTAL: trace.end_s}


def phase_rows(case: str, storage: str, simulated: JobTrace, measured: JobTrace) -> list[PhaseRow]:
    """A row per phase, and one of the whole job."""
    said, seen = phase_seconds(simulated), phase_seconds(measured)
    return [
        PhaseRow(
            case=case,
            storage=storage,
            what=what,
            simulated=said[what],
            measured=seen[what],
            error=said[what] / seen[what] - 1,
        )
        for what in said
        if what in seen
    ]


def summary(table: Sequence[PhaseRow]) -> dict[str, Any]:
    """By phase, of how many jobs, and their median and worst |error|."""
    found: dict[str, Any] = {}
    for what in (FILLING, REDISTRIBUTION, CACHED, RECOVERY, REFILL, TOTAL):
        errors = [abs(row.error) for row in table if row.what == what and row.error is not None]
        if errors:
            found[what] = {"jobs": len(errors), "median_abs_error": median(errors), "worst_abs_error": max(errors)}
    return found


def to_csv(table: Sequence[PhaseRow]) -> str:
    """Write the rows."""
    out = StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(PhaseRow)], lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow(
            {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in asdict(row).items()}
        )
    return out.getvalue()
