"""What is a solver asked, and what may it say? A MILP as a file, and results that say what is proven."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pulp

from edgesim.errors import EdgesimError
from edgesim.since_3_11 import StrEnum

_TOLERANCE = 1e-6  # of rows and of whole numbers, in both solvers


class SolverError(EdgesimError):
    """A solver is not there, crashed, or found the problem unbounded."""


class SolveStatus(StrEnum):
    """What is known of a problem."""

    OPTIMAL = "optimal"  # an incumbent, proven within the gap
    FEASIBLE = "feasible"  # an incumbent, and the gap is open
    INFEASIBLE = "infeasible"  # proven
    UNKNOWN = "unknown"  # nothing within the time limit


@dataclass(frozen=True, slots=True, kw_only=True)
class MilpResult:
    """What solvers know of a minimisation.

    Attributes:
        value: objective of the incumbent, computed from its values; None without one.
        bound: the best proven lower bound; None where there is none.
        values: by variable name, whole where the variable is; empty without an incumbent.
        solver: who gave it, with its version.
        seconds: from the call to the result.
    """

    status: SolveStatus
    value: float | None = None
    bound: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    solver: str
    seconds: float

    @property
    def proves(self) -> bool:
        """Whether nothing is left to find."""
        return self.status in (SolveStatus.OPTIMAL, SolveStatus.INFEASIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Milp:
    """A minimisation, written for solvers under short names.

    Attributes:
        path: the problem in MPS, without its objective's constant.
        variables: by their names in the file.
        start: a hint, by names in the file; empty: none.
        gap: ``(value - bound) / value`` at which to stop.
        time_limit_s: seconds for a solver.
    """

    path: Path
    problem: pulp.LpProblem
    variables: Mapping[str, pulp.LpVariable]
    start: Mapping[str, float]
    gap: float
    time_limit_s: float

    @property
    def constant(self) -> float:
        """The objective's constant, which the file does not hold."""
        return float(self.problem.objective.constant)

    @property
    def mixed(self) -> bool:
        """Whether any variable is whole."""
        return any(variable.cat == pulp.LpInteger for variable in self.variables.values())

    def result(
        self, *, solver: str, seconds: float, proven: bool, bound: float | None, values: Mapping[str, float] | None
    ) -> MilpResult:
        """The result of values by names in the file and a bound without the constant; ``proven``: a solver says so."""
        bound = None if bound is None else bound + self.constant
        if values is None:
            status = SolveStatus.INFEASIBLE if proven else SolveStatus.UNKNOWN
            return MilpResult(status=status, bound=bound, solver=solver, seconds=seconds)
        rounded = {
            variable.name: float(round(values[name])) if variable.cat == pulp.LpInteger else values[name]
            for name, variable in self.variables.items()
        }
        value = self.constant + sum(
            factor * rounded[variable.name] for variable, factor in self.problem.objective.items()
        )
        # What a solver calls optimal is believed no further than its own bound goes.
        closed = bound is None or value - bound <= self.gap * abs(value) + _TOLERANCE * max(1.0, abs(value))
        return MilpResult(
            status=SolveStatus.OPTIMAL if proven and closed else SolveStatus.FEASIBLE,
            value=value,
            bound=None if bound is None else min(bound, value),  # tolerances may put it a hair above
            values=rounded,
            solver=solver,
            seconds=seconds,
        )


def write_milp(
    problem: pulp.LpProblem, folder: Path, *, start: Mapping[str, float], gap: float, time_limit_s: float
) -> Milp:
    """Write the problem into the folder. Raises ValueError for a maximisation, or a hint for unknown variables."""
    if problem.sense != pulp.LpMinimize:
        raise ValueError(f"{problem.name}: solvers are asked to minimise (negate the objective)")
    path = folder / "problem.mps"
    variables, names, *_ = problem.writeMPS(str(path), rename=1)
    if unknown := sorted(start.keys() - names.keys()):
        raise ValueError(f"{problem.name}: the start names {unknown[0]!r}, which is not a variable of the problem")
    return Milp(
        path=path,
        problem=problem,
        gap=gap,
        time_limit_s=time_limit_s,
        variables={names[variable.name]: variable for variable in variables},
        start={names[name]: value for name, value in start.items()},
    )


class SolverRun(Protocol):
    """One solver at work on one MILP."""

    def finish(self) -> MilpResult:
        """Wait for its result. Raises SolverError if it crashed."""

    def stop(self) -> None:
        """Let ``finish`` return soon; may be called at any time, and again."""
