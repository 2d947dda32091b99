"""Who solves a MILP? CBC and HiGHS raced, one thread each: the first that proves wins, at the limit the better halves.

CBC is faster on models of columns, HiGHS on tables of choices, and nobody knows which before. No status is believed
that says "optimal" behind a time limit: only bounds that a solver has proven close a gap.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter

import pulp

from edgesim.planners.solvers.cbc import Cbc
from edgesim.planners.solvers.highs import Highs
from edgesim.planners.solvers.milp import Milp, MilpResult, SolverError, SolverRun, SolveStatus, write_milp
from edgesim.scratch import scratch_folder

__all__ = ["MilpResult", "SolveStatus", "SolverError", "solve"]

_KNOWN: Mapping[str, Callable[[Milp], SolverRun]] = {"CBC": Cbc, "HiGHS": Highs}
_GRACE_S = 1.0  # how long after the limit a solver may still write down what it has
_Report = tuple[str, MilpResult | Exception]


def solve(
    problem: pulp.LpProblem,
    *,
    time_limit_s: float,
    gap: float = 1e-6,
    start: Mapping[str, float] | None = None,
    solvers: Sequence[str] = ("CBC", "HiGHS"),
) -> MilpResult:
    """The result of a minimisation; ``start`` is a hint, values by variable name.

    Optimal is what is proven within ``gap``, ``(value - bound) / |value|``. Solvers do not agree on ties: give the
    problem a second objective. A solver that is absent or crashes is warned of. Raises SolverError if none is left,
    ValueError for a maximisation.
    """
    began_s = perf_counter()
    if unknown := [name for name in solvers if name not in _KNOWN]:
        raise ValueError(f"unknown solver {unknown[0]!r} (known: {', '.join(_KNOWN)})")
    with scratch_folder() as folder:
        milp = write_milp(problem, folder, start=start or {}, gap=gap, time_limit_s=time_limit_s)
        results = list(_race(milp, solvers))
    if not results:
        raise SolverError(
            f"{problem.name}: no solver of {', '.join(solvers)} has solved it, see the warnings "
            "(pip install highspy, or a PuLP that brings CBC)"
        )
    return replace(_merged(results, gap), seconds=perf_counter() - began_s)


def _race(milp: Milp, names: Sequence[str]) -> Iterator[MilpResult]:
    """The results until one proves, at most one of each solver; when this ends, none is running."""
    deadline_s = perf_counter() + milp.time_limit_s + _GRACE_S
    reports: SimpleQueue[_Report] = SimpleQueue()
    with _running(milp, names, reports) as runs:
        awaited = len(runs)
        while awaited:
            try:
                report = reports.get(timeout=max(deadline_s - perf_counter(), 0.0))
            except Empty:  # they did not keep their limits: what they have then is reported as they end
                for run in runs:
                    run.stop()
                report = reports.get()
            awaited -= 1
            result = _result_of(report)
            if result is not None:
                yield result
                if result.proves:
                    return


@contextmanager
def _running(milp: Milp, names: Sequence[str], reports: "SimpleQueue[_Report]") -> Iterator[list[SolverRun]]:
    """The solvers at work, each with a thread that waits for it; all are ended in the end, whatever happens."""
    runs: list[SolverRun] = []
    threads: list[Thread] = []
    try:
        for name in names:
            try:
                runs.append(_KNOWN[name](milp))
            except (SolverError, ImportError, OSError) as error:
                _warn(name, error)
                continue
            threads.append(Thread(target=_report, args=(name, runs[-1], reports), daemon=True))
            threads[-1].start()
        yield runs
    finally:
        for run in runs:
            run.stop()
        for thread in threads:
            thread.join()


def _report(name: str, run: SolverRun, reports: "SimpleQueue[_Report]") -> None:
    try:
        reports.put((name, run.finish()))
    except Exception as error:  # whatever it is, the other solver goes on
        reports.put((name, error))


def _result_of(report: _Report) -> MilpResult | None:
    name, result = report
    if isinstance(result, Exception):
        _warn(name, result)
        return None
    return result


def _warn(name: str, error: Exception) -> None:
    warnings.warn(f"solver {name} is left out: {error}", RuntimeWarning, stacklevel=2)


def _merged(results: Sequence[MilpResult], gap: float) -> MilpResult:
    """The one that proves; else the better incumbent and the best bound of all, which together may prove as well."""
    for result in results:
        if result.proves:
            return result
    incumbents = [result for result in results if result.value is not None]
    best = min(incumbents, key=lambda result: result.value or 0.0, default=results[0])
    bounding = max(
        (result for result in results if result.bound is not None), key=lambda result: result.bound or 0.0, default=best
    )
    solver = best.solver if bounding is best else f"{best.solver}, bound of {bounding.solver}"
    merged = replace(best, bound=bounding.bound, solver=solver)
    if merged.value is None or merged.bound is None:
        return merged
    closed = merged.value - merged.bound <= gap * abs(merged.value)
    return replace(
        merged, bound=min(merged.bound, merged.value), status=SolveStatus.OPTIMAL if closed else merged.status
    )
