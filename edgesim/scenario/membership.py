"""Which devices are lost, leave or join while a job runs? Only a job can go on after any of this."""

from dataclasses import dataclass
from math import inf

from edgesim.scenario.moment import Moment
from edgesim.since_3_11 import StrEnum
from edgesim.units import require_numbers


class LossKind(StrEnum):
    """How a device is lost."""

    KILL = "kill"  # its process ends at once, with all that it holds
    STOP = "stop"  # it computes, sends and answers nothing
    LINK_DOWN = "link_down"  # nothing passes its link


_HAPPENS = {LossKind.KILL: "is killed", LossKind.STOP: "stops", LossKind.LINK_DOWN: "loses its link"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A device is lost without a word. One that stops, or whose link is down, is there again after ``lasts_s``.

    If that is before anybody has missed it, it goes on where it was; else it comes back as one that joins, and what it
    holds is worth nothing any more.
    """

    rank: int
    when: Moment
    kind: LossKind = LossKind.KILL
    lasts_s: float = inf

    def __post_init__(self) -> None:
        require_numbers(f"loss of rank {self.rank}", self)
        object.__setattr__(self, "kind", LossKind(self.kind))
        if not self.lasts_s > 0:
            raise ValueError(f"loss of rank {self.rank}: lasts_s must be positive, got {self.lasts_s}")
        if self.kind is LossKind.KILL and self.lasts_s < inf:
            raise ValueError(
                f"loss of rank {self.rank}: what is killed does not come back (lasts_s={self.lasts_s:g}; take a stop, "
                "or let it join)"
            )

    def __str__(self) -> str:
        back = "" if self.lasts_s == inf else f" for {self.lasts_s:g} s"
        return f"rank {self.rank} {_HAPPENS[self.kind]} {self.when}{back}"

    @property
    def named(self) -> tuple[int, ...]:
        """The rank that is lost."""
        return (self.rank,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A device says that it will leave, and leaves when the job has done without it: nothing is lost."""

    rank: int
    when: Moment

    def __str__(self) -> str:
        return f"rank {self.rank} leaves {self.when}"

    @property
    def named(self) -> tuple[int, ...]:
        """The rank that leaves."""
        return (self.rank,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A device comes, which holds nothing. Before its first join it takes no part."""

    rank: int
    when: Moment

    def __str__(self) -> str:
        return f"rank {self.rank} joins {self.when}"

    @property
    def named(self) -> tuple[int, ...]:
        """The rank that joins."""
        return (self.rank,)


Membership = Loss | Leave | Join
"""What changes who is there."""
