"""How far is the prediction from the measurement? Rows per plan and kind of task, and what they add up to.

    error     simulated_s / measured_s - 1
    spread    (max - min) / median over the iterations measured, unknown for one
    disturbed the largest share of the processors that other programs took during an iteration, 0 if too small;
              disturbed_on says of which host, where hosts are no emulated ones
    tau       Kendall's tau-b between the simulated and the measured order of the plans

``measured_s`` is the median over iterations. Of a kind of task, seconds are the mean over the plan's tasks of that
kind; a message counts once, from when both ends were ready until its bytes had passed.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO
from math import isfinite
from statistics import median
from typing import Any

from scipy.stats import kendalltau

from edgesim.errors import reading
from edgesim.schedule import MESSAGE, Op, Task
from edgesim.trace import Trace
from real_runtime.execution import host_of

ITERATION = "iteration"
FIDELITY = "fidelity"  # the folder of workloads' tables, in that of validations


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityRow:
    """One plan and kind of task. A plan that failed has one row, with its reason and no seconds."""

    strategy: str
    plan: str
    kind: str
    tasks: int = 0
    iterations: int = 0
    simulated_s: float | None = None
    measured_s: float | None = None
    spread: float | None = None
    error: float | None = None
    disturbed: float | None = None
    disturbed_on: str = ""
    reason: str = ""


def rows(
    *, strategy: str, plan: str, simulated: Trace, measured: Sequence[Trace], disturbed: float | None = None
) -> list[FidelityRow]:
    """One row for the iteration, one for each kind of task."""
    counts = defaultdict(int, {ITERATION: 1})
    for task in simulated.schedule:
        counts[kind(task)] += 1
    predicted, observed = seconds_by_kind(simulated), [seconds_by_kind(trace) for trace in measured]
    return [
        row(
            strategy=strategy,
            plan=plan,
            kind=name,
            tasks=counts[name],
            simulated_s=seconds,
            measured_s=[times[name] for times in observed],
            disturbed=disturbed,
        )
        for name, seconds in predicted.items()
    ]


def row(
    *,
    strategy: str,
    plan: str,
    kind: str,
    tasks: int,
    simulated_s: float,
    measured_s: Sequence[float],
    disturbed: float | None = None,
) -> FidelityRow:
    """The figures of the module's docstring; a time of zero has no relative error."""
    middle = median(measured_s)
    return FidelityRow(
        strategy=strategy,
        plan=plan,
        kind=kind,
        tasks=tasks,
        iterations=len(measured_s),
        simulated_s=simulated_s,
        measured_s=middle,
        spread=(max(measured_s) - min(measured_s)) / middle if middle > 0 and len(measured_s) > 1 else None,
        error=simulated_s / middle - 1 if middle > 0 else None,
        disturbed=disturbed,
        disturbed_on=host_of(disturbed),
    )


def kind(task: Task) -> str:
    """``F``, ``B``, ``UPDATE``, ``SEND activation``, ``ALL_REDUCE`` ..."""
    return f"{task.op} {task.payload}" if task.op in (Op.SEND, Op.RECV) else str(task.op)


def seconds_by_kind(trace: Trace) -> dict[str, float]:
    """The makespan, and the mean seconds of each kind of task; a message is one, from its start to its arrival."""
    graph, times = trace.schedule.graph, dict[str, list[float]]()
    for members in graph.members:
        tasks = [graph.tasks[member] for member in members]
        if tasks[0].op in MESSAGE:
            seconds = trace.end_s[members[1]] - trace.start_s[members[0]]
            times.setdefault(kind(tasks[0]), []).append(seconds)
            continue
        for member, task in zip(members, tasks, strict=True):
            times.setdefault(kind(task), []).append(trace.end_s[member] - trace.start_s[member])
    return {ITERATION: trace.makespan_s} | {name: sum(values) / len(values) for name, values in times.items()}


def summary(table: Sequence[FidelityRow]) -> dict[str, Any]:
    """Median and worst error of the plans' iterations, and Kendall's tau of their order."""
    played = [r for r in table if r.kind == ITERATION and r.error is not None]
    errors = [abs(r.error) for r in played if r.error is not None]
    return {
        "plans": len(played),
        "failed": [r.plan for r in table if r.reason],
        "median_abs_error": median(errors) if errors else None,
        "worst_abs_error": max(errors, default=None),
        "kendall_tau": _tau(played),
        **({"disturbed": disturbed} if (disturbed := [r.plan for r in played if r.disturbed]) else {}),
        "iterations": min((r.iterations for r in played), default=0),
    }


def _tau(played: Sequence[FidelityRow]) -> float | None:
    if len(played) < 2:
        return None
    return float(kendalltau([r.simulated_s for r in played], [r.measured_s for r in played]).statistic)


def to_csv(table: Sequence[FidelityRow]) -> str:
    """A header and a line per row; what is unknown stays empty."""
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=[field.name for field in fields(FidelityRow)], lineterminator="\n")
    writer.writeheader()
    for entry in table:
        writer.writerow(
            {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in asdict(entry).items()}
        )
    return text.getvalue()


def from_csv(text: str, *, source: str = "the text") -> list[FidelityRow]:
    """Read what :func:`to_csv` wrote; tables from before other load was watched do not know of any.

    Raises ValueError, naming the source and the line, for anything else.
    """
    lines = csv.DictReader(StringIO(text), strict=True)
    with reading(source, "table of a validation", written_by="experiments.validate"):
        try:
            return [_row(line) for line in lines]
        except csv.Error as error:
            raise ValueError(f"line {lines.line_num}: {error}") from error


def _number(key: str, text: str) -> float:
    """A finite number; seconds, spreads and shares are never negative."""
    number = float(text)
    if not isfinite(number) or (number < 0 and key != "error"):
        raise ValueError(f"{key} cannot be {text}")
    return number


def _row(line: Mapping[str, str]) -> FidelityRow:
    known = [key for key in ("simulated_s", "measured_s", "spread", "error", "disturbed") if key in line]
    numbers = {key: _number(key, line[key]) if line[key] else None for key in known}
    if numbers["error"] is not None and None in (numbers["simulated_s"], numbers["measured_s"]):
        raise ValueError(f"{line['plan']}, {line['kind']}: an error, but not both simulated_s and measured_s")
    counts = {key: int(line[key]) for key in ("tasks", "iterations")}
    texts = {key: line[key] for key in ("strategy", "plan", "kind", "reason")}
    values: dict[str, Any] = {**texts, **counts, **numbers, "disturbed_on": line.get("disturbed_on", "")}
    return FidelityRow(**values)
