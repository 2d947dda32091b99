"""What does HiGHS find? A solver in this process, which lets other threads run and can be told to stop."""

from collections.abc import Sequence
from importlib import import_module
from math import isfinite
from time import perf_counter
from typing import Any

from edgesim.planners.solvers.milp import Milp, MilpResult, SolverError


def quiet_highs(highspy: Any) -> Any:
    """A solver that prints nothing. Its banner comes when callbacks are enabled, which its constructor does."""

    class Quiet(highspy.Highs):  # type: ignore[misc]
        def enableCallbacks(self) -> Any:  # noqa: N802 - highspy's name
            self.setOptionValue("output_flag", False)
            return super().enableCallbacks()

    return Quiet()


class Highs:
    """One HiGHS, on one thread."""

    def __init__(self, milp: Milp) -> None:
        self.milp, self.began_s = milp, perf_counter()
        self.highspy: Any = import_module("highspy")
        self.solver = quiet_highs(self.highspy)
        self._must(self.solver.readModel(str(milp.path)), "cannot read the problem")
        options = {  # behind reading, which would keep the limit too
            "threads": 1,
            "parallel": "off",
            "time_limit": milp.time_limit_s,
            "mip_rel_gap": milp.gap,
            "mip_abs_gap": 0.0,
        }
        for name, value in options.items():
            self._must(self.solver.setOptionValue(name, value), f"refused option {name}={value}")
        self.names: Sequence[str] = list(self.solver.getLp().col_names_)
        if milp.start:
            place = {name: i for i, name in enumerate(self.names)}
            indices = [place[name] for name in milp.start]
            self._must(self.solver.setSolution(len(indices), indices, list(milp.start.values())), "refused the start")
        self.solver.HandleUserInterrupt = True

    def _must(self, status: Any, what: str) -> None:
        if status == self.highspy.HighsStatus.kError:
            raise SolverError(what)

    def stop(self) -> None:
        """Tell it to stop: it looks between steps, and keeps what it has."""
        self.solver.cancelSolve()

    def finish(self) -> MilpResult:
        """Solve. Raises SolverError if it fails."""
        statuses = self.highspy.HighsModelStatus
        self._must(self.solver.run(), "failed")
        if self.solver.getModelStatus() == statuses.kUnboundedOrInfeasible:  # presolve cannot tell which
            self.solver.setOptionValue("presolve", "off")
            self._must(self.solver.run(), "failed")
        if self.milp.start and not self._is_consistent():
            # Where presolve leaves nothing to solve, HiGHS 1.16 hands a start back beside the value of the optimum.
            self._must(self.solver.clearSolver(), "cannot forget the start")
            self._must(self.solver.run(), "failed")
        return self._result()

    def _is_consistent(self) -> bool:
        """Whether the solution has the value that is reported with it."""
        reported = self.solver.getInfo().objective_function_value
        costs, values = self.solver.getLp().col_cost_, self.solver.getSolution().col_value
        summed = sum(cost * value for cost, value in zip(costs, values, strict=False))
        return bool(abs(summed - reported) <= 1e-6 * max(1.0, abs(reported)))

    def _result(self) -> MilpResult:
        statuses = self.highspy.HighsModelStatus
        status, info = self.solver.getModelStatus(), self.solver.getInfo()
        if status in (statuses.kUnbounded, statuses.kUnboundedOrInfeasible):
            raise SolverError("found the problem unbounded")
        values = None
        if status != statuses.kInfeasible and info.primal_solution_status == self.highspy.kSolutionStatusFeasible:
            values = dict(zip(self.names, map(float, self.solver.getSolution().col_value), strict=True))
        bound = info.mip_dual_bound if self.milp.mixed else info.objective_function_value
        believed = isfinite(bound) and (self.milp.mixed or status == statuses.kOptimal)
        return self.milp.result(
            solver=f"HiGHS {self.solver.version()}",
            seconds=perf_counter() - self.began_s,
            proven=status in (statuses.kOptimal, statuses.kInfeasible),
            bound=float(bound) if believed and status != statuses.kInfeasible else None,
            values=values,
        )
