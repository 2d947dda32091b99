"""The integer programme over some candidates, for CBC and HiGHS: the rows of ``milp.py`` in PuLP."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pulp

from edgesim.planners.exact.pipelines.candidate_links import Ints
from edgesim.planners.exact.pipelines.milp import StageMilp
from edgesim.planners.solvers.race import SolveStatus, solve

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PulpMilp:
    """A problem in units of ``unit_s``, and the candidates' variables by their names."""

    problem: pulp.LpProblem
    names: dict[int, str]
    unit_s: float
    starts: Ints

    def solve(self, *, time_limit_s: float, gap: float) -> "PulpResult":
        """What CBC and HiGHS find, whoever is first."""
        result = solve(self.problem, time_limit_s=time_limit_s, gap=gap)
        if result.status is SolveStatus.INFEASIBLE:
            return PulpResult(choice=(), bound_s=np.inf, solver=result.solver)
        chosen = [c for c, name in self.names.items() if result.values and result.values[name] > 0.5]
        return PulpResult(
            choice=tuple(sorted(chosen, key=lambda c: int(self.starts[c]))),
            solver=result.solver,
            bound_s=-np.inf if result.bound is None else result.bound * self.unit_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PulpResult:
    """A choice of candidates, first stage first, none if none was found; and a bound of all."""

    choice: tuple[int, ...]
    bound_s: float
    solver: str


def in_pulp(milp: StageMilp, which: Ints, repeats_s: Interval, others_than: Sequence[Sequence[int]] = ()) -> PulpMilp:
    """The programme over these candidates, with U between two values and without some choices."""
    problem, unit_s = pulp.LpProblem("stages", pulp.LpMinimize), milp.unit_s
    others = [problem.add_variable(name, lowBound=0) for name in milp.variables]
    chosen = [problem.add_variable(f"x{c}", cat=pulp.LpBinary) for c in which]
    costs = dict(zip(chosen, (milp.columns.cost_s[which] / unit_s).tolist(), strict=True))
    problem.setObjective(pulp.LpAffineExpression(costs | {others[i]: 1.0 for i in milp.priced}))
    rows: list[dict[pulp.LpVariable, float]] = [{} for _ in milp.lower]
    for row, variable, value in milp.base:
        rows[row][others[variable]] = value
    for row, of, value in zip(*(part.tolist() for part in milp.entries(which)), strict=True):
        rows[row][chosen[of]] = value / unit_s if milp.in_seconds[row] else value
    for terms, lower, upper in zip(rows, milp.lower, milp.upper, strict=True):
        if terms and (np.isfinite(lower) or np.isfinite(upper)):
            problem += _between(lower, pulp.LpAffineExpression(terms), upper)
    least_s, most_s = repeats_s
    others[milp.U].lowBound = least_s / unit_s
    others[milp.U].upBound = most_s / unit_s if np.isfinite(most_s) else None
    candidates = dict(zip(which.tolist(), chosen, strict=True))
    for choice in others_than:
        problem += pulp.LpAffineExpression({candidates[c]: 1.0 for c in choice}) <= len(choice) - 1
    return PulpMilp(problem=problem, names={int(c): f"x{c}" for c in which}, unit_s=unit_s, starts=milp.columns.start)


def _between(lower: float, expression: pulp.LpAffineExpression, upper: float) -> pulp.LpConstraint:
    """A row that is bounded on one side, or fixed."""
    if lower == upper:
        return expression == lower
    return expression >= lower if np.isfinite(lower) else expression <= upper
