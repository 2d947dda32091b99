"""By how much may what is executed differ from what was simulated? Shares, by what does a task."""

from dataclasses import dataclass
from enum import StrEnum

from edgesim.schedule import COLLECTIVE, COMPUTE, DISK, MESSAGE, Op


class Means(StrEnum):
    """With what a task is done, and so what is measured again where it is off."""

    COMPUTING = "computing"
    LINKS = "links"
    DISKS = "disks"


_MEANS = {
    **dict.fromkeys(COMPUTE, Means.COMPUTING),
    **dict.fromkeys(MESSAGE | COLLECTIVE, Means.LINKS),
    **dict.fromkeys(DISK, Means.DISKS),
}


def means_of(op: Op) -> Means:
    """With what an operation is done."""
    return _MEANS[op]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """By which share the simulated seconds of a task may differ from the measured ones, by what does it."""

    computing: float
    links: float
    disks: float

    def __post_init__(self) -> None:
        for means in Means:
            if not 0 < (value := getattr(self, means)) < 1:
                raise ValueError(f"autopilot.tolerances.{means} must lie between 0 and 1, got {value:g} (say 0.1)")

    def of(self, op: Op) -> float:
        """The tolerance that a task of this operation has."""
        tolerance: float = getattr(self, means_of(op))
        return tolerance
