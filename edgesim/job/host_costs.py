"""What does a job cost its hosts beside its schedules? Seconds between iterations and around a recovery."""

from dataclasses import dataclass
from math import isfinite

from edgesim.cluster import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCosts:
    """Seconds of hosts, whatever is trained.

    Attributes:
        between_s: from an iteration's last task until the next one's first: to commit, to draw samples, to begin.
        regroup_s: from the word that ranks connect anew until all are connected.
        go_back_s: for ranks to take up layers of another plan or version, and to build what computes them.
        restart_s: for new processes to be there and connected.
        origin: what kind of numbers these are.
        source: where they come from.
    """

    between_s: float
    regroup_s: float
    go_back_s: float
    restart_s: float
    origin: Origin
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", Origin(self.origin))
        for name in ("between_s", "regroup_s", "go_back_s", "restart_s"):
            seconds = getattr(self, name)
            if not (isfinite(seconds) and seconds >= 0):
                raise ValueError(f"host costs: {name} must be finite and >= 0, got {seconds}")
