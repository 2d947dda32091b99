"""What is the least that a choice of stages can cost, with fractions of stages? Linear programmes by column generation.

The programme holds few candidates at a time. Its prices say which others could make it cheaper: those on the cheapest
paths. The cheapest path of all also gives a bound before the last of them is in (Dantzig and Wolfe, 1960).
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from edgesim.planners.answer import SolverError
from edgesim.planners.highs import quiet_highs
from edgesim.planners.stage_columns import Floats, Ints
from edgesim.planners.stage_prices import Bools, Paths
from edgesim.planners.stage_programme import Programme

Interval = tuple[float, float]
ROUND = 400  # candidates that join at a time
SEEDS = 24  # limits of U at which the first candidates are sought
TINY = 1e-9  # relative: what a price may be off


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """An optimum with fractions: its bound, and the candidates in it with their parts.

    ``through`` is [candidate] a bound on every choice that has it; ``whole`` says that no stage is in parts.
    """

    bound: float
    repeats_s: float
    tail_s: float
    chosen: Ints
    parts: Floats
    through: Floats

    @property
    def whole(self) -> bool:
        return bool(np.all(np.abs(self.parts - 1.0) < 1e-6))


class Relaxation:
    """One linear programme, kept and asked again with other bounds of U and other candidates allowed."""

    def __init__(self, programme: Programme, paths: Paths, *, late: Callable[[], bool]) -> None:
        self.highspy: Any = import_module("highspy")
        self.programme, self.paths, self.late = programme, paths, late
        self.inside = np.full(len(programme.columns), -1)  # where each candidate stands in the solver, if it does
        self.members: list[int] = []
        self.unit_s = programme.unit_s
        self.solver = self._open()
        self.name = f"HiGHS {self.solver.version()}"
        self._seed(np.flatnonzero(np.isfinite(paths.through(programme.columns.both_s))))

    def _open(self) -> Any:
        p = self.programme
        count, rows = len(p.variables) + 1, len(p.lower)
        self.dummy = count - 1  # a path at a price that no plan has, so that there is always one
        devices = [(self.dummy, row, p.lower[row]) for row in p.kind if p.lower[row] > 0]
        order = sorted([*((v, r, value) for r, v, value in p.base), (self.dummy, p.source, 1.0), *devices])
        lp = self.highspy.HighsLp()
        lp.num_col_, lp.num_row_ = count, rows
        cost = np.zeros(count)
        cost[p.priced] = 1.0
        lp.col_cost_ = cost
        lp.col_lower_, lp.col_upper_ = np.zeros(count), np.full(count, np.inf)
        lp.row_lower_, lp.row_upper_ = np.array(p.lower, dtype=float), np.array(p.upper, dtype=float)
        lp.a_matrix_.format_ = self.highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.searchsorted([v for v, _, _ in order], np.arange(count + 1))
        lp.a_matrix_.index_ = np.array([r for _, r, _ in order])
        lp.a_matrix_.value_ = np.array([value for _, _, value in order])
        solver = quiet_highs(self.highspy)
        solver.setOptionValue("threads", 1)
        solver.passModel(lp)
        return solver

    def solve(self, allowed: Bools, *, repeats_s: Interval, tail_s: Interval, beat_s: float) -> Relaxed | None:
        """The optimum over allowed candidates, U and W in their intervals; None if it is proven above ``beat_s``."""
        solver, p = self.solver, self.programme
        for variable, (least_s, most_s) in ((p.U, repeats_s), (p.W, tail_s)):
            solver.changeColBounds(variable, least_s / self.unit_s, most_s / self.unit_s)
        solver.changeColCost(self.dummy, 10 * self._dear())
        forbidden = False
        self._allow(allowed)
        while True:
            solver.run()
            if solver.getModelStatus() == self.highspy.HighsModelStatus.kInfeasible:  # intervals beyond the limit
                return None
            if solver.getModelStatus() != self.highspy.HighsModelStatus.kOptimal:
                raise SolverError(f"HiGHS ended a linear programme with {solver.getModelStatus()}")
            solution = solver.getSolution()
            duals = np.array(solution.row_dual)
            price = np.where(allowed, p.prices(duals), np.inf)
            through = self.paths.through(price)
            value, source = solver.getInfo().objective_function_value, duals[p.source]
            bounds_s = (value - source + through) * self.unit_s
            bound_s = min(float(np.min(bounds_s, initial=np.inf)), value * self.unit_s)
            if bound_s > beat_s:
                return None
            missing = np.flatnonzero((through < source - TINY * max(1.0, abs(source))) & (self.inside < 0))
            if self.late():
                break
            if not len(missing):
                if np.array(solution.col_value)[self.dummy] <= 1e-6 or not self.programme.latest or forbidden:
                    break
                # Where time is limited, a little of the dummy may be worth its price: is any of it needed?
                forbidden = True
                solver.changeColCost(self.dummy, 1e7 * self._dear())
                continue
            self._add(missing[np.argsort(through[missing], kind="stable")[:ROUND]])
        if np.array(solution.col_value)[self.dummy] > 1e-6 and not self.late():
            return None
        return self._read(np.array(solution.col_value), bound_s, bounds_s)

    def _seed(self, possible: Ints) -> None:
        """The candidates of short pipelines under some limits of U: without them the first prices say nothing."""
        if not len(possible):
            return
        c, repeats = self.programme.columns, self.programme.repeats
        limits = np.quantile(repeats[possible], np.linspace(0.0, 1.0, SEEDS) ** 2)
        found = []
        for limit in np.unique(limits):
            through = self.paths.through(np.where(repeats <= limit, c.cost_s, np.inf))
            found.append((float(limit + np.min(through)), through))
        for _, through in sorted((entry for entry in found if np.isfinite(entry[0])), key=lambda entry: entry[0])[:3]:
            new = np.argsort(through, kind="stable")[:ROUND]
            self._add(new[(self.inside[new] < 0) & np.isfinite(through[new])])

    def _dear(self) -> float:
        """More than any plan costs, in units: every micro-batch through the slowest candidates, one by one."""
        c, M = self.programme.columns, self.programme.shape.micro_batches
        messages = np.max(c.sent_s + c.received_s + c.returned_s + c.taken_back_s)
        most_s = self.programme.shape.positions * (np.max(c.cost_s) + messages) + np.max(c.ending_s)
        return float((M * most_s + self.programme.most_once_s) / self.unit_s)

    def _allow(self, allowed: Bools) -> None:
        if not self.members:
            return
        places = np.array(self.inside[self.members], dtype=np.int32)
        upper = np.where(allowed[self.members], np.inf, 0.0)
        self.solver.changeColsBounds(len(places), places, np.zeros(len(places)), upper)

    def _add(self, which: Ints) -> None:
        rows, of, values = self.programme.entries(which)
        order = np.lexsort((rows, of))
        starts = np.searchsorted(of[order], np.arange(len(which)))
        scaled, none = self._scaled(rows, values), np.zeros(len(which))
        costs = self.programme.columns.cost_s[which] / self.unit_s
        first = self.solver.getNumCol()
        self.solver.addCols(
            len(which), costs, none, none + np.inf, len(rows),
            starts.astype(np.int32), rows[order].astype(np.int32), scaled[order],
        )  # fmt: skip
        self.inside[which] = np.arange(first, first + len(which))
        self.members += which.tolist()

    def _scaled(self, rows: Ints, values: Floats) -> Floats:
        """Seconds in units; path and device rows have none."""
        return np.where(self.programme.in_seconds[rows], values / self.unit_s, values)

    def _read(self, values: Floats, bound_s: float, bounds_s: Floats) -> Relaxed:
        members = np.array(self.members, dtype=np.int64)
        parts = values[self.inside[members]] if len(members) else np.zeros(0)
        used = parts > 1e-7
        repeats_s, tail_s = (float(values[variable]) * self.unit_s for variable in (self.programme.U, self.programme.W))
        return Relaxed(
            bound=bound_s, repeats_s=repeats_s, tail_s=tail_s, chosen=members[used], parts=parts[used], through=bounds_s
        )  # fmt: skip
