"""How good is a plan said to be, and how good is it? What was promised beside what was simulated and measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from edgesim.metrics import Metrics
from edgesim.plan import Plan
from edgesim.proof import Proof
from experiments.analysis.predictions import Prediction


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
