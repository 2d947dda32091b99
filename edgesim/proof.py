"""How good is a plan known to be? What its planner minimises, the value it reached, and a bound that no plan beats.

A bound and a value are comparable only where their objectives are the same: :class:`Proof` holds both for one.
"""

from dataclasses import asdict, dataclass
from typing import Any

from edgesim.since_3_11 import StrEnum
from edgesim.units import show

OPTIMAL_GAP = 1e-4  # relative: a value that is this near to its bound counts as optimal
_PREFIXED = ("s", "J", "B")  # units that are written with a prefix


class Objective(StrEnum):
    """What a planner minimises, with the unit of its values.

    Values of two objectives cannot be compared, even where both are seconds: the slowest stage is not the iteration.
    """

    unit: str

    def __new__(cls, text: str, unit: str) -> "Objective":
        """A member is its text."""
        member = str.__new__(cls, text)
        member._value_, member.unit = text, unit
        return member

    # What the evaluators that all planners share reckon for any plan: pipeline_time.py, and block_time.py.
    ITERATION_TIME = "iteration time by the closed form of pipelines", "s"
    BLOCK_ITERATION_TIME = "iteration time by the closed form of divided blocks", "s"
    # What the function says that a planner is handed to judge candidates: the simulator, in every experiment.
    JUDGED_TIME = "iteration time as simulated", "s"
    # The planners that prove.
    ITERATION_ENERGY = "energy of an iteration", "J"
    MIGRATION_AND_ITERATIONS = "migration and remaining iterations", "s"
    JOB_TIME = "job time of both phases", "s"
    # The planners of the literature, and the baselines.
    HPP_ROUND = "latency of an HPP-Round", "s"
    PIPELINE_LATENCY = "pipeline latency: warm-up, steady phase and ending", "s"
    THREE_PHASES = "beginning, execution and ending phase", "s"
    SLOWEST_STAGE = "slowest stage or message", "s"
    SLOWEST_STAGE_OF_EQUAL_DEVICES = "slowest stage or message among equal devices", "s"
    SLOWEST_STAGE_OF_A_WORKER = "slowest stage of a virtual worker, receiving included", "s"
    SLOWEST_COMPUTATION = "computation of the slowest stage", "s"
    SLOWEST_DEVICE = "computation of the slowest device", "s"
    REQUEST_LATENCY = "latency of one micro-batch, in to out", "s"
    LAYERS_OF_A_STAGE = "layers of the longest stage", "layers"
    COLUMNS_OF_A_RANK = "columns of the rank with most", "columns"
    TOKENS_OF_A_RANK = "tokens of the rank with most", "tokens"
    LAYERS_PER_BYTE = "layers per byte of the fullest device", "layers/B"

    @property
    def is_common(self) -> bool:
        """Whether the shared evaluators reckon it for the plans of any planner."""
        return self in (Objective.ITERATION_TIME, Objective.BLOCK_ITERATION_TIME)

    def show(self, value: float) -> str:
        """A value in its unit.

        >>> Objective.SLOWEST_STAGE.show(0.0123), Objective.LAYERS_OF_A_STAGE.show(7)
        ('12.3 ms', '7 layers')
        """
        return show(value, self.unit) if self.unit in _PREFIXED else f"{value:.3g} {self.unit}"


class Status(StrEnum):
    """How good a plan is known to be, for its objective."""

    OPTIMAL = "optimal"  # proven: no plan is better by more than OPTIMAL_GAP
    FEASIBLE = "feasible"  # a bound is known, and the gap is open
    HEURISTIC = "heuristic"  # no bound is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a planner minimised and reached, and how far from the best that can be.

    Attributes:
        method: how the plan was found.
        objective: what ``value`` and ``bound`` are of.
        value: of the plan.
        bound: no plan that was allowed has less; None where no bound is known.
        details: which limits, counts or grids were asked for: "400 iterations", "columns in tiles of 48".
        seconds: how long planning took.
        solver: who proved the bound.
    """

    method: str
    objective: Objective
    value: float
    bound: float | None = None
    details: str = ""
    seconds: float | None = None
    solver: str | None = None

    def __post_init__(self) -> None:
        if self.bound is not None and self.value < self.bound:
            raise ValueError(f"proof of {self.minimised}: the value {self.value} lies below the bound {self.bound}")

    @property
    def minimised(self) -> str:
        """The objective with its details, for people."""
        return f"{self.objective}, {self.details}" if self.details else str(self.objective)

    @property
    def gap(self) -> float | None:
        """``(value - bound) / bound``; None where no bound is known."""
        return None if self.bound is None else gap(self.value, self.bound)

    @property
    def status(self) -> Status:
        """How good the plan is known to be."""
        return status(self.gap)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what follows from the fields is written for readers."""
        return asdict(self) | {"unit": self.objective.unit, "status": self.status}

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> "Proof | None":
        """Read what :meth:`to_dict` wrote.

        Old files say their objective in other words, or that there is none: their plans are read without a proof.
        """
        known = {str(objective): objective for objective in Objective}
        if data is None or data["objective"] not in known:
            return None
        fields = {name: value for name, value in data.items() if name not in ("unit", "status")}
        return cls(**fields | {"objective": known[data["objective"]]})


def gap(value: float, bound: float) -> float:
    """How far a value can be from the best, as a share of the bound."""
    if bound > 0:
        return (value - bound) / bound
    return 0.0 if value == bound else float("inf")


def status(gap: float | None) -> Status:
    """What a gap says; None where no bound is known."""
    if gap is None:
        return Status.HEURISTIC
    return Status.OPTIMAL if gap <= OPTIMAL_GAP else Status.FEASIBLE


def bound_or_none(bound: float, value: float) -> float | None:
    """A search's bound as a proof has it: none where it says nothing, and no more than the value, which rounds."""
    return min(bound, value) if bound > 0 else None
