"""Do the published findings on the energy of the four parallelisms come out, and in which cells?

The findings are of arXiv 2404.17766; they are compared by rank, because neither its boards' watts nor its workload are
known here. A finding holds in a cell or does not; a cell in which it says nothing (a method did not run) is left out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Any, NamedTuple

from experiments.analysis.names import DP, FOUR, PP, SP, TP
from experiments.analysis.tidy import MBIT_PER_S, RunStatus
from experiments.energy_study.cells import Cell, Cells, Row, number, per_sample_j, ran

NEAR = 1.1  # times the joules of one board: "comparable"
# The published order of joules per sample, pair by pair: the first takes less.
PAIRS = ((DP, SP), (DP, TP), (PP, SP), (PP, TP), (SP, TP))

Judged = Iterable[tuple[Cell, bool]]


class Finding(NamedTuple):
    """What was published, and in which cells it holds."""

    says: str
    holds: Callable[[Cells, Mapping[str, float]], Judged]


def _four(cells: Cells) -> Iterable[tuple[Cell, Mapping[str, Row]]]:
    for cell, methods in cells.items():
        yield cell, {method: methods[method] for method in FOUR if method in methods}


def less(cells: Cells, first: str, second: str) -> Judged:
    """Whether the first takes fewer joules per sample, where both run."""
    for cell, methods in cells.items():
        if ran(methods.get(first)) and ran(methods.get(second)):
            yield cell, per_sample_j(methods[first]) < per_sample_j(methods[second])


def _comparable(cells: Cells, one_j: Mapping[str, float]) -> Judged:
    for cell, methods in cells.items():
        single = single_j(cell, one_j)
        shared = [per_sample_j(row) for row in methods.values() if ran(row)]
        if single is not None and shared:
            yield cell, min(shared) <= NEAR * single


def single_j(cell: Cell, one_j: Mapping[str, float]) -> float | None:
    """Joules per sample of the cell's board alone, all others off; None where it does not fit, or boards differ."""
    return one_j.get(f"{cell.model} on {cell.cluster}") if not cell.mixed else None


def _favourable(cells: Cells, _: object) -> Judged:
    """The two least joules of the four are those of data parallelism and of a pipeline, on GPU."""
    for cell, methods in _four(cells):
        those = sorted((per_sample_j(row), method) for method, row in methods.items() if ran(row))
        if cell.processor == "gpu" and len(those) == len(FOUR):
            yield cell, {method for _, method in those[:2]} == {DP, PP}


def _gpu_below_cpu(cells: Cells, _: object) -> Judged:
    for cell, methods in _four(cells):
        if cell.processor == "cpu":
            twin = cells.get(cell._replace(cluster=cell.cluster.replace("-cpu", "-gpu")))
            twin = twin or cells.get(cell._replace(cluster=cell.cluster.replace("-cpu", ""))) or {}
            both = [m for m in methods if ran(methods[m]) and ran(twin.get(m))]
            if both:
                yield cell, all(per_sample_j(twin[m]) < per_sample_j(methods[m]) for m in both)


def _holds_others(cells: Cells, _: object) -> Judged:
    """Where memory refuses one of the others, a pipeline runs."""
    for cell, methods in _four(cells):
        full = [m for m in (DP, SP, TP) if m in methods and methods[m]["status"] == RunStatus.OUT_OF_MEMORY]
        if full and any(ran(row) for row in methods.values()):
            yield cell, ran(methods.get(PP))


def _memory_order(cells: Cells, _: object) -> Judged:
    """Whoever fits beside a full replica that does not: tensor parallelism before it, a pipeline before both."""
    for cell, methods in _four(cells):
        fits = [ran(methods.get(method)) for method in (SP, TP, PP)]
        if {SP, TP, PP} <= methods.keys() and any(fits) and not all(fits) and _by_memory(methods):
            yield cell, fits == sorted(fits)


def _by_memory(methods: Mapping[str, Row]) -> bool:
    return all(row["status"] in (RunStatus.DONE, RunStatus.OUT_OF_MEMORY) for row in methods.values())


def _bound_by_links(cells: Cells, _: object) -> Judged:
    """Sequence and tensor parallelism compute for less than half of the time."""
    for cell, methods in _four(cells):
        those = [methods[m] for m in (SP, TP) if ran(methods.get(m))]
        if those:
            yield cell, all(number(row, "utilisation") < 0.5 for row in those)


FINDINGS: Mapping[str, Finding] = {
    "collaboration_reaches_one_device": Finding(
        f"the thriftiest way to share takes at most {NEAR} times the joules per sample of one board alone", _comparable
    ),
    "dp_and_pp_favourable_on_gpu": Finding("on GPU, data and pipeline parallelism take the fewest joules", _favourable),
    "dp_below_sp": Finding("data before sequence parallelism", lambda cells, _: less(cells, DP, SP)),
    "dp_below_tp": Finding("data before tensor parallelism", lambda cells, _: less(cells, DP, TP)),
    "pp_below_sp": Finding("a pipeline before sequence parallelism", lambda cells, _: less(cells, PP, SP)),
    "pp_below_tp": Finding("a pipeline before tensor parallelism", lambda cells, _: less(cells, PP, TP)),
    "sp_below_tp": Finding("sequence before tensor parallelism", lambda cells, _: less(cells, SP, TP)),
    "gpu_below_cpu": Finding("every method takes fewer joules on GPU than on CPU", _gpu_below_cpu),
    "pp_runs_what_others_cannot_hold": Finding("where others are out of memory, a pipeline runs", _holds_others),
    "out_of_memory_first_sp_then_tp_last_pp": Finding(
        "replicas are out of memory first, a pipeline last", _memory_order
    ),
    "sp_and_tp_bound_by_links": Finding(
        "sequence and tensor parallelism compute less than half the time", _bound_by_links
    ),
}


def agreement(cells: Cells, one_j: Mapping[str, float]) -> dict[str, Any]:
    """Of every finding in how many cells it holds, by processor and by mini-batch."""
    return {name: {"says": each.says} | shares(each.holds(cells, one_j)) for name, each in FINDINGS.items()}


def shares(judged: Judged) -> dict[str, Any]:
    """Cells, and the share in which something holds: of all, and by processor, rate and mini-batch."""
    found = list(judged)
    by: Mapping[str, Callable[[Cell], str | float]] = {
        "by_processor": lambda cell: cell.processor,
        "by_mbit_per_s": lambda cell: cell.bandwidth_bit_per_s / MBIT_PER_S,
        "by_batch": lambda cell: float(cell.batch_samples),
    }
    return {"cells": len(found), "share": _share(held for _, held in found)} | {
        name: {f"{key:g}" if isinstance(key, float) else key: _share(each) for key, each in _grouped(found, told)}
        for name, told in by.items()
    }


def _grouped(
    found: Sequence[tuple[Cell, bool]], told: Callable[[Cell], str | float]
) -> list[tuple[str | float, list[bool]]]:
    groups: dict[str | float, list[bool]] = defaultdict(list)
    for cell, held in found:
        groups[told(cell)].append(held)
    return sorted(groups.items(), key=lambda each: (isinstance(each[0], str), each[0]))


def _share(held: Iterable[bool]) -> float | None:
    those = list(held)
    return sum(those) / len(those) if those else None


def pairs_in_order(cells: Cells) -> dict[str, Any]:
    """The share of all published pairs that come out, over all cells in which both methods run."""
    return shares(chain.from_iterable(less(cells, *pair) for pair in PAIRS))


def over_one_device(cells: Cells, one_j: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """By method: joules per sample over those of one board alone, in the cells where both run."""
    found: dict[str, list[float]] = defaultdict(list)
    for cell, methods in cells.items():
        if (single := single_j(cell, one_j)) is not None:
            for method, row in methods.items():
                if ran(row):
                    found[method].append(per_sample_j(row) / single)
    return {
        method: {"cells": len(each), "least": min(each), "median": median(each), "most": max(each)}
        for method, each in sorted(found.items())
    }
