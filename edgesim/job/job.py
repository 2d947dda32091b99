"""What is a job? Phases that are played one after the other, and what is done against losses."""

from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from edgesim.job.phase import Phase
from edgesim.job.recovering import Recover
from edgesim.job.safety import Safety


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Phases in their order; ranks keep what they hold from one to the next.

    Attributes:
        members: ranks that are there from the beginning; a scenario says who comes later.
        recover: how the job goes on when somebody is lost, leaves or comes; None: it ends there.
    """

    phases: tuple[Phase, ...]
    members: tuple[int, ...]
    safety: Safety = field(default_factory=Safety)
    recover: Recover | None = None

    def __post_init__(self) -> None:
        if not self.phases:
            raise ValueError("job: needs at least one phase")
        absent = [rank for rank in self.phases[0].plan.ranks if rank not in self.members]
        if absent:
            raise ValueError(f"job: its plan uses rank {absent[0]}, which is not there from the beginning")

    def phase_of(self, done: int) -> int:
        """Return in which phase a job goes on of which so many iterations are done.

        Where one begins with what moves, it is still the one before, whose ranks hold that.
        """
        number = next((n for n, (_, end) in enumerate(self.ranges) if done < end), len(self.phases) - 1)
        begins = number > 0 and done == self.ranges[number][0]
        return number - 1 if begins and self.phases[number].arrival is not None else number

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """[phase] the half-open range of its iterations in the job."""
        ends = tuple(accumulate((phase.iterations for phase in self.phases), initial=0))
        return tuple(pairwise(ends))

    @property
    def iterations(self) -> int:
        """Iterations of all phases."""
        return sum(phase.iterations for phase in self.phases)
