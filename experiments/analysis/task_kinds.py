"""How well is each kind of task predicted where it matters? Errors over all plans in which it takes a part of the time.

A kind's part is its seconds, of all its tasks, over those of all kinds: of computations and messages alike.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from experiments.analysis.fidelity import ITERATION, FidelityRow

LEAST_PART = 0.05
"""The part of a plan's time below which a kind of task does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindErrors:
    """One kind of task over many plans: ``error`` is the median of signed errors, ``worst`` the one farthest from 0."""

    kind: str
    plans: int
    error: float
    abs_error: float
    worst: float


def kind_errors(tables: Iterable[Sequence[FidelityRow]]) -> list[KindErrors]:
    """Of each kind its errors in plans where it takes ``LEAST_PART`` of the time or more, most plans first."""
    errors: dict[str, list[float]] = defaultdict(list)
    for table in tables:
        plans: dict[str, list[FidelityRow]] = defaultdict(list)
        for row in table:
            if row.kind != ITERATION and row.error is not None:
                plans[row.plan].append(row)
        for rows in plans.values():
            whole_s = sum(map(_seconds, rows))
            for row in rows:
                if row.error is not None and _seconds(row) >= LEAST_PART * whole_s:
                    errors[row.kind].append(row.error)
    found = [
        KindErrors(
            kind=kind,
            plans=len(mine),
            error=median(mine),
            abs_error=median(map(abs, mine)),
            worst=max(mine, key=abs),
        )
        for kind, mine in errors.items()
    ]
    return sorted(found, key=lambda each: (-each.plans, each.kind))


def _seconds(row: FidelityRow) -> float:
    return row.tasks * (row.measured_s or 0.0)
