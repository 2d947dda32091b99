"""How is a team's integer programme solved fast? In windows: choices that no better plan can have are left out.

Given a plan of S seconds and a bound of B, a phase that happens n times exceeds its own least by (S - B) / n at most,
and the largest tile has few possible sizes (``tile_bounds.py``). A narrow guess gives a plan, and the plan gives the
windows that every better one lies in; where these are inside the guess, the plan is proven.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from edgesim.planners.exact.blocks.feasibility import Feasibility
from edgesim.planners.exact.blocks.memory_rows import Amounts
from edgesim.planners.exact.blocks.milp import BlockMilp, Limits
from edgesim.planners.solvers.race import MilpResult, SolverError, SolveStatus, solve

_GAP = 1e-6
_SECOND_GAP = 1e-3  # of the second objective, which needs no proof
_SAME = 1 + 2e-6  # what counts as the same latency when the second objective chooses

_STEADY = ("HiGHS",) if find_spec("highspy") else ("CBC",)  # one solver, where a race would choose by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamResult:
    """A team's best shares, if any, a bound that no plan of it can beat, and the solver; inf where no plan exists."""

    chosen: Mapping[int, Amounts] | None
    value_s: float
    bound_s: float
    solver: str


class TeamSearch:
    """The search for the best plan of one team."""

    def __init__(self, feasibility: Feasibility, equals: Sequence[tuple[int, int]], *, deadline_s: float) -> None:
        self.feasibility, self.tables = feasibility, feasibility.tables
        self.equals, self.deadline_s = equals, deadline_s
        self.refused: list[tuple[int, Amounts]] = []  # rank, and a share that it cannot hold, which a solver took

    def best(self, cutoff_s: float) -> TeamResult:
        """Return the team's best plan, if it takes less than the cutoff."""
        if not self.feasibility.unlimited:
            return TeamResult(chosen=None, value_s=inf, bound_s=inf, solver="")
        if cutoff_s < inf:
            return self._better(cutoff_s, None, {})
        stretch = self.feasibility.stretch()
        for more in (0.01, 0.1, 1.0, inf):
            limits = self._guessed((1 + stretch) * (1 + more) - 1)
            milp, result = self._solve(limits)
            if result.status is SolveStatus.INFEASIBLE:
                if more < inf:
                    continue
                return TeamResult(chosen=None, value_s=inf, bound_s=inf, solver=result.solver)
            if result.value is None:
                return self._unproven(result)
            incumbent = self._incumbent(milp, result)
            if more == inf or _inside(self._within(incumbent.value_s), limits):
                return incumbent if result.proves else self._unproven(result, incumbent)
            return self._better(incumbent.value_s, incumbent, result.values)
        raise AssertionError("the last guess holds everything")

    def _better(self, value_s: float, known: TeamResult | None, start: Mapping[str, float]) -> TeamResult:
        """Return the best plan within the windows of all plans that take no longer than ``value_s``."""
        milp, result = self._solve(self._within(value_s), start)
        if result.status is SolveStatus.INFEASIBLE:
            return replace(
                known or TeamResult(chosen=None, value_s=inf, bound_s=0.0, solver=result.solver), bound_s=value_s
            )
        if result.value is None:
            return self._unproven(result, known)
        incumbent = self._incumbent(milp, result)
        # These windows hold every better plan, so that the solver's bound holds for all, proven optimal or not.
        return self._unproven(result, incumbent) if result.bound is None else incumbent

    def least_work(self, value_s: float) -> Mapping[int, Amounts] | None:
        """Return, of all plans as fast as this one, the one with the least work in all; None if time is over.

        One solver alone decides, without a start, so that the same problem has the same plan, whichever won the races.
        """
        cutoff_s = float(f"{value_s * _SAME:.7g}")
        milp = BlockMilp(self.feasibility, self._within(cutoff_s), equals=self.equals, least_work=True)
        if perf_counter() >= self.deadline_s:
            return None
        try:
            result = self._fitting(milp, [], gap=_SECOND_GAP, solvers=_STEADY)
        except SolverError:  # there is a plan, and it is proven; the race has it
            return None
        return None if result.value is None else milp.chosen(result.values)

    def _solve(self, limits: Limits, start: Mapping[str, float] | None = None) -> tuple[BlockMilp, MilpResult]:
        milp = BlockMilp(self.feasibility, limits, equals=self.equals)
        if not self.feasibility.possible(limits.windows):
            return milp, MilpResult(status=SolveStatus.INFEASIBLE, solver="dynamic programme", seconds=0.0)
        names = {variable.name for variable in milp.problem.variables()}
        hint = {name: value for name, value in (start or {}).items() if name in names}
        return milp, self._fitting(milp, self.refused, gap=_GAP, start=hint)

    def _fitting(self, milp: BlockMilp, refused: list[tuple[int, Amounts]], **how: Any) -> MilpResult:
        """Solve until the solution fits to the byte: shares that do not fit are forbidden and noted in ``refused``."""
        for rank, share in refused:
            milp.forbid(rank, share)
        while True:
            left_s = max(self.deadline_s - perf_counter(), 0.05)
            result = solve(milp.problem, time_limit_s=left_s, **how)
            too_large = self._too_large(milp.chosen(result.values)) if result.values else []
            if not too_large:
                return result
            if perf_counter() >= self.deadline_s:  # the bound is that of a relaxation, and holds
                return replace(result, status=SolveStatus.UNKNOWN, value=None, values={})
            for rank, share in too_large:
                milp.forbid(rank, share)
            refused += too_large

    def _too_large(self, chosen: Mapping[int, Amounts]) -> list[tuple[int, Amounts]]:
        """Return the shares that their ranks cannot hold, each with all ranks of the team that cannot hold it."""
        holds = self.feasibility.holds
        refused = [share for rank, share in chosen.items() if not holds(rank, share)]
        return [(rank, share) for share in refused for rank in self.feasibility.team.members if not holds(rank, share)]

    def _incumbent(self, milp: BlockMilp, result: MilpResult) -> TeamResult:
        assert result.value is not None, "there is an incumbent"
        bound = result.value if result.bound is None else result.bound
        return TeamResult(
            chosen=milp.chosen(result.values),
            value_s=result.value / milp.scale,
            bound_s=max(bound / milp.scale, self.feasibility.bound_s),
            solver=result.solver,
        )

    def _unproven(self, result: MilpResult, incumbent: TeamResult | None = None) -> TeamResult:
        """Return the incumbent with the tables' bound, which holds when the solver has proven nothing in time."""
        if incumbent is None:
            return TeamResult(chosen=None, value_s=inf, bound_s=self.feasibility.bound_s, solver=result.solver)
        return replace(incumbent, bound_s=self.feasibility.bound_s)

    def _guessed(self, more: float) -> Limits:
        windows = (
            self.feasibility.stretched(more)
            if more < inf
            else self.tables.windows([inf] * len(self.tables.phases), self.tables.tokens)
        )
        return Limits(windows=windows)

    def _within(self, value_s: float) -> Limits:
        """Return the limits that hold every plan of at most so many seconds in all."""
        windows = self.feasibility.within(max(value_s, self.feasibility.bound_s) + 1e-7 * value_s)
        return Limits(windows=windows, cutoff_s=value_s * (1 + 1e-9))


def _inside(inner: Limits, outer: Limits) -> bool:
    return all(
        not np.any(choices & ~outer.windows[by][rank])
        for by, of in inner.windows.items()
        for rank, choices in of.items()
    )
