"""What does a job cost its hosts beside its schedules? Seconds between iterations and around a recovery.

seconds of n ranks = what it takes whoever takes part + n · what each rank adds
"""

from dataclasses import dataclass, fields
from math import isfinite

from edgesim.cluster import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCosts:
    """Seconds of hosts, whatever is trained.

    Attributes:
        between_s: from an iteration's last task until the next one's first: to commit, to draw samples, to begin.
        regroup_s: from the word that ranks connect anew until all are connected.
        go_back_s: for ranks to take up layers of another plan or version, and to build what computes them.
        restart_s: for new processes to be there and connected; they take up layers then.
        warm_up_s: what processes take longer when they take up layers of a model for the first time.
        move_s: what a migration takes beside its messages: to be told of, to be read, to be reported.
        first_longer: by what share an iteration takes longer that is the first behind taking up layers: memory is new,
            and libraries choose how to compute.
        regroup_rank_s, go_back_rank_s, restart_rank_s: what each rank that takes part adds to these; on boards of their
            own, little but for connections; on one machine, ranks share its cores.
        origin: what kind of numbers these are.
        source: where they come from.
    """

    between_s: float
    regroup_s: float
    go_back_s: float
    restart_s: float
    regroup_rank_s: float = 0.0
    go_back_rank_s: float = 0.0
    restart_rank_s: float = 0.0
    warm_up_s: float = 0.0
    move_s: float = 0.0
    first_longer: float = 0.0
    origin: Origin
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", Origin(self.origin))
        for name in (each.name for each in fields(self) if each.name not in ("origin", "source")):
            number = getattr(self, name)
            if not (isfinite(number) and number >= 0):
                raise ValueError(f"host costs: {name} must be finite and >= 0, got {number}")

    def regrouping_s(self, ranks: int) -> float:
        """What it takes to connect so many ranks anew."""
        return self.regroup_s + ranks * self.regroup_rank_s

    def going_back_s(self, ranks: int) -> float:
        """What it takes so many ranks to take up layers."""
        return self.go_back_s + ranks * self.go_back_rank_s

    def restarting_s(self, ranks: int) -> float:
        """What it takes until so many new processes are there and connected."""
        return self.restart_s + ranks * self.restart_rank_s
