"""How good is a plan said to be, and how good is it? What was promised beside what was simulated and measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from edgesim.metrics import Metrics
from edgesim.plan import Plan
from edgesim.proof import Proof, status
from edgesim.units import show
from experiments.analysis.predictions import Prediction

_NONE = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """A plan's seconds per iteration, whoever says them; None where nobody does.

    Attributes:
        planner: whose plan it is.
        proof: how good its planner knows it to be, for what that planner minimises.
        modes: by rank, the power mode that the plan chose.
        promised: before it was played.
        simulated_s: in the simulator, under the run's scenario.
        measured_s: on the testbed, the median.
    """

    planner: str
    proof: Proof | None
    modes: Mapping[int, str]
    promised: Prediction
    simulated_s: float | None
    measured_s: float | None

    @property
    def error(self) -> float | None:
        """Simulated over promised seconds, minus 1."""
        promised_s = self.promised.seconds
        return None if not promised_s or self.simulated_s is None else self.simulated_s / promised_s - 1

    def to_dict(self) -> dict[str, Any]:
        """For JSON: seconds per iteration with their bound, and beside them the proof of the planner's objective."""
        promised = asdict(self.promised)
        del promised["own"]  # stands in the proof
        return {
            "planner": self.planner,
            **promised,
            "simulated_s": self.simulated_s,
            "measured_s": self.measured_s,
            "error": self.error,
            "proof": self.proof and self.proof.to_dict(),
            "modes": {str(rank): mode for rank, mode in self.modes.items()},
        }


def side_by_side(plan: Plan, promised: Prediction, metrics: Sequence[Metrics]) -> SideBySide:
    """From the metrics of both players, or of none: a plan alone."""
    seconds = {
        player: median(each.makespan_s for each in metrics if each.player == player)
        for player in {each.player for each in metrics}
    }
    return SideBySide(
        planner=plan.planner,
        proof=plan.proof,
        modes=plan.modes,
        promised=promised,
        simulated_s=seconds.get("simulated"),
        measured_s=seconds.get("measured"),
    )


def plan_table(row: SideBySide) -> Table:
    """A line of the iteration time; and one of what the planner minimised, where that is something else.

    Each has a bound and a gap of its own. Power modes that the plan chose stand below.
    """
    modes = ", ".join(f"rank {rank} in {mode}" for rank, mode in row.modes.items())
    table = Table(
        title=f"the plan of {row.planner}",
        caption=f"power modes: {modes}" if modes else None,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("objective")
    for head in ("value", "bound", "gap"):
        table.add_column(head, justify="right")
    table.add_column("proof")
    for head in ("simulated", "measured"):
        table.add_column(head, justify="right")
    table.add_row(*_iteration_time(row))
    if row.promised.own is not None:
        table.add_row(*_own(row.promised.own), _NONE, _NONE)
    return table


def _iteration_time(row: SideBySide) -> tuple[str, ...]:
    promised = row.promised
    by = "" if promised.seconds is None else ", predicted" if promised.analytic_s is None else ", analytic"
    error = "" if row.error is None else f" ({row.error:+.1%})"
    return (
        f"iteration time{by}",
        _seconds(promised.seconds),
        _seconds(promised.bound_s),
        _share(promised.gap),
        str(status(promised.gap)),
        _seconds(row.simulated_s) + error,
        _seconds(row.measured_s),
    )


def _own(proof: Proof) -> tuple[str, ...]:
    bound = _NONE if proof.bound is None else proof.objective.show(proof.bound)
    return proof.minimised, proof.objective.show(proof.value), bound, _share(proof.gap), str(proof.status)


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    return _NONE if value is None else show(value, "s")
