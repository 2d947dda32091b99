"""Are methods as far apart as published, in the same order, and what makes the difference? By ratios to PAC's hours."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from statistics import median
from typing import Any

from edgesim.units import si
from experiments.pac.hours import Row
from experiments.pac.settings import PAC, TASKS
from experiments.published.claims import DEVICES, FILLS_CACHE, HOURS, SAMPLES, Claim, published

_OURS = f"{PAC}, {FILLS_CACHE}"
_TERMS = ("computing_s", "all_reduce_s", "waiting_s", "moving_s")
_NEAR = 0.3
_HOUR_S = si("1 h")


def ratios(claims: Sequence[Claim]) -> dict[str, Any]:
    """Of table 2: each method's hours over PAC's in the same task, published and predicted, and how many are near."""
    by_task: dict[str, dict[str, Claim]] = defaultdict(dict)
    for claim in claims:
        if claim.row.item == HOURS:
            by_task[claim.row.metric.removeprefix("time, ")][claim.row.method] = claim
    rows, errors = [], []
    for task, of_task in by_task.items():
        ours = of_task[_OURS]
        for method, claim in of_task.items():
            if method != _OURS:
                was, now = claim.published / ours.published, claim.predicted / ours.predicted
                rows.append(
                    {"task": task, "method": method, "published": was, "predicted": now, "error": now / was - 1}
                )
                errors.append(now / was - 1)
    return {
        "ratios": len(errors),
        "within_30_percent": sum(abs(error) <= _NEAR for error in errors),
        "median_abs_error": median(map(abs, errors)),
        "lowest_error": min(errors),
        "highest_error": max(errors),
        "rows": rows,
    }


def swapped(claims: Sequence[Claim]) -> dict[str, float]:
    """The pairs of methods in another order than published, task by task, and how far apart they were published."""
    of_hours = [claim for claim in claims if claim.row.item == HOURS]
    return {
        f"{a.row.metric.removeprefix('time, ')}: {a.row.method} before {b.row.method}": b.published / a.published - 1
        for a in of_hours
        for b in of_hours
        if a.row.metric == b.row.metric and a.published < b.published and a.predicted >= b.predicted
    }


def sources_apart() -> dict[str, float]:
    """Seconds of an iteration of PAC on eight Nanos, by two published items: of one sample each, and of two.

    Twice as many samples take at most twice as long on any device, whose all-reduce stays as long as it is. What is
    left in table 2 has no place in figure 9a: no device meets both.
    """
    table = published()

    def value(item: str, setting: str, method: str) -> float:
        chosen = (table["item"] == item) & table["setting"].str.startswith(setting) & (table["method"] == method)
        (found,) = table[chosen & (table["model"] == "T5-Base")]["value"]
        return float(found)

    task = next(task for task in TASKS if task.epochs == 1)
    iterations = ceil(task.samples / SAMPLES)
    one_s = DEVICES / value("Fig. 9a", f"{DEVICES} Nanos", PAC)
    two_s = value(HOURS, task.name, _OURS) * _HOUR_S / iterations
    return {"one_sample_s": one_s, "two_samples_s": two_s, "beyond_twice": two_s / (2 * one_s) - 1}


def attribution(rows: Sequence[Row], *, model: str, task: str) -> dict[str, Mapping[str, float]]:
    """By method, which share of what it takes longer than PAC is in which term; shares add up to 1."""
    seconds = {
        f"{row.system}, {row.technique}": {term: float(getattr(row, term)) for term in _TERMS}
        for row in rows
        if (row.model, row.task) == (model, task) and row.hours is not None
    }
    ours = seconds.pop(_OURS)
    found: dict[str, Mapping[str, float]] = {}
    for method, theirs in seconds.items():
        more = {term.removesuffix("_s"): theirs[term] - ours[term] for term in _TERMS}
        if whole := sum(more.values()):
            found[method] = {"times_as_long": sum(theirs.values()) / sum(ours.values())} | {
                term: part / whole for term, part in more.items()
            }
    return found
