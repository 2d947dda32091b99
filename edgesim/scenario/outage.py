"""When does nothing pass a device's links? For a while, after which what has waited goes on."""

from dataclasses import dataclass
from functools import cached_property
from math import inf

from edgesim.recording import Column, Recording, Unit
from edgesim.units import require_numbers


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A rank's links are down from ``start_s`` until ``end_s``; what it computes goes on. No rate may be unlimited."""

    rank: int
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        require_numbers("outage", self)
        if not 0 <= self.start_s < self.end_s < inf:
            raise ValueError(
                f"outage of rank {self.rank}: needs 0 <= start_s < end_s < infinity, got {self.start_s} and "
                f"{self.end_s} (a link that never comes back is a loss)"
            )

    def __str__(self) -> str:
        return f"rank {self.rank} has no link from {self.start_s:g} s to {self.end_s:g} s"

    @property
    def named(self) -> tuple[int, ...]:
        """The rank whose links are down."""
        return (self.rank,)

    @cached_property
    def recording(self) -> Recording:
        """The same as a table of factors."""
        steps = [(0.0, 1.0), (self.start_s, 0.0), (self.end_s, 1.0)][self.start_s == 0 :]
        column = Column(rank=self.rank, unit=Unit.FACTOR, values=tuple(factor for _, factor in steps))
        return Recording(at_s=tuple(at_s for at_s, _ in steps), columns=(column,), source=str(self))
