"""How good is a plan said to be, and how good is it? What was promised beside what was simulated and measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from edgesim.metrics import Metrics
from edgesim.plan import Plan
from edgesim.units import show
from experiments.analysis.predictions import Prediction

_NONE = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """A plan's seconds per iteration, whoever says them; None where nobody does.

    Attributes:
        planner: whose plan it is.
        status: how good it is known to be.
        solver: who proved that.
        planning_s: what the planner says it took.
        promised: before it was played.
        simulated_s: in the simulator, under the run's scenario.
        measured_s: on the testbed, the median.
    """

    planner: str
    status: str
    solver: str | None
    planning_s: float | None
    promised: Prediction
    simulated_s: float
    measured_s: float | None

    @property
    def error(self) -> float | None:
        """Simulated over promised seconds, minus 1."""
        promised_s = self.promised.seconds
        return None if not promised_s else self.simulated_s / promised_s - 1

    def to_dict(self) -> dict[str, Any]:
        """Flat, for JSON."""
        facts = asdict(self)
        return facts.pop("promised") | facts | {"error": self.error}


def side_by_side(plan: Plan, promised: Prediction, metrics: Sequence[Metrics]) -> SideBySide:
    """From the metrics of both players."""
    seconds = {
        player: median(each.makespan_s for each in metrics if each.player == player)
        for player in {each.player for each in metrics}
    }
    return SideBySide(
        planner=plan.planner,
        status=str(plan.proof.status),
        solver=plan.proof.solver,
        planning_s=plan.proof.seconds,
        promised=promised,
        simulated_s=seconds["simulated"],
        measured_s=seconds.get("measured"),
    )


def plan_table(row: SideBySide) -> Table:
    """One row; the head says whether all planners' evaluator or this planner promised the seconds."""
    promised, known = row.promised, row.promised.analytic_s is not None
    table = Table(title="the plan", title_justify="left")
    table.add_column("planner")
    table.add_column("proof")
    for head in ("analytic" if known else "predicted", "bound", "gap", "simulated", "measured"):
        table.add_column(head, justify="right")
    error = "" if row.error is None else f" ({row.error:+.1%})"
    table.add_row(
        row.planner,
        row.status,
        _seconds(promised.seconds),
        _seconds(promised.bound_s),
        _NONE if promised.gap is None else f"{promised.gap:.1%}",
        _seconds(row.simulated_s) + error,
        _seconds(row.measured_s),
    )
    return table


def _seconds(value: float | None) -> str:
    return _NONE if value is None else show(value, "s")
